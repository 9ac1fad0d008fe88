/** Schemes of weights only: how much they round, and tied tables. */
import { describe, expect, it } from "vitest";
import type { Tensor } from "../../src/graph/tensor.js";
import { Embedding, Linear, Sequential } from "../../src/nn/index.js";
import { add, linear, mul, randn } from "../../src/ops/index.js";
import {
  bfloat16WeightOnly,
  float16WeightOnly,
  int4WeightOnly,
  int8Dynamic,
  type QuantizedLayer,
  quantize,
  quantizedState,
} from "../../src/quantization/index.js";
import { readTensor } from "../../src/runtime/host_data.js";
import { devices } from "../devices.js";

const { device } = devices[devices.length - 1];

describe("schemes of weights only", () => {
  it("a minimum of each group rounds less than a scale alone; halves round less still", async () => {
    const noise: number[] = [];
    const inputs = randn([16, 96], { device });
    const weight = add(randn([40, 96], { device }), 1);
    const want = await readTensor(linear(inputs, weight));
    for (const scheme of [
      int4WeightOnly(),
      int4WeightOnly({ asymmetric: true }),
      bfloat16WeightOnly(),
      float16WeightOnly(),
    ]) {
      const layer = new Linear(96, 40, { bias: false, device });
      layer.weight = mul(weight, 1);
      const model = new Sequential(layer);
      await quantize(model, scheme);
      const found = Array.from(await readTensor(model.forward(inputs) as Tensor));
      noise.push(found.reduce((sum, value, i) => sum + (value - want[i]) ** 2, 0));
    }
    expect(noise).toEqual([...noise].sort((a, b) => b - a));
  });

  it("an embedding tied to the head shares all of its memory; a free one stays", async () => {
    for (const scheme of [int8Dynamic(), int4WeightOnly({ asymmetric: true }), float16WeightOnly()]) {
      const [table, free, head] = [
        new Embedding(20, 32, { device }),
        new Embedding(5, 32, { device }),
        new Linear(32, 20, { bias: false, device }),
      ];
      head.weight = table.weight;
      const model = new Sequential(table, free, head);
      const { layers } = await quantize(model, scheme);
      expect(layers.map(({ name, type }) => [name, type])).toEqual([
        ["0", "embedding"],
        ["2", "linear"],
      ]);
      const [first, second, third] = model.modules as unknown as [QuantizedLayer, Embedding, QuantizedLayer];
      expect(second).toBe(free);
      for (const part of ["weight", "scale", "minimums"] as const) expect(third[part]).toBe(first[part]);
      const { tensors } = await quantizedState(model);
      expect([...tensors.keys()].filter((name) => name.startsWith("2."))).toEqual([]);
    }
  });
});
