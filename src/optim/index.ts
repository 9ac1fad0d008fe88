/** Optimizers, learning-rate schedules and gradient clipping. */
import "../ops/methods.js";

export { Adam, type AdamSettings, AdamW } from "./adam.js";
export { clipGradNorm, clipGradValue } from "./clip.js";
export { Optimizer, type OptimizerState, type ParameterGroup } from "./optimizer.js";
export {
  type CosineOptions,
  constant,
  cosine,
  LRScheduler,
  linearWarmup,
  type Schedulable,
  type Schedule,
  type SchedulerState,
  type StepDecayOptions,
  stepDecay,
} from "./schedule.js";
export { SGD, type SgdSettings } from "./sgd.js";
