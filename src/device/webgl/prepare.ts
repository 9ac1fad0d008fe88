/** Kernel calls to passes: hands each call to the file of its kernel. */
import { withoutEmpty } from "../empty.js";
import type { KernelCall, Program } from "../kernel.js";
import { prepareAttention } from "./attention.js";
import { type Abilities, PassBuilder } from "./builder.js";
import { prepareConv } from "./conv.js";
import { keptInFull } from "./half.js";
import { prepareGather, prepareScatterAdd } from "./indexing.js";
import { prepareMap } from "./map.js";
import { prepareMatmul } from "./matmul.js";
import { preparePool, preparePoolGrad } from "./pool.js";
import { prepareQconv } from "./qconv.js";
import { prepareQmatmul } from "./qmatmul.js";
import { prepareReduce } from "./reduce.js";
import { passedOn } from "./result.js";
import type { ShaderTarget } from "./shader.js";

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
