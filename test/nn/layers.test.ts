/** Layers against the functions that they wrap, and their initial values. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import * as nn from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import "../../src/ops/methods.js";
import { ArgumentError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";

let device: Device;
beforeAll(() => {
  device = openReference();
  nn.setDefaultDevice(device);
  ops.manualSeed(7);
});

interface Statistics {
  readonly mean: number;
  readonly deviation: number;
  readonly largest: number;
}

async function statistics(tensor: Tensor): Promise<Statistics> {
  const values = [...(await tensor.data())];
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance), largest: Math.max(...values.map(Math.abs)) };
}

/** A uniform sample fills ±bound evenly: five standard errors of mean and deviation, and never beyond the bound. */
async function expectUniform(tensor: Tensor, bound: number): Promise<void> {
  const { mean, deviation, largest } = await statistics(tensor);
  const sigma = bound / Math.sqrt(3);
  const n = tensor.size;
  expect(largest).toBeLessThanOrEqual(bound * (1 + 1e-6));
  expect(largest).toBeGreaterThan(bound * (1 - 20 / n));
  expect(Math.abs(mean)).toBeLessThan((5 * sigma) / Math.sqrt(n));
  // The kurtosis of a uniform distribution is 9/5: Var(s²) ≈ 0.8 σ⁴/n, so Var(s) ≈ 0.2 σ²/n.
  expect(Math.abs(deviation - sigma)).toBeLessThan(5 * sigma * Math.sqrt(0.2 / n));
}

describe("initial values", () => {
  it("Linear and Conv2d: uniform within 1/√fanIn", async () => {
    const linear = new nn.Linear(100, 400);
    await expectUniform(linear.weight, 0.1);
    await expectUniform(linear.bias!, 0.1);
    const conv = new nn.Conv2d(8, 256, [3, 5], { groups: 2 });
    expect(conv.weight.shape).toEqual([256, 4, 3, 5]);
    await expectUniform(conv.weight, 1 / Math.sqrt(60));
    await expectUniform(conv.bias!, 1 / Math.sqrt(60));
  });

  it("Embedding: standard normal", async () => {
    const { mean, deviation, largest } = await statistics(new nn.Embedding(200, 50).weight);
    expect(Math.abs(mean)).toBeLessThan(5 / 100);
    expect(Math.abs(deviation - 1)).toBeLessThan(5 / Math.sqrt(20_000));
    expect(largest).toBeGreaterThan(3);
  });

  it("MultiheadAttention: Xavier in-projection, zero biases", async () => {
    const { inProjWeight, inProjBias, outProj } = new nn.MultiheadAttention(64, 4);
    await expectUniform(inProjWeight, Math.sqrt(6 / (4 * 64)));
    await expectUniform(outProj.weight, 1 / 8);
    expect((await statistics(inProjBias!)).largest).toBe(0);
    expect((await statistics(outProj.bias!)).largest).toBe(0);
  });

  it("norms: ones and zeros", async () => {
    for (const { weight, bias } of [new nn.BatchNorm2d(3), new nn.LayerNorm(3)]) {
      expect(await weight!.tolist()).toEqual([1, 1, 1]);
      expect(await bias!.tolist()).toEqual([0, 0, 0]);
    }
    expect(new nn.LayerNorm([2, 3], { bias: false }).bias).toBeUndefined();
    expect(new nn.BatchNorm2d(3, { affine: false }).parameters()).toEqual([]);
  });

  it("follow the seed", async () => {
    const draw = async () => (await new nn.Linear(5, 4).weight.data()).join();
    ops.manualSeed(3);
    const first = await draw();
    expect(await draw()).not.toBe(first);
    ops.manualSeed(3);
    expect(await draw()).toBe(first);
  });
});

describe("forward", () => {
  const rounded = async (x: Tensor) => [...(await readExact(x))].map((value) => Number(value.toFixed(9)));

  it("layers with parameters compute their op", async () => {
    const x = ops.randn([2, 4, 5, 5], { device });
    const conv = new nn.Conv2d(4, 6, 3, { padding: 1, stride: 2 });
    const expected = ops.conv2d(x, conv.weight, conv.bias, { padding: 1, stride: 2 });
    expect(conv.forward(x).shape).toEqual([2, 6, 3, 3]);
    expect(await rounded(conv.forward(x))).toEqual(await rounded(expected));

    const linear = new nn.Linear(5, 3);
    expect(linear.forward(x).shape).toEqual([2, 4, 5, 3]);
    expect(await rounded(linear.forward(x))).toEqual(
      await rounded(x.matmul(linear.weight.transpose(0, 1)).add(linear.bias!)),
    );
    const index = ops.tensor(new Int32Array([2, 0]), { device });
    const table = new nn.Embedding(3, 2);
    const rows = (await table.weight.tolist()) as number[][];
    expect(await table.forward(index).tolist()).toEqual([rows[2], rows[0]]);
    expect((await statistics(new nn.LayerNorm(5).forward(x))).deviation).toBeCloseTo(1, 3);
  });

  it("layers without parameters compute theirs", async () => {
    const x = ops.tensor([-1, 0.5, 2, -3], { device, shape: [1, 1, 2, 2] });
    const pairs: [nn.Module, Tensor][] = [
      [new nn.ReLU(), ops.relu(x)],
      [new nn.GELU(), ops.gelu(x)],
      [new nn.GELU({ approximate: "tanh" }), ops.gelu(x, { approximate: "tanh" })],
      [new nn.Tanh(), ops.tanh(x)],
      [new nn.Sigmoid(), ops.sigmoid(x)],
      [new nn.SiLU(), ops.silu(x)],
      [new nn.Softmax(-1), ops.softmax(x, -1)],
      [new nn.MaxPool2d(2), ops.maxPool2d(x, 2)],
      [new nn.AvgPool2d(2), ops.avgPool2d(x, 2)],
      [new nn.AdaptiveAvgPool2d(1), ops.mean(x, [2, 3], { keepdim: true })],
      [new nn.Flatten(), ops.flatten(x, 1)],
      [new nn.Identity(), x],
    ];
    for (const [layer, expected] of pairs) {
      expect(layer.forward(x).shape).toEqual(expected.shape);
      expect(await rounded(layer.forward(x)), layer.constructor.name).toEqual(await rounded(expected));
    }
    const target = ops.zeros([1, 1, 2, 2], { device });
    expect(await new nn.MSELoss().forward(x, target).item()).toBeCloseTo((1 + 0.25 + 4 + 9) / 4, 6);
    const logits = ops.zeros([3, 4], { device });
    const classes = ops.tensor(new Int32Array([0, 3, 1]), { device });
    expect(await new nn.CrossEntropyLoss().forward(logits, classes).item()).toBeCloseTo(Math.log(4), 6);
  });

  it("attention: self, cross, causal, masked", async () => {
    const attention = new nn.MultiheadAttention(8, 2);
    const x = ops.randn([2, 3, 8], { device });
    const memory = ops.randn([2, 5, 8], { device });
    expect(attention.forward(x, memory, memory).shape).toEqual([2, 3, 8]);
    expect(await rounded(attention.forward(x))).toEqual(await rounded(attention.forward(x, x, x)));
    expect(await rounded(attention.forward(x, memory))).toEqual(
      await rounded(attention.forward(x, memory, memory)),
    );
    const lower = ops.tensor([1, 0, 0, 1, 1, 0, 1, 1, 1], { device, shape: [3, 3], dtype: "bool" });
    const causal = attention.forward(x, { causal: true });
    expect(await rounded(attention.forward(x, x, x, { attnMask: ops.logicalNot(lower) }))).toEqual(
      await rounded(causal),
    );
    // What comes later does not change what came before.
    const changed = ops.concat([x.narrow(1, 0, 2), ops.ones([2, 1, 8], { device })], 1);
    expect(await rounded(attention.forward(changed, { causal: true }).narrow(1, 0, 2))).toEqual(
      await rounded(causal.narrow(1, 0, 2)),
    );
    expect(await rounded(attention.forward(x))).not.toEqual(await rounded(causal));
  });

  it("attention equals torch.nn.MultiheadAttention", async () => {
    // PyTorch 2.15, float64: weights i → sin(i) / 2 (in_proj_weight) and cos(i) / 2 (out_proj), biases i / 10 and
    // −i / 10, x = sin(3i), 2 heads, a causal mask.
    const attention = new nn.MultiheadAttention(4, 2);
    const made = (shape: number[], f: (i: number) => number) => {
      const size = shape.reduce((a, b) => a * b, 1);
      return { dtype: "float32" as const, shape, data: Float64Array.from({ length: size }, (_, i) => f(i)) };
    };
    await attention.loadStateDict(
      new Map([
        ["in_proj_weight", made([12, 4], (i) => Math.sin(i) / 2)],
        ["in_proj_bias", made([12], (i) => i / 10)],
        ["out_proj.weight", made([4, 4], (i) => Math.cos(i) / 2)],
        ["out_proj.bias", made([4], (i) => -i / 10)],
      ]),
    );
    const x = ops.tensor(made([1, 3, 4], (i) => Math.sin(3 * i)).data, { device, shape: [1, 3, 4] });
    expect(await rounded(attention.forward(x, { causal: true }))).toEqual([
      -0.093643207, 0.665266372, -1.106779758, 0.120155236, -0.074852288, 0.656759115, -1.114449248,
      0.13868872, -0.061956723, 0.650509318, -1.119174533, 0.151115823,
    ]);
  });

  it("refuses heads and groups that do not divide", () => {
    expect(() => new nn.MultiheadAttention(10, 4)).toThrow(ArgumentError);
    expect(() => new nn.Conv2d(4, 6, 3, { groups: 4 })).toThrow(/4 groups do not divide 4 and 6 channels/);
  });
});
