/** wattgrad as a contender: each computation is captured once by jit and replayed. */

import type { Device } from "../device/device.js";
import { openDry } from "../device/dry/dry.js";
import { type DeviceName, openDevice } from "../device/select.js";
import { openMeter } from "../energy/index.js";
import type { Tensor } from "../graph/tensor.js";
import { costOf } from "../kernels/cost.js";
import type { Program } from "../kernels/kernel.js";
import { permute, reshape, tensor } from "../ops/index.js";
import { roofline } from "../profile/index.js";
import { jit } from "../runtime/jit.js";
import { computationOf } from "./computations.js";
import type { Contender, Work } from "./contender.js";
import type { Problem, TrainProblem } from "./problem.js";
import { initialModel, optimizerOf, workloads } from "./workload.js";

/** Limit for the reference device, which does about 1e8 FLOPs a second; longer work is skipped. */
const referenceLimit = 2e8;

/** @throws DeviceError if the device does not work here. */
export async function openOurs(name: DeviceName): Promise<Contender> {
  const device = await openDevice(name);
  const { description, details } = device.info;
  const meter = await openMeter({ device });
  return {
    device: name,
    peer: null,
    description,
    details,
    meter,
    async build(problem) {
      if (name === "reference") requireSmall(problem);
      return buildOn(device, problem);
    },
    roofline: () => roofline(device),
    close() {
      meter.close();
      device.close();
    },
  };
}

/** @throws Error for work above the limit. */
function requireSmall(problem: Problem): void {
  const dry = openDry();
  const work = buildOn(dry, problem);
  dry.close();
  if (work.cost!.flops <= referenceLimit) return;
  throw new Error(`${(work.cost!.flops / 1e9).toFixed(1)} GFLOP are left out on the reference device`);
}

function buildOn(device: Device, problem: Problem): Work {
  if (problem.kind === "train") return training(device, problem);
  const { compute, inputs, amount = 1 } = computationOf(problem, device);
  const replay = jit<Tensor[], Tensor>(compute);
  const isTurned = problem.kind === "conv" && device.info.convLayout === "channels-last";
  return work(device, () => replay(...inputs), {
    amount,
    program: () => replay.program(...inputs)!,
    values: (y) => (isTurned ? permute(y, [0, 3, 1, 2]) : y),
    owned: inputs,
  });
}

function training(device: Device, { model: name }: TrainProblem): Work {
  const workload = workloads[name];
  const model = initialModel(workload, device);
  const optimizer = optimizerOf(workload, model);
  const { x, y } = workload.batch();
  const inputs = [x, y].map(({ data, shape }) => tensor(data, { shape, device }));
  const step = jit<Tensor[], Tensor>((input, target) => {
    const loss = workload.loss(model, input, target);
    loss.backward();
    optimizer.step();
    return loss;
  });
  return work(device, () => step(...inputs), {
    amount: 1,
    program: () => step.program(...inputs)!,
    values: (loss) => reshape(loss, [1]),
    owned: [...inputs, ...model.parameters()],
  });
}

interface WorkParts {
  readonly amount: number;
  readonly program: () => Program;
  /** The result in the contenders' common layout. */
  readonly values: (result: Tensor) => Tensor;
  readonly owned: readonly Tensor[];
}

function work(device: Device, replay: () => Tensor, { amount, program, values, owned }: WorkParts): Work {
  const probe = device.allocate("float32", 1);
  // Recorded here, before the first timed run, so that the cost is known.
  let first: Tensor | undefined = replay();
  return {
    cost: costOf(program(), device.info),
    amount,
    run() {
      replay().dispose();
      return undefined;
    },
    // The queue is in order: reading the last result waits for all runs.
    finish: () => device.read(probe),
    async result() {
      const result = first ?? replay();
      first = undefined;
      const read = values(result);
      const data = await read.data();
      if (read !== result) read.dispose();
      result.dispose();
      return data;
    },
    close() {
      first?.dispose();
      device.free(probe);
      for (const tensor of owned) tensor.dispose();
    },
  };
}
