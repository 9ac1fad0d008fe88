/** The public face: tensors and their ops, devices, gradients, jit. Layers, optimizers and data have sub-paths. */
export { backward, grad } from "./autograd/backward.js";
export { onlyWhile, onReplay, onUndo } from "./compiler/capture.js";
export { type DebugOptions, setDebug } from "./compiler/debug.js";
export { type JitFunction, type JitOptions, jit } from "./compiler/jit.js";
export {
  assign,
  compileCount,
  flush,
  leaf,
  memory,
  readExact,
  realize,
  totalCost,
  warmup,
} from "./compiler/realize.js";
export type { Given, JitArgument, JitResult } from "./compiler/structure.js";
export { defaultDevice, setDefaultDevice } from "./device/default.js";
export type {
  Device,
  DeviceBuffer,
  DeviceInfo,
  Executable,
  LossReason,
  MemoryReport,
  WarmupProgress,
} from "./device/device.js";
export type { Cost, KernelCall, Program } from "./device/kernel.js";
export type { DeviceRecovery, Follower } from "./device/recovery.js";
export {
  type Choice,
  type DeviceChoice,
  type DeviceName,
  type DeviceReport,
  listDevices,
  type OpenOptions,
  openDevice,
} from "./device/select.js";
export type { WasmOptions } from "./device/wasm/wasm.js";
export type { WebglOptions } from "./device/webgl/webgl.js";
export * from "./ops/index.js";
export { Tensor } from "./ops/methods.js";
export type { DType, TypedArray } from "./tensor/dtype.js";
export * from "./tensor/errors.js";
export { RuntimeScalar } from "./tensor/op.js";
export type { Shape } from "./tensor/shape.js";
export { noGrad } from "./tensor/tensor.js";
