/** The public face: tensors and their ops, devices, gradients, jit. Layers, optimizers and data have sub-paths. */
export { backward, grad } from "./autograd/backward.js";
export { checkpoint } from "./autograd/checkpoint.js";
export type { DType, TypedArray } from "./core/dtype.js";
export * from "./core/errors.js";
export type { Shape } from "./core/shape.js";
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
export type { DeviceRecovery, SnapshotParticipant } from "./device/recovery.js";
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
export { composite } from "./graph/composite.js";
export { RuntimeScalar } from "./graph/op.js";
export { noGrad } from "./graph/tensor.js";
export type { Cost, KernelCall, Program } from "./kernels/kernel.js";
export * from "./ops/index.js";
export { Tensor } from "./ops/methods.js";
export { assign } from "./runtime/assign.js";
export { onlyWhile, onReplay, onUndo } from "./runtime/capture.js";
export { commit } from "./runtime/commit.js";
export { compileCount, memory } from "./runtime/counters.js";
export { type DebugOptions, setDebug } from "./runtime/debug.js";
export { leaf, readExact } from "./runtime/host_data.js";
export { type JitFunction, type JitOptions, jit } from "./runtime/jit.js";
export { realize, warmup } from "./runtime/realize.js";
export type { Given, JitArgument, JitResult } from "./runtime/structure.js";
export { type TotalCost, totalCost } from "./runtime/total_cost.js";
