/** `wattgrad/quantization`: int8 and int4 weights, in torchao's words. */
import "../ops/methods.js";

export type { HostWeight, WeightFormat, WeightFormatName } from "../core/weight_format.js";
export { openMeta } from "../device/meta.js";
export {
  type CompareOptions,
  type Comparison,
  compareModels,
  type LayerNoise,
  type ModelFigures,
} from "./compare.js";
export { QuantizedConv2d } from "./conv.js";
export type { DeviceWeight, WeightDescription, WeightLayout } from "./device_weight.js";
export { QuantizedEmbedding, type TableOptions } from "./embedding.js";
export { QuantizationError } from "./errors.js";
export { isQuantizedFile, loadQuantized, type QuantizedState, quantizedState } from "./file.js";
export type { InputQuantization } from "./input.js";
export { QuantizedLayer } from "./layer.js";
export { type FromWeightOptions, QuantizedLinear } from "./linear.js";
export { type ObserverName, observerNames } from "./observers.js";
export { convert, prepare } from "./qat.js";
export {
  isQuantizable,
  type LayerReport,
  type QuantizeOptions,
  type QuantizeReport,
  quantize,
} from "./quantize.js";
export {
  type Batches,
  bfloat16WeightOnly,
  type Calibration,
  type Forward,
  float16WeightOnly,
  type HalfWeightOnly,
  type Int4Options,
  type Int4WeightOnly,
  type Int8Dynamic,
  type Int8Static,
  type Int8WeightOnly,
  int4WeightOnly,
  int8Dynamic,
  int8Static,
  int8WeightOnly,
  type Scheme,
  type SchemeName,
  type WeightOptions,
} from "./scheme.js";
