/**
 * Random programs as people write them: eager passes, jitted ones, steps of two optimizers, reads, changed modes and settings,
 * assignments, lost devices, in any order. Each action is a few numbers, so that every list of actions is a program.
 */

import { WattgradError } from "../../src/core/errors.js";
import type { Device } from "../../src/device/device.js";
import { noGrad } from "../../src/graph/tensor.js";
import { BatchNorm2d, Conv2d, crossEntropy, Dropout, Linear, Module } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import { Tensor } from "../../src/ops/methods.js";
import { AdamW, LRScheduler, type Optimizer, SGD } from "../../src/optim/index.js";
import { commit } from "../../src/runtime/commit.js";
import { leaf, readExact } from "../../src/runtime/host_data.js";
import { jit } from "../../src/runtime/jit.js";
import { generate } from "../cases/generate.js";

export interface Action {
  /** Which of `actions`, modulo their number. */
  readonly kind: number;
  /** Chooses among batches, parameters and settings. */
  readonly pick: number;
}

/** What an action showed: numbers that were read, or the code of a typed error. */
export type Observation = readonly number[] | string;

class Net extends Module {
  readonly conv: Conv2d;
  readonly norm: BatchNorm2d;
  readonly dropout = new Dropout(0.25);
  readonly head: Linear;

  constructor(device: Device) {
    super();
    this.conv = new Conv2d(1, 3, 3, { padding: 1, device });
    this.norm = new BatchNorm2d(3, { device });
    this.head = new Linear(48, 3, { device });
  }

  forward(x: Tensor): Tensor {
    return this.head.forward(this.dropout.forward(this.norm.forward(this.conv.forward(x)).relu().flatten(1)));
  }
}

/** How the program runs: `jit` as written; without it every function is called as it is. */
export interface RunOptions {
  readonly jit: boolean;
  /** Loses the device and brings it back; for devices that can be lost. */
  lose?(): Promise<void>;
}

class World {
  readonly model: Net;
  readonly body: SGD;
  readonly head: AdamW;
  readonly schedule: LRScheduler;
  readonly infer: (x: Tensor) => Tensor;
  readonly micro: (x: Tensor, y: Tensor) => Tensor;
  readonly train: (x: Tensor, y: Tensor) => Tensor;
  held: Tensor | undefined;

  constructor(
    readonly device: Device,
    readonly options: RunOptions,
  ) {
    manualSeed(1);
    this.model = new Net(device);
    const { conv, norm, head } = this.model;
    this.body = new SGD([...conv.parameters(), ...norm.parameters()], { lr: 0.05, momentum: 0.9 });
    this.head = new AdamW(head.parameters(), { lr: 0.01, weightDecay: 0.1 });
    this.schedule = new LRScheduler(this.head, (step) => 0.8 ** step);
    const compiled = <F extends (...args: Tensor[]) => Tensor>(fn: F): F =>
      options.jit ? (jit(fn) as unknown as F) : fn;
    this.infer = compiled((x) => noGrad(() => this.model.forward(x)));
    this.micro = compiled((x, y) => {
      const loss = crossEntropy(this.model.forward(x), y);
      loss.backward();
      return loss;
    });
    this.train = compiled((x, y) => {
      const loss = crossEntropy(this.model.forward(x), y);
      loss.backward();
      this.body.step();
      this.head.step();
      return loss;
    });
  }

  /** Images and labels; of one of three batch sizes. */
  batch(pick: number): [Tensor, Tensor] {
    const count = [2, 3, 5][pick % 3];
    const shape = [count, 1, 4, 4];
    const images = generate(`batch ${pick % 6}`, shape, "float32", { between: [-1, 1] });
    const labels = generate(`labels ${pick % 6}`, [count], "int32", { integers: [0, 3] });
    return [leaf(this.device, "float32", shape, images), leaf(this.device, "int32", [count], labels)];
  }

  parameter(pick: number): Tensor {
    const list = this.model.parameters();
    return list[pick % list.length];
  }

  optimizer(pick: number): Optimizer<{ lr: number; readonly weightDecay?: number }> {
    return pick % 2 === 0 ? this.body : this.head;
  }
}

type Run = (world: World, pick: number) => unknown;

function readHeld(world: World): Tensor | undefined {
  return world.held;
}

/** Whether the action reads a lazy tensor that was made by an earlier one, whose inputs may have changed since. */
export function readsHeld({ kind }: Action): boolean {
  return actions[kind % actions.length] === readHeld;
}

/** The result of an action is read, or, where it is undefined, nothing is. */
const actions: readonly Run[] = [
  (world, pick) => noGrad(() => world.model.forward(world.batch(pick)[0])),
  (world, pick) => world.infer(world.batch(pick)[0]),
  (world, pick) => {
    const [x, y] = world.batch(pick);
    const loss = crossEntropy(world.model.forward(x), y);
    loss.backward();
    return pick % 2 === 0 ? loss : undefined;
  },
  (world, pick) => {
    const loss = world.micro(...world.batch(pick));
    return pick % 2 === 0 ? loss : undefined;
  },
  (world, pick) => {
    const loss = world.train(...world.batch(pick));
    return pick % 4 === 0 ? undefined : loss;
  },
  (world, pick) => world.train(...world.batch(pick)),
  (world, pick) => world.optimizer(pick).step(),
  (world, pick) => world.optimizer(pick).zeroGrad(),
  (world, pick) => void world.model.train(pick % 2 === 0),
  // One part at most is frozen: a loss without trainable parameters is an error.
  (world, pick) => {
    world.model.unfreeze();
    if (pick % 3 !== 0) (pick % 3 === 1 ? world.model.conv : world.model.head).freeze();
  },
  (world, pick) => {
    world.body.lr = [0.05, 0.1, 0][pick % 3];
  },
  (world, pick) => {
    (world.head.groups[0].settings as { weightDecay: number }).weightDecay = [0, 0.1, 0.5][pick % 3];
  },
  (world) => world.schedule.step(),
  (world, pick) => world.parameter(pick),
  (world, pick) => world.parameter(pick).grad,
  (world, pick) => (pick % 2 === 0 ? world.model.norm.runningMean : world.model.norm.runningVar),
  (world, pick) => {
    const parameter = world.parameter(pick);
    noGrad(() => parameter.assign(parameter.mul(0.5)));
    return pick % 2 === 0 ? parameter : undefined;
  },
  (_, pick) => void manualSeed(pick),
  (world, pick) => {
    world.held = world.model.forward(world.batch(pick)[0]).square().sum();
  },
  readHeld,
  async (world, pick) => {
    const state = new Map([...world.model.stateDict()].map(([name, tensor]) => [name, tensor]));
    const name = [...state.keys()][pick % 4];
    const { dtype, shape } = state.get(name)!;
    const data = generate(`state ${pick}`, shape, dtype, { between: [-1, 1] });
    await world.model.loadStateDict(new Map([[name, { dtype, shape, data }]]), { strict: false });
    return undefined;
  },
  // What waits for a step is forgotten by a loss, assigned running statistics too: none waits.
  async (world) => {
    commit(world.device);
    world.body.zeroGrad();
    world.head.zeroGrad();
    world.held = undefined;
    await world.options.lose?.();
    return undefined;
  },
];

/** Runs the actions; one observation for each. */
export async function observe(
  program: readonly Action[],
  device: Device,
  options: RunOptions,
): Promise<Observation[]> {
  const world = new World(device, options);
  const seen: Observation[] = [];
  for (const { kind, pick } of program) {
    try {
      const result = await actions[kind % actions.length](world, pick);
      seen.push(result instanceof Tensor ? Array.from(await readExact(result)) : []);
    } catch (error) {
      if (!(error instanceof WattgradError)) throw error;
      seen.push(error.code);
    }
  }
  // Whatever nobody looked at shows at the end.
  for (const tensor of world.model.stateDict().values()) seen.push(Array.from(await readExact(tensor)));
  return seen;
}
