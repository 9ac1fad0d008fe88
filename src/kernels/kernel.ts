/** The types of the kernel language in one place. */
export type { AttentionCall } from "./attention.js";
export type { ConvCall, ConvGeometry, ConvKernel } from "./conv.js";
export type { Expression, Instruction, MapCall } from "./expression.js";
export { maxExpressionInputs, maxExpressionInstructions } from "./expression.js";
export type { GatherCall } from "./gather.js";
export type { IndexReport } from "./indexing.js";
export type { BinaryOp, UnaryOp } from "./instructions.js";
export type { MatmulCall } from "./matmul.js";
export type { Operand } from "./operand.js";
export type { PoolCall, PoolGeometry } from "./pool.js";
export type { PoolGradCall } from "./pool_grad.js";
export type { Cost, Program, SlotInfo } from "./program.js";
export type { QconvCall } from "./qconv.js";
export type { QmatmulCall } from "./qmatmul.js";
export type { QuantizedEpilogue, WeightFormat } from "./quantized.js";
export type { ReduceCall, ReduceOp } from "./reduce.js";
export type { ScatterAddCall } from "./scatter_add.js";
export type { KernelCall } from "./table.js";
