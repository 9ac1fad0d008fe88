/** Numbers out of range, on every device: refused as host data, and one rule for computed values. */
import { describe, expect, it } from "vitest";
import { arange, full, noGrad, pad, pow, randint, tensor, WattgradError } from "../../src/index.js";
import { crossEntropy, MultiheadAttention } from "../../src/nn/index.js";
import { backward, scaledDotProductAttention, softplus, std } from "../../src/ops/index.js";
import { devices } from "../devices.js";

/** For calls that TypeScript forbids and JavaScript does not. */
const js = <T>(value: unknown): T => value as T;

function refusal(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(WattgradError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

for (const { label, device } of devices) {
  describe(label, () => {
    it("refuses host data that an integer dtype does not hold", () => {
      const range = "does not fit uint8, which holds 0 to 255";
      expect(refusal(() => tensor([1, 300], { dtype: "uint8", device }))).toBe(`tensor: 300 ${range}`);
      expect(refusal(() => tensor([-1], { dtype: "uint8", device }))).toBe(`tensor: -1 ${range}`);
      expect(refusal(() => tensor(Float32Array.of(Number.NaN), { dtype: "uint8", device }))).toContain("NaN");
      expect(refusal(() => tensor([Infinity], { dtype: "int32", device }))).toContain(
        "Infinity does not fit",
      );
      expect(refusal(() => tensor([2 ** 31], { dtype: "int32", device }))).toContain("does not fit int32");
      expect(refusal(() => full([2], 300, { dtype: "uint8", device }))).toBe(`full: 300 ${range}`);
      expect(refusal(() => full([2], -129, { dtype: "int8", device }))).toContain("does not fit int8");
      expect(refusal(() => arange(300, { dtype: "uint8", device }))).toBe(`arange: 299 ${range}`);
      expect(refusal(() => randint(0, 300, [2], { dtype: "uint8", device }))).toBe(`randint: 299 ${range}`);
      const x = tensor([1, 2], { dtype: "uint8", device });
      expect(refusal(() => pad(x, [[1, 0]], -1))).toBe(`pad: -1 ${range}`);
    });

    it("cuts fractions off, and makes truth of everything but 0", async () => {
      expect(await tensor([1.9, -1.9, -0.5], { dtype: "int32", device }).tolist()).toEqual([1, -1, 0]);
      expect(await full([2], 2.7, { dtype: "uint8", device }).tolist()).toEqual([2, 2]);
      const truths = [0, -0, 2, Number.NaN, 1e-40];
      expect([...(await tensor(truths, { dtype: "bool", device }).data())]).toEqual([0, 0, 1, 1, 1]);
      expect([...(await full([1], 5, { dtype: "bool", device }).data())]).toEqual([1]);
      expect([...(await tensor(truths, { device }).cast("bool").data())]).toEqual([0, 0, 1, 1, 1]);
    });

    it("refuses what is no number", () => {
      for (const [value, name] of [
        ["1", '"1"'],
        [null, "null"],
        [undefined, "undefined"],
        [{}, "{  }"],
        [1n, "1"],
      ]) {
        expect(
          refusal(() => tensor(js([1, value]), { device })),
          name as string,
        ).toMatch(/^tensor: .*a number, got /);
        expect(
          refusal(() => full([1], js(value), { device })),
          name as string,
        ).toMatch(/^full: .*a number, got /);
        expect(
          refusal(() => tensor([1], { device }).mul(js(value))),
          name as string,
        ).toMatch(/^mul: .*got /);
      }
      expect(refusal(() => tensor(js(["2", "3"]), { device, dtype: "int32" }))).toContain('got "2"');
    });

    it("knows no negative powers of integers", async () => {
      const x = tensor([2, 0, -1], { dtype: "int32", device });
      expect(refusal(() => pow(x, -1))).toContain("int32 has no powers of -1");
      expect(refusal(() => x.pow(-2))).toContain("cast");
      expect(await x.cast("float32").pow(-2).tolist()).toEqual([0.25, Infinity, 1]);
    });

    it("a classifier whose logits share an offset of 1e6 learns as one without", async () => {
      const logits = tensor([[1e6, 1e6]], { device, requiresGrad: true });
      const loss = crossEntropy(logits, tensor([0], { dtype: "int32", device }));
      backward(loss);
      expect(await loss.item()).toBeCloseTo(Math.LN2, 6);
      expect(await logits.grad!.tolist()).toEqual([[-0.5, 0.5]]);
    });

    it("keeps softplus of -30 and the gradient of a deviation of equal numbers", async () => {
      expect((await softplus(tensor(-30, { device })).item()) / Math.exp(-30)).toBeCloseTo(1, 5);
      const x = tensor([3, 3, 3], { device, requiresGrad: true });
      backward(std(x));
      expect(await x.grad!.tolist()).toEqual([0, 0, 0]);
    });

    it("padding that sees nothing stays 0 through a layer, with finite gradients", async () => {
      const layer = new MultiheadAttention(4, 2, { device });
      const x = tensor(
        Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)),
        { shape: [2, 3, 4], device },
      );
      const padding = tensor(
        [
          [false, false, true],
          [true, true, true],
        ],
        { device },
      );
      const output = layer.forward(x, { keyPaddingMask: padding });
      backward(output.sum());
      const values = [output, ...[...layer.namedParameters()].map(([, parameter]) => parameter.grad!)];
      for (const value of values) expect((await value.data()).every(Number.isFinite)).toBe(true);
    });

    it("a hidden row is 0 with and without gradients, for masks of bool and of -Infinity", async () => {
      const [q, k, v] = [1, 2, 3].map((n) =>
        tensor(
          Float32Array.from({ length: 8 }, (_, i) => Math.cos(n * i)),
          { shape: [2, 4], device, requiresGrad: true },
        ),
      );
      const ofBool = tensor(
        [
          [false, false],
          [true, false],
        ],
        { device },
      );
      const ofFloats = tensor(
        [
          [-Infinity, -Infinity],
          [0, -Infinity],
        ],
        { device },
      );
      for (const mask of [ofBool, ofFloats]) {
        const recorded = scaledDotProductAttention(q, k, v, { mask });
        const fused = noGrad(() => scaledDotProductAttention(q, k, v, { mask }));
        for (const output of [recorded, fused]) {
          expect([...(await output.data())]).toEqual([0, 0, 0, 0, ...(await v.data()).slice(0, 4)]);
        }
      }
    });
  });
}
