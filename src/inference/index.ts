/** What `wattgrad tour` and `wattgrad eval` run, in Node and in pages. */
import "../ops/methods.js";

export { type EvaluateFileOptions, evaluateFile, type FileEvaluation } from "./evaluate.js";
export { packImages, unpackImages } from "./images.js";
export { type HostMeter, meterOf } from "./meter.js";
export { loadTrained, type Normalization, type TrainedModel } from "./model.js";
export {
  type InferenceRow,
  type InferenceRun,
  type ModelToRun,
  runModels,
  type Surroundings,
} from "./run.js";
