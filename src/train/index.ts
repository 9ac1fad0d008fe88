/** `wattgrad/train`: the training loop, its metrics and stop conditions, and evaluation. */
import "../ops/methods.js";

export { type RandomShiftOptions, randomShift } from "./augment.js";
export type { Batches, ResumableBatches } from "./batches.js";
export { type EvaluateBatchOptions, type EvaluateOptions, type Evaluation, evaluate } from "./evaluate.js";
export { fit } from "./fit.js";
export type {
  Callback,
  CheckpointOptions,
  FitBatchOptions,
  FitOptions,
  FitReport,
  SnapshotOptions,
} from "./fit_options.js";
export type { EpochRecord, FitState, Scores, StepRecord } from "./history.js";
export { hostTensors } from "./host_tensors.js";
export { accuracy, type BatchMetric, type Metric } from "./metrics.js";
export type { ComputeLoss, Loss } from "./objective.js";
export {
  joules,
  lossReached,
  type PatienceOptions,
  patience,
  type StopCondition,
  timeLimit,
} from "./stop.js";
