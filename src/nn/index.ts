/** Layers and losses with PyTorch's names, layouts and initial values. */
import "../ops/methods.js";

export { defaultDevice, setDefaultDevice } from "../device/default.js";
export { binaryCrossEntropyWithLogits, crossEntropy, l1Loss, mseLoss, nllLoss } from "../ops/loss.js";
export * from "./activation.js";
export * from "./attention.js";
export * from "./container.js";
export * from "./conv.js";
export * from "./dropout.js";
export * from "./embedding.js";
export * from "./init.js";
export {
  advanceCache,
  cachedAttention,
  type KeyValueCache,
  type KeyValueCacheOptions,
  type KeyValues,
  keyValueCache,
} from "./key_value_cache.js";
export * from "./linear.js";
export * from "./loss.js";
export * from "./module.js";
export * from "./normalization.js";
export { type ParameterOptions, parameter } from "./parameter.js";
export * from "./pooling.js";
export * from "./recurrent.js";
export {
  GRUCell,
  LSTMCell,
  type RecurrentCellOptions,
  RNNCell,
  type RNNCellOptions,
} from "./recurrent_cell.js";
export * from "./rms_norm.js";
export type { BufferOptions } from "./state.js";
export * from "./state_dict.js";
export {
  type LayerSummary,
  type Summary,
  type SummaryInput,
  type SummaryOptions,
  summary,
} from "./summary.js";
