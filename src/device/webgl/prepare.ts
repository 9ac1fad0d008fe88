/** Turns kernel calls into passes; each kernel has its own file. */
import { withoutEmpty } from "../../kernels/empty.js";
import { splitEpilogue } from "../../kernels/operands.js";
import type { Program } from "../../kernels/program.js";
import { entryOf, type KernelTable } from "../../kernels/table.js";
import { float32Slots } from "./gl/half.js";
import { prepareAttention } from "./kernels/attention.js";
import { prepareConv } from "./kernels/conv.js";
import { prepareGather, prepareScatterAdd } from "./kernels/indexing.js";
import { prepareMap } from "./kernels/map.js";
import { prepareMatmul } from "./kernels/matmul.js";
import { preparePool, preparePoolGrad } from "./kernels/pool.js";
import { prepareQconv } from "./kernels/qconv.js";
import { prepareQmatmul } from "./kernels/qmatmul.js";
import { prepareReduce } from "./kernels/reduce.js";
import { prepareWrite } from "./kernels/write.js";
import { type Abilities, PassBuilder } from "./shader/builder.js";
import { singleConsumerSlots } from "./shader/result.js";
import type { ShaderTarget } from "./shader/shader.js";

/** How each kernel's calls become passes. */
const kernels: KernelTable<[builder: PassBuilder], void> = {
  map: (call, builder) => prepareMap(call, builder, builder.fusable),
  reduce: prepareReduce,
  matmul: prepareMatmul,
  attention: prepareAttention,
  conv: prepareConv,
  convGradInput: prepareConv,
  convGradWeight: prepareConv,
  pool: preparePool,
  poolGrad: preparePoolGrad,
  qmatmul: prepareQmatmul,
  qconv: prepareQconv,
  gather: prepareGather,
  scatterAdd: prepareScatterAdd,
  write: prepareWrite,
};

export function preparePasses(program: Program, target: ShaderTarget, abilities: Abilities): PassBuilder {
  const { slots, inputCount } = program;
  const stored = float32Slots(program);
  const builder = new PassBuilder(slots, target, abilities, singleConsumerSlots(program), stored, inputCount);
  for (const given of program.calls) {
    const call = withoutEmpty(given);
    if (call === undefined) continue;
    const [kernel, rest] = splitEpilogue(call, (dtype, { slot }) =>
      builder.scratch(dtype, builder.sizeOf(slot)),
    );
    entryOf(kernels, kernel)(kernel, builder);
    if (rest !== undefined) prepareMap(rest, builder, builder.pendingOf(rest.inputs[0].slot));
  }
  builder.emitPending();
  return builder;
}
