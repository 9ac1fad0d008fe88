/** `wattgrad/train`: the training loop, its metrics and stop conditions, and evaluation. */
import "../ops/methods.js";

export { type RandomShiftOptions, randomShift } from "./augment.js";
export { type EvaluateOptions, type Evaluation, evaluate, type Loss } from "./evaluate.js";
export { fit } from "./fit.js";
export type {
  Callback,
  CheckpointOptions,
  FitOptions,
  FitReport,
  SnapshotOptions,
} from "./fit_options.js";
export type { EpochRecord, FitState, Scores, StepRecord } from "./history.js";
export { hostTensors } from "./host_tensors.js";
export { accuracy, type Metric } from "./metrics.js";
export {
  joules,
  lossReached,
  type PatienceOptions,
  patience,
  type StopCondition,
  timeLimit,
} from "./stop.js";
