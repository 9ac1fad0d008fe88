/** Recurrent networks against torch.nn: outputs, last states and gradients (fixtures/make_recurrent.py). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { jit, zeros } from "../../src/index.js";
import { GRU, GRUCell, LSTM } from "../../src/nn/index.js";
import { devices } from "../devices.js";
import {
  type RecurrentCase,
  recurrentDifference,
  recurrentExpected,
  runRecurrent,
} from "./recurrent_case.js";

const cases: readonly RecurrentCase[] = JSON.parse(
  readFileSync(new URL("../fixtures/recurrent.json", import.meta.url), "utf8"),
);

describe.each(devices)("$label", ({ device }) => {
  it.each(cases.map((each) => [`${each.layer} ${JSON.stringify(each.options)}`, each] as const))(
    "%s",
    async (_, each) => {
      const difference = recurrentDifference(await runRecurrent(each, device), recurrentExpected(each));
      expect(difference).toBeLessThan(1e-5);
    },
  );
});

describe("recurrent networks", () => {
  const { device } = devices[1];

  it("name the parameters as PyTorch does", () => {
    const names = [...new GRU(2, 3, { bidirectional: true, device }).stateDict().keys()];
    const one = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
    expect(names).toEqual([...one, ...one.map((name) => `${name}_reverse`)]);
    expect([...new GRUCell(2, 3, { bias: false, device }).stateDict().keys()]).toEqual([
      "weight_ih",
      "weight_hh",
    ]);
  });

  it("drop outputs between layers in training only", async () => {
    const lstm = new LSTM(2, 8, { numLayers: 2, dropout: 0.5, device });
    const output = async () => [...(await lstm.forward(zeros([3, 1, 2], { device }))[0].data())];
    expect(await output()).not.toEqual(await output());
    lstm.eval();
    expect(await output()).toEqual(await output());
  });

  it("refuse other shapes", () => {
    const gru = new GRU(2, 3, { device });
    expect(() => gru.forward(zeros([4, 1, 5], { device }))).toThrow(/GRU: the input is \[T, N, 2\]/);
    expect(() => gru.forward(zeros([4, 1, 2], { device }), zeros([1, 2, 3], { device }))).toThrow(
      /GRU: h is \[1, 1, 3\], got \[1, 2, 3\]/,
    );
    expect(() => new GRUCell(2, 3, { device }).forward(zeros([4, 3], { device }))).toThrow(
      /GRUCell: the input/,
    );
  });

  it("run in a jit function, of 128 steps", async () => {
    const gru = new GRU(4, 8, { device });
    const call = jit((x: ReturnType<typeof zeros>) => gru.forward(x)[0]);
    const x = zeros([128, 2, 4], { device });
    expect(await call(x).data()).toEqual(await gru.forward(x)[0].data());
  });
});
