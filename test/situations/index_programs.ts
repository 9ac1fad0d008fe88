/**
 * Programs with bad labels and indices. Each returns its failed expectations: none, on every device.
 */
import { backward } from "../../src/autograd/backward.js";
import type { Device } from "../../src/device/device.js";
import { BatchNorm2d, Embedding, Linear, Module } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import { jit } from "../../src/runtime/jit.js";
import { realize } from "../../src/runtime/realize.js";
import "../../src/ops/methods.js";
import type { DType } from "../../src/core/dtype.js";
import { WattgradError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { AdamW, SGD } from "../../src/optim/index.js";

export type IndexProgram = (device: Device) => Promise<readonly string[]>;

/** What a read throws, as `name: message`; or its values. */
async function outcome(tensor: Tensor): Promise<string> {
  try {
    return Array.from(await readExact(tensor)).join();
  } catch (error) {
    if (!(error instanceof WattgradError)) throw error;
    return `${error.name}: ${error.message}`;
  }
}

function short(value: unknown): string {
  return String(value).slice(0, 200);
}

class Expectations {
  readonly found: string[] = [];

  is(what: string, got: unknown, want: unknown): void {
    if (!Object.is(got, want)) this.found.push(`${what}: ${short(got)}, expected ${short(want)}`);
  }

  /** Each of these tensors has these values, or the error, every time it is read. */
  async reads(what: string, tensor: Tensor, want: string): Promise<void> {
    for (const time of ["first", "second"]) this.is(`${what}, ${time} read`, await outcome(tensor), want);
  }
}

const integers = (
  device: Device,
  values: readonly number[],
  shape = [values.length],
  dtype: DType = "int32",
) => ops.tensor([...values], { device, dtype }).reshape(shape);

async function stateOf(model: Module, optimizer: SGD | AdamW): Promise<string> {
  const tensors = [...model.stateDict(), ...optimizer.stateDict().tensors];
  const values: string[] = [];
  for (const [name, tensor] of tensors) values.push(`${name}=${await outcome(tensor)}`);
  return values.join(";");
}

/** The optimizers of a network with running statistics, and a training step of it. */
function network(device: Device) {
  class Net extends Module {
    readonly first = new Linear(4, 8, { device });
    readonly norm = new BatchNorm2d(8, { device });
    readonly second = new Linear(8, 3, { device });

    forward(x: Tensor): Tensor {
      return this.second.forward(
        this.norm.forward(this.first.forward(x).reshape([6, 8, 1, 1])).reshape([6, 8]),
      );
    }
  }
  const model = new Net();
  const optimizer = new AdamW(model.parameters(), { lr: 0.1 });
  const x = ops
    .tensor(
      Array.from({ length: 24 }, (_, i) => Math.sin(i)),
      { device },
    )
    .reshape([6, 4]);
  const labels = (bad = 0) => integers(device, [0, 1, bad, 2, 1, 0]);
  const lossOf = (x: Tensor, y: Tensor) => ops.crossEntropy(model.forward(x), y);
  return { model, optimizer, x, labels, lossOf };
}

const badLabel = "IndexError: crossEntropy: label 7 of 3 classes";

export const indexPrograms: Readonly<Record<string, IndexProgram>> = {
  async "a step with a bad label changes nothing, and its loss tells"(device) {
    const expect = new Expectations();
    const { model, optimizer, x, labels, lossOf } = network(device);
    const step = (bad?: number) => {
      const loss = lossOf(x, labels(bad));
      loss.backward();
      optimizer.step();
      return loss;
    };
    await step().item();
    const before = await stateOf(model, optimizer);
    const failed = step(7);
    await expect.reads("something else", ops.ones([2], { device }).add(1), "2,2");
    expect.is("the state", await stateOf(model, optimizer), before);
    const counted = optimizer.stateDict().numbers.steps[0];
    expect.is("steps", counted, device.name === "webgl" ? 2 : 1);
    await expect.reads("the loss", failed, badLabel);
    await expect.reads("what is computed from the loss", failed.mul(2), badLabel);
    await expect.reads("what is computed from both", failed.add(ops.ones([], { device })), badLabel);
    expect.is("the state, later", await stateOf(model, optimizer), before);
    const next = step();
    expect.is("the next loss is a number", Number.isFinite(await next.item()), true);
    expect.is("the next step changes the state", (await stateOf(model, optimizer)) !== before, true);
    return expect.found;
  },

  async "an update that does not need the label waits for its check"(device) {
    const expect = new Expectations();
    const { optimizer, x, labels, lossOf } = network(device);
    const average = ops.tensor([8], { device, dtype: "float32" });
    // Assigned before the loss, and nothing is returned: the Program could make this update first.
    const step = jit((x: Tensor, y: Tensor) => {
      average.assign(average.mul(0.5));
      backward(lossOf(x, y));
      optimizer.step();
      return undefined;
    });
    step(x, labels(7));
    expect.is("the average, first read", await outcome(average), badLabel);
    await expect.reads("the average", average, "8");
    step(x, labels());
    await expect.reads("the average after a good step", average, "4");
    return expect.found;
  },

  async "a jitted step: the same, and steps around it count"(device) {
    const expect = new Expectations();
    const states: string[] = [];
    for (const list of [
      [0, 7, 1],
      [0, 1],
    ]) {
      ops.manualSeed(0);
      const { model, optimizer, x, labels, lossOf } = network(device);
      const step = jit((x: Tensor, y: Tensor) => {
        const loss = lossOf(x, y);
        backward(loss);
        optimizer.step();
        return loss;
      });
      const losses = list.map((bad) => step(x, labels(bad)));
      for (const [i, bad] of list.entries()) {
        const tells = (await outcome(losses[i])) === badLabel;
        expect.is(`loss ${i} of ${list}`, tells, bad === 7);
      }
      states.push(await stateOf(model, optimizer));
    }
    // Where the device tells later, the step stays counted.
    if (device.name !== "webgl") expect.is("the state", states[0], states[1]);
    return expect.found;
  },

  async "a jitted step that returns nothing: the parameters tell once"(device) {
    const expect = new Expectations();
    const weight = ops.tensor([1, 2], { device, requiresGrad: true });
    const optimizer = new SGD([weight], { lr: 1 });
    const step = jit((index: Tensor) => {
      backward(ops.gather(weight, 0, index).sum());
      optimizer.step();
      return undefined;
    });
    step(integers(device, [0]));
    expect.is("a good step", await outcome(weight), "0,2");
    step(integers(device, [2]));
    step(integers(device, [1]));
    expect.is("first read", await outcome(weight), "IndexError: gather: index 2 of 2 elements along dim 0");
    expect.is("second read", await outcome(weight), "0,1");
    return expect.found;
  },

  async "an assigned value tells once; the old one stays"(device) {
    const expect = new Expectations();
    const table = ops.tensor([1, 2, 3], { device });
    table.assign(ops.gather(ops.ones([5], { device }), 0, integers(device, [0, 5, 0])));
    expect.is("first read", await outcome(table), "IndexError: gather: index 5 of 5 elements along dim 0");
    await expect.reads("later", table, "1,2,3");
    return expect.found;
  },

  async "in one Program only what depends on the index tells"(device) {
    const expect = new Expectations();
    const x = ops.tensor([10, 20, 30], { device });
    const pick = (...index: number[]) => ops.gather(x, 0, integers(device, index));
    const [good, bad, other] = [pick(2, 1), pick(0, 3), pick(-1)];
    const sums = [good.mul(2), bad.mul(2), other.mul(2), bad.sum().add(good), x.add(1)];
    realize(sums);
    const told = (index: number) => `IndexError: gather: index ${index} of 3 elements along dim 0`;
    const wanted = ["60,40", told(3), told(-1), told(3), "11,21,31"];
    for (const [i, want] of wanted.entries()) await expect.reads(`result ${i}`, sums[i], want);
    return expect.found;
  },

  async "a tensor that was realized carries it on, into updates as well"(device) {
    const expect = new Expectations();
    const table = new Embedding(10, 3, { device });
    const hidden = table.forward(integers(device, [1, 12])).detach();
    const fine = table.forward(integers(device, [1, 2])).detach();
    realize([hidden, fine]);
    const told = "IndexError: embedding: index 12 of 10 rows";
    const head = ops.tensor([1, 2, 3], { device, requiresGrad: true });
    const optimizer = new SGD([head], { lr: 1 });
    const step = (x: Tensor) => {
      const loss = ops.mul(x, head).sum();
      loss.backward();
      optimizer.step();
      return loss;
    };
    const losses = [step(hidden), step(fine.mul(0))];
    await expect.reads("the parameter", head, "1,2,3");
    await expect.reads("the loss", losses[0], told);
    await expect.reads("the next loss", losses[1], "0");
    let state = hidden;
    for (let i = 0; i < 5; i++) {
      state = state.mul(0.5).add(fine);
      state.realize();
    }
    await expect.reads("a recurrence", state, told);
    await expect.reads("what was looked up first", hidden, told);
    expect.is("a clone", await outcome(hidden.clone()), told);
    return expect.found;
  },

  async "every op names itself"(device) {
    const expect = new Expectations();
    const x = ops.tensor([1, 2, 3, 4, 5, 6], { device }).reshape([2, 3]);
    const weight = ops.ones([3], { device });
    const label = (value: number) => integers(device, [0, value]);
    const at = (value: number) => integers(device, [value, 0], [2, 1]);
    const named: Record<string, [Tensor, string]> = {
      gather: [ops.gather(x, -1, at(3)), "index 3 of 3 elements along dim 1"],
      scatterAdd: [ops.scatterAdd(x, 0, at(2), at(2)), "index 2 of 2 elements along dim 0"],
      indexSelect: [ops.indexSelect(x, 1, label(-1)), "index -1 of 3 elements along dim 1"],
      embedding: [ops.embedding(x, label(2 ** 31 - 1)), "index 2147483647 of 2 rows"],
      oneHot: [ops.oneHot(label(-(2 ** 31)), 3), "label -2147483648 of 3 classes"],
      crossEntropy: [ops.crossEntropy(x, label(3)), "label 3 of 3 classes"],
      nllLoss: [ops.nllLoss(x, label(-1)), "label -1 of 3 classes"],
    };
    for (const [op, [tensor, message]] of Object.entries(named)) {
      await expect.reads(op, tensor, `IndexError: ${op}: ${message}`);
    }
    const weighted = ops.crossEntropy(x, label(3), { weight });
    await expect.reads("weighted", weighted, "IndexError: crossEntropy: label 3 of 3 classes");
    const narrow = ops.embedding(x, integers(device, [-1], [1], "int8"));
    await expect.reads("int8", narrow, "IndexError: embedding: index -1 of 2 rows");
    const empty = ops.embedding(ops.zeros([0, 4], { device }), integers(device, [0]));
    await expect.reads("no rows", empty, "IndexError: embedding: index 0 of 0 rows");
    const onto = ops.scatterAdd(ops.zeros([0, 1], { device }), 0, at(0), ops.ones([2, 1], { device }));
    await expect.reads("onto nothing", onto, "IndexError: scatterAdd: index 0 of 0 elements along dim 0");
    return expect.found;
  },

  async "labels of -100 are ignored unless told otherwise"(device) {
    const expect = new Expectations();
    const x = ops.tensor([0, 0, 1, 2, 9, 8], { device, requiresGrad: true }).reshape([3, 2]);
    const [ignored, some] = [integers(device, [-100, 1, -100]), integers(device, [-1, 1, 0])];
    const of = async (tensor: Tensor) => (await tensor.item()).toFixed(5);
    expect.is("mean", await of(ops.crossEntropy(x, ignored)), "0.31326");
    expect.is("smoothed", await of(ops.crossEntropy(x, ignored, { labelSmoothing: 0.5 })), "0.56326");
    expect.is("nll", await of(ops.nllLoss(x, ignored, { reduction: "sum" })), "-2.00000");
    expect.is("all", await of(ops.crossEntropy(x, integers(device, [-100, -100, -100]))), "NaN");
    const own = { ignoreIndex: -1, reduction: "none" } as const;
    expect.is("own", (await outcome(ops.crossEntropy(x, some, own))).slice(0, 9), "0,0.31326");
    const label = "IndexError: crossEntropy: label -100 of 2 classes";
    expect.is("other", await outcome(ops.crossEntropy(x, ignored, own)), label);
    return expect.found;
  },

  async "indices that are no integers are refused at once"(device) {
    const expect = new Expectations();
    const x = ops.ones([2, 3], { device });
    for (const dtype of ["float32", "bool"] as const) {
      for (const call of [
        () => ops.gather(x, 1, ops.zeros([2, 1], { device, dtype })),
        () => ops.embedding(x, ops.zeros([1], { device, dtype })),
        () => ops.crossEntropy(x, ops.zeros([2], { device, dtype })),
        () => ops.oneHot(ops.zeros([1], { device, dtype }), 2),
      ]) {
        try {
          call();
          expect.found.push(`${call} with ${dtype} is accepted`);
        } catch (error) {
          expect.is(`${call}`, error instanceof WattgradError && error.code, "DTYPE");
        }
      }
    }
    return expect.found;
  },
};
