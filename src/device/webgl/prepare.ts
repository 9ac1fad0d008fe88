/** Kernel calls to passes: hands each call to the file of its kernel. */
import { withoutEmpty } from "../../kernels/empty.js";
import type { KernelCall, Program } from "../../kernels/kernel.js";
import { keptInFull } from "./gl/half.js";
import { prepareAttention } from "./kernels/attention.js";
import { prepareConv } from "./kernels/conv.js";
import { prepareGather, prepareScatterAdd } from "./kernels/indexing.js";
import { prepareMap } from "./kernels/map.js";
import { prepareMatmul } from "./kernels/matmul.js";
import { preparePool, preparePoolGrad } from "./kernels/pool.js";
import { prepareQconv } from "./kernels/qconv.js";
import { prepareQmatmul } from "./kernels/qmatmul.js";
import { prepareReduce } from "./kernels/reduce.js";
import { type Abilities, PassBuilder } from "./shader/builder.js";
import { passedOn } from "./shader/result.js";
import type { ShaderTarget } from "./shader/shader.js";

export function preparePasses(program: Program, target: ShaderTarget, abilities: Abilities): PassBuilder {
  const { slots, inputCount } = program;
  const inFull = keptInFull(program);
  const builder = new PassBuilder(slots, target, abilities, passedOn(program), inFull, inputCount);
  for (const given of program.calls) {
    const call = withoutEmpty(given);
    if (call !== undefined) prepareCall(call, builder);
  }
  builder.flush();
  return builder;
}

function prepareCall(call: KernelCall, builder: PassBuilder): void {
  switch (call.kernel) {
    case "map":
      prepareMap(call, builder, builder.handedOver);
      break;
    case "reduce":
      prepareReduce(call, builder);
      break;
    case "gather":
      prepareGather(call, builder);
      break;
    case "scatterAdd":
      prepareScatterAdd(call, builder);
      break;
    case "matmul":
      prepareMatmul(call, builder);
      break;
    case "attention":
      prepareAttention(call, builder);
      break;
    case "conv":
    case "convGradInput":
    case "convGradWeight":
      prepareConv(call, builder);
      break;
    case "qmatmul":
      prepareQmatmul(call, builder);
      break;
    case "qconv":
      prepareQconv(call, builder);
      break;
    case "pool":
      preparePool(call, builder);
      break;
    case "poolGrad":
      preparePoolGrad(call, builder);
      break;
  }
}
