/** MultiheadAttention's masks against torch.nn.MultiheadAttention: fixtures/make_attention_masks.py. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type DType, type NestedArray, type Tensor, tensor } from "../../src/index.js";
import { MultiheadAttention } from "../../src/nn/index.js";
import { devices } from "../devices.js";

interface Mask {
  readonly dtype: DType;
  readonly values: NestedArray;
}
interface Fixture {
  readonly heads: number;
  readonly state: Readonly<Record<string, NestedArray>>;
  readonly query: NestedArray;
  readonly memory: NestedArray;
  readonly cases: readonly {
    readonly name: string;
    readonly attn_mask?: Mask;
    readonly key_padding_mask?: Mask;
    readonly output: NestedArray;
  }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../fixtures/attention_masks.json", import.meta.url), "utf8"),
);

describe.each(devices)("$label", ({ device }) => {
  const asMask = (mask: Mask | undefined): Tensor | undefined =>
    mask && tensor(mask.values, { device, dtype: mask.dtype });

  it.each(fixture.cases)("$name", async ({ attn_mask, key_padding_mask, output }) => {
    const attention = new MultiheadAttention(4, fixture.heads, { device });
    await attention.loadStateDict(
      new Map(Object.entries(fixture.state).map(([name, values]) => [name, tensor(values, { device })])),
    );
    const query = tensor(fixture.query, { device });
    const memory = tensor(fixture.memory, { device });
    const masks = { attnMask: asMask(attn_mask), keyPaddingMask: asMask(key_padding_mask) };
    const expected = output.flat(2) as number[];
    // With gradients it is other kernels than without.
    for (const trained of [true, false]) {
      if (!trained) attention.freeze();
      const values = await attention.forward(query, memory, memory, masks).data();
      expect(values.length).toBe(expected.length);
      for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[i], 5);
    }
  });

  it("refuses masks of other shapes and dtypes, and the old name", () => {
    const attention = new MultiheadAttention(4, 2, { device });
    const x = tensor(fixture.query, { device });
    const mask = (shape: number[], dtype: DType = "bool") =>
      tensor(new Uint8Array(shape.reduce((a, b) => a * b)), { device, shape, dtype });
    expect(() => attention.forward(x, { attnMask: mask([3, 2]) })).toThrow(
      "attnMask has the shape [3, 2], not [2, 2]",
    );
    expect(() => attention.forward(x, { attnMask: mask([2, 2, 2]) })).toThrow("not [4, 2, 2]");
    expect(() => attention.forward(x, { keyPaddingMask: mask([2, 3]) })).toThrow("not [2, 2]");
    expect(() => attention.forward(x, { keyPaddingMask: mask([2, 2], "int32") })).toThrow("true: masked");
    const old = { mask: mask([2, 2]) } as object;
    expect(() => attention.forward(x, old)).toThrow('no option "mask" (did you mean attnMask?');
  });
});
