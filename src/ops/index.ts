/** Every op as a function on tensors. */
export { type BackwardOptions, backward, grad } from "../autograd/backward.js";
export { type GeluOptions, gelu, leakyRelu, silu, softplus } from "./activation.js";
export { type AttentionOptions, scaledDotProductAttention } from "./attention.js";
export { expand } from "./broadcast.js";
export {
  eq,
  ge,
  gt,
  isnan,
  le,
  logicalAnd,
  logicalNot,
  logicalOr,
  logicalXor,
  lt,
  ne,
  where,
} from "./comparison.js";
export { concat, stack } from "./concat.js";
export {
  type Conv1dOptions,
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  convTranspose2d,
  type Pair,
} from "./convolution.js";
export {
  arange,
  type CreationOptions,
  full,
  type NestedArray,
  ones,
  onesLike,
  scalar,
  type TensorOptions,
  tensor,
  zeros,
  zerosLike,
} from "./creation.js";
export {
  abs,
  add,
  ceil,
  clamp,
  cos,
  div,
  erf,
  exp,
  expm1,
  floor,
  log,
  log1p,
  maximum,
  minimum,
  mod,
  mul,
  neg,
  pow,
  reciprocal,
  relu,
  round,
  rsqrt,
  sigmoid,
  sign,
  sin,
  sqrt,
  square,
  sub,
  tanh,
  trunc,
} from "./elementwise.js";
export { groupScales } from "./group_scales.js";
export { embedding, gather, indexSelect, oneHot, scatterAdd } from "./indexing.js";
export { linear, matmul } from "./linalg.js";
export {
  binaryCrossEntropyWithLogits,
  type ClassificationOptions,
  type CrossEntropyOptions,
  crossEntropy,
  type LossOptions,
  l1Loss,
  mseLoss,
  nllLoss,
  type Reduction,
} from "./loss.js";
export { type BatchNormOptions, batchNorm, layerNorm } from "./normalization.js";
export { type PackedWeight, type PackOptions, packWeight } from "./packed_weight.js";
export { type AvgPoolOptions, adaptiveAvgPool2d, avgPool2d, maxPool2d, type PoolOptions } from "./pooling.js";
export { cast, type TensorLike } from "./promotion.js";
export {
  type AffineQuantization,
  type DynamicOptions,
  type DynamicQuantization,
  dequantize,
  type FakeQuantizeOptions,
  fakeQuantize,
  quantizeDynamic,
  quantizePerTensor,
} from "./quantize.js";
export {
  type QuantizedConvOptions,
  type QuantizedLinearOptions,
  type QuantizedOptions,
  quantizedConv2d,
  quantizedLinear,
} from "./quantized.js";
export {
  bernoulli,
  type DropoutOptions,
  defaultGenerator,
  dropout,
  Generator,
  type GeneratorState,
  manualSeed,
  type RandomOptions,
  rand,
  randint,
  randn,
} from "./random.js";
export {
  all,
  any,
  argmax,
  argmin,
  type Dims,
  max,
  mean,
  min,
  norm2,
  prod,
  type ReduceOptions,
  std,
  sum,
  type VarianceOptions,
  variance,
} from "./reduce.js";
export { flatten, permute, reshape, squeeze, transpose, unsqueeze } from "./reshape.js";
export { flip, narrow, pad, slice, split } from "./slice.js";
export { logSoftmax, logsumexp, softmax } from "./softmax.js";
export { sliceScatter } from "./write.js";
