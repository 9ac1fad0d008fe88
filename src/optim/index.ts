/** Optimizers, learning-rate schedules and gradient clipping. */
import "../ops/methods.js";

export { Adam, type AdamSettings, AdamW } from "./adam.js";
export { clipGradNorm, clipGradValue } from "./clip.js";
export { Optimizer } from "./optimizer.js";
export type { ParameterGroup } from "./parameter_groups.js";
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
export type { OptimizerState } from "./state.js";
