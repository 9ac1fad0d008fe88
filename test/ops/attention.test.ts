/** Attention as one kernel: under which conditions, results equal to products and a softmax, and its memory. */
import { describe, expect, it } from "vitest";
import type { Device } from "../../src/device/device.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { CharGpt } from "../../src/models/index.js";
import * as ops from "../../src/ops/index.js";
import { cost, openDry } from "../../src/profile/index.js";
import { realize } from "../../src/runtime/realize.js";
import { attention } from "../cases/attention.js";
import { attentionLengths } from "../cases/attention_lengths.js";
import type { Case } from "../cases/case.js";
import { devices, reference } from "../devices.js";
import { leavesOf, viewed } from "../evaluate.js";
import { expectClose, tolerance } from "../tolerance.js";

async function computed(entry: Case, device: Device, recorded: boolean) {
  const leaves = leavesOf(entry, device);
  for (const leaf of leaves) leaf.requiresGrad = recorded && leaf.dtype === "float32";
  const output = entry.run(viewed(entry, leaves));
  expect(output.requiresGrad).toBe(recorded);
  realize([output]);
  const values = await output.data();
  for (const tensor of [...leaves, output]) tensor.storage?.dispose();
  return values;
}

for (const { label, device } of devices) {
  describe(`attention on ${label}: one kernel gives what products and a softmax give`, () => {
    for (const entry of [...attention, ...attentionLengths]) {
      it(entry.name, async () => {
        const [one, several] = [await computed(entry, device, false), await computed(entry, device, true)];
        const { reductionLength = 1, scale = 1 } = entry;
        const exact = 1e-14 * reductionLength * scale;
        const absolute = device === reference ? exact : 2 * tolerance(several, entry);
        expectClose("value", one, several, { absolute, rounded: false });
      });
    }
  });
}

const dry = openDry();

async function leaf(...shape: number[]): Promise<Tensor> {
  const x = ops.zeros(shape, { device: dry });
  await x.data();
  return x;
}

async function kernelsOf(fn: () => Tensor): Promise<string[]> {
  const { programs } = await cost(dry, fn);
  return programs.flatMap(({ program }) => program.calls.map(({ kernel }) => kernel));
}

describe("attention is one kernel", () => {
  it("unless a gradient or dropout is asked for", async () => {
    const [q, k, v, mask] = [await leaf(2, 5, 4), await leaf(2, 7, 4), await leaf(2, 7, 4), await leaf(5, 7)];
    const kernels = (options?: ops.AttentionOptions) =>
      kernelsOf(() => ops.scaledDotProductAttention(q, k, v, options));
    expect(await kernels()).toEqual(["attention"]);
    expect(await kernels({ mask, causal: true })).toEqual(["attention"]);
    expect(await kernels({ dropout: 0.1 })).not.toContain("attention");
    for (const each of [q, k, v, mask]) {
      each.requiresGrad = true;
      expect(await kernels({ mask })).not.toContain("attention");
      expect(await kernelsOf(() => noGrad(() => ops.scaledDotProductAttention(q, k, v, { mask })))).toEqual([
        "attention",
      ]);
      each.requiresGrad = false;
    }
  });

  it("whose memory does not grow with the square of the length", async () => {
    const arena = async (length: number) => {
      const x = await leaf(1, 2, length, 16);
      const { programs } = await cost(dry, () =>
        ops.mul(ops.scaledDotProductAttention(x, x, x, { causal: true }), 2),
      );
      return programs[0].program.arenaBytes;
    };
    expect(await arena(1024)).toBe(8 * (await arena(128)));
  });

  it("of which a GPT joins the heads without a copy", async () => {
    const model = new CharGpt({ device: dry, numLayers: 1 });
    const tokens = ops.zeros([2, 16], { device: dry, dtype: "int32" });
    for (const each of [tokens, ...model.parameters()]) await each.data();
    const { programs } = await cost(dry, () => noGrad(() => model.forward(tokens)));
    const calls = programs.flatMap(({ program }) => program.calls);
    const at = calls.findIndex(({ kernel }) => kernel === "attention");
    expect(calls.slice(at - 1, at + 2).map(({ kernel }) => kernel)).toEqual([
      "matmul",
      "attention",
      "matmul",
    ]);
  });

  it("with errors that name what does not fit", async () => {
    const [q, k, v] = [await leaf(2, 5, 4), await leaf(2, 7, 4), await leaf(2, 7, 4)];
    const attend = (...args: Parameters<typeof ops.scaledDotProductAttention>) =>
      ops.scaledDotProductAttention(...args);
    expect(() =>
      attend(q, ops.narrow(k, 1, 0, 1), ops.narrow(v, 1, 0, 1), { mask: ops.narrow(q, 0, 0, 1) }),
    ).toThrow("a mask of shape [1, 5, 4] does not fit 1 keys");
    expect(() => attend(q, k, q)).toThrow("differ in length");
    expect(() => attend(q, v, v, { mask: q })).toThrow(/broadcast/);
    expect(() => attend(ops.cast(q, "int32"), k, v)).toThrow("float32 is needed, got int32");
  });
});
