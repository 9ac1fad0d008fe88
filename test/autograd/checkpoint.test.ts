/** Activation checkpointing: the same bits with and without, and the memory that it saves. */
import { describe, expect, it } from "vitest";
import { backward, grad } from "../../src/autograd/backward.js";
import { checkpoint } from "../../src/autograd/checkpoint.js";
import { StaleTensorError } from "../../src/core/errors.js";
import type { Device } from "../../src/device/device.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { Dropout, GELU, LayerNorm, Linear, MultiheadAttention, Sequential } from "../../src/nn/index.js";
import "../../src/ops/methods.js";
import { add, manualSeed, randn, square, sum, tensor } from "../../src/ops/index.js";
import { AdamW, clipGradNorm } from "../../src/optim/index.js";
import { assign } from "../../src/runtime/assign.js";
import { commit } from "../../src/runtime/commit.js";
import { jit } from "../../src/runtime/jit.js";
import { devices } from "../devices.js";

const width = 16;
type Layer = (x: Tensor) => Tensor;

/** Transformer blocks with dropout; what they compute besides their results is much larger than those. */
function network(device: Device, layers: number) {
  manualSeed(3);
  const blocks = Array.from({ length: layers }, () => ({
    norm: new LayerNorm(width, { device }),
    attention: new MultiheadAttention(width, 2, { device }),
    mlp: new Sequential(
      new LayerNorm(width, { device }),
      new Linear(width, 8 * width, { device }),
      new GELU(),
      new Dropout(0.2),
      new Linear(8 * width, width, { device }),
      new Dropout(0.2),
    ),
  }));
  const parameters = blocks.flatMap((block) => Object.values(block).flatMap((part) => part.parameters()));
  const layersOf = blocks.map(({ norm, attention, mlp }): Layer => {
    return (x) => {
      const normed = norm.forward(x);
      const attended = add(x, attention.forward(normed, normed, normed));
      return add(attended, mlp.forward(attended));
    };
  });
  return { parameters, layers: layersOf };
}

/** Losses of some steps, the last gradients, and the memory of a step's Program. */
async function train(device: Device, mode: "plain" | "checkpoint" | "nested", layers: number, length = 8) {
  const { parameters, layers: blocks } = network(device, layers);
  const optimizer = new AdamW(parameters, { lr: 1e-2 });
  const apply = (block: Layer, x: Tensor) => (mode === "plain" ? block(x) : checkpoint(block, x));
  const all = (input: Tensor) => blocks.reduce((x, block) => apply(block, x), input);
  const step = jit((input: Tensor) => {
    const loss = square(mode === "nested" ? checkpoint(all, input) : all(input)).mean();
    backward(loss);
    const gradients = parameters.map(({ grad }) => grad!.clone());
    clipGradNorm(parameters, 1);
    optimizer.step();
    return [loss, ...gradients];
  });
  manualSeed(5);
  const input = randn([2, length, width], { device });
  const losses: number[] = [];
  let gradients: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    const [loss, ...parts] = step(input);
    losses.push((await loss.item()) as number);
    gradients = await Promise.all(parts.map((part) => part.tolist()));
  }
  return { losses, gradients, values: await Promise.all(parameters.map((each) => each.tolist())) };
}

/** Bytes of temporaries in the Program of one training step. */
async function temporaries(device: Device, withCheckpoints: boolean, layers: number) {
  const { parameters, layers: blocks } = network(device, layers);
  const optimizer = new AdamW(parameters, { lr: 1e-2 });
  const step = jit((input: Tensor) => {
    const apply = (x: Tensor, block: Layer) => (withCheckpoints ? checkpoint(block, x) : block(x));
    const loss = square(blocks.reduce(apply, input)).mean();
    backward(loss);
    optimizer.step();
    return loss;
  });
  const input = randn([4, 64, width], { device });
  await step(input).item();
  return step.program(input)!.arenaBytes;
}

describe.each(devices)("checkpoint on $label", ({ device }) => {
  it("gives losses, gradients and weights to the bit, with dropout, also nested", async () => {
    const plain = await train(device, "plain", 3);
    expect(await train(device, "checkpoint", 3)).toEqual(plain);
    expect(await train(device, "nested", 3)).toEqual(plain);
    expect(new Set(plain.losses).size).toBe(3);
  });
});

const { device } = devices[1];

describe("checkpoint", () => {
  it("keeps the inputs of blocks only", async () => {
    const [plain2, plain8] = [await temporaries(device, false, 2), await temporaries(device, false, 8)];
    const [saved2, saved8] = [await temporaries(device, true, 2), await temporaries(device, true, 8)];
    const inputBytes = 4 * 64 * width * 4;
    // A further layer costs its input; without, that and everything between.
    expect((saved8 - saved2) / 6 / inputBytes).toBeLessThan(1.1);
    expect((plain8 - plain2) / 6 / inputBytes).toBeGreaterThan(15);
    expect(saved8).toBeLessThan(plain8 / 4);
  });

  it("works without jit, and where the result was read before", async () => {
    const results: unknown[] = [];
    for (const isSaved of [false, true]) {
      const { parameters, layers } = network(device, 2);
      const optimizer = new AdamW(parameters, { lr: 1e-2 });
      const input = randn([1, 4, width], { device, generator: undefined });
      for (let i = 0; i < 2; i++) {
        const loss = sum(
          square(layers.reduce((x, block) => (isSaved ? checkpoint(block, x) : block(x)), input)),
        );
        if (i === 1) results.push(await loss.item());
        backward(loss);
        optimizer.step();
      }
      results.push(await parameters[0].tolist());
    }
    expect(results.slice(2)).toEqual(results.slice(0, 2));
  });

  it("takes several inputs, and captured tensors with a history", async () => {
    const a = tensor([1, 2], { device, requiresGrad: true });
    const b = tensor([3, 4], { device, requiresGrad: true });
    const captured = b.mul(a);
    const y = checkpoint((p, q) => p.mul(q).mul(captured).add(q.exp()), a, b);
    const plain = a.mul(b).mul(captured).add(b.exp());
    const expected = grad(plain.sum(), [a, b]);
    const found = grad(y.sum(), [a, b]);
    for (const i of [0, 1]) expect(await found[i].tolist()).toEqual(await expected[i].tolist());
  });

  it("has second derivatives", async () => {
    const x = tensor([2], { device, requiresGrad: true });
    const y = checkpoint((input) => input.pow(3), x);
    const [slope] = grad(y, [x], { createGraph: true });
    expect(await grad(slope, [x])[0].tolist()).toEqual([12]);
  });

  it("needs no gradient of its inputs, and none at all", async () => {
    const layer = new Linear(2, 1, { device });
    const x = tensor([[1, 2]], { device });
    backward(sum(checkpoint((input) => layer.forward(input), x)));
    expect(await layer.weight.grad!.tolist()).toEqual([[1, 2]]);
    expect(await checkpoint((input) => input.mul(2), x).tolist()).toEqual([[2, 4]]);
  });

  it("refuses values that were changed since, and async functions", () => {
    const weight = tensor([2], { device, requiresGrad: true });
    const factor = tensor([3], { device });
    const y = checkpoint((x) => x.mul(weight).mul(factor), tensor([1], { device }));
    assign(factor, tensor([4], { device }));
    commit(device);
    expect(() => backward(sum(y))).toThrow(StaleTensorError);
    expect(() => checkpoint((async (x: Tensor) => x) as never, factor)).toThrow("async");
    expect(() => checkpoint("fn" as never, factor)).toThrow("a function");
  });
});
