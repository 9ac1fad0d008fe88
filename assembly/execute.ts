/**
 * The command loop: reads an encoded Program (see src/device/wasm/command.ts) and calls one kernel per command.
 */
import { attention } from "./attention_f32";
import { conv } from "./conv_f32";
import { convGradWeight } from "./conv_grad_f32";
import { failure } from "./failure";
import { matmul } from "./gemm_f32";
import { Opcode } from "./generated/agreement";
import { gather, scatterAdd } from "./indexing";
import { map } from "./map";
import { pool, poolGrad } from "./pool";
import { qconv } from "./qconv_i8";
import { qmatmulFloat } from "./qmatmul_f32";
import { qmatmulGroups } from "./qmatmul_groups";
import { qmatmul } from "./qmatmul_i8";
import { reduce } from "./reduce";
import { write } from "./write";

/** Runs the commands from `start` to `end`. Returns 0, or the address of the command that failed, which ends the run. */
export function execute(start: usize): usize {
  store<i32>(failure, 0);
  let command = start;
  let opcode = load<i32>(command);
  while (opcode != Opcode.end) {
    const payload = command + 8;
    store<usize>(failure, command, 12);
    switch (opcode) {
      case Opcode.map:
        map(payload);
        break;
      case Opcode.reduce:
        reduce(payload);
        break;
      case Opcode.matmul:
        matmul(payload);
        break;
      case Opcode.attention:
        attention(payload);
        break;
      case Opcode.conv:
      case Opcode.convGradInput:
        conv(payload);
        break;
      case Opcode.convGradWeight:
        convGradWeight(payload);
        break;
      case Opcode.pool:
        pool(payload);
        break;
      case Opcode.poolGrad:
        poolGrad(payload);
        break;
      case Opcode.gather:
        gather(payload);
        if (load<i32>(failure) != 0) return command;
        break;
      case Opcode.qmatmul:
        qmatmul(payload);
        break;
      case Opcode.qmatmulGroups:
        qmatmulGroups(payload);
        break;
      case Opcode.qmatmulFloat:
        qmatmulFloat(payload);
        break;
      case Opcode.write:
        write(payload);
        break;
      case Opcode.qconv:
        qconv(payload);
        break;
      case Opcode.scatterAdd:
        scatterAdd(payload);
        if (load<i32>(failure) != 0) return command;
        break;
      default:
        unreachable();
    }
    command += (<usize>load<u32>(command, 4)) << 2;
    opcode = load<i32>(command);
  }
  return 0;
}
