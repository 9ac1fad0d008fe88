/** log1p and expm1 keep a few units in the last place over the whole of float32: from subnormal numbers to infinities. */
import { describe, expect, it } from "vitest";
import { tensor } from "../../src/index.js";
import { ops } from "../cases/ops.js";
import { devices } from "../devices.js";

/** Most units in the last place of float32 between a result and the nearest float32 number. */
const mostUlps = 4;

/** Both signs of every exponent, with mantissas spread over each. */
function numbers(): Float32Array {
  const mantissas = 67;
  const bits: number[] = [];
  for (let exponent = 0; exponent < 255; exponent++) {
    for (let i = 0; i < mantissas; i++) {
      const positive = exponent * 2 ** 23 + Math.floor((i * 2 ** 23) / mantissas);
      bits.push(positive, positive + 2 ** 31);
    }
  }
  // Where results change their kind: −1 and its neighbours, ln 2 and its multiples, the ends of exp.
  const special = [
    -1, -0.99999994, -1.0000001, -17.328, -18, -18.5, 88.7228, 88.72284, 88.8, 89, 90, 1e-8, 6e-8,
  ];
  for (let n = -26; n <= 128; n++) special.push((n + 0.5) * Math.LN2, n * Math.LN2);
  special.push(Infinity, -Infinity, NaN, 0, -0);
  return Float32Array.from([...new Float32Array(Uint32Array.from(bits).buffer), ...special]);
}

/** Steps between neighbouring float32 numbers; ±0 are one, infinities the numbers behind the largest. */
function place(x: number): number {
  const [bits] = new Int32Array(Float32Array.of(x).buffer);
  return bits >= 0 ? bits : -(bits & 0x7fffffff);
}

const functions = { log1p: Math.log1p, expm1: Math.expm1 } as const;

describe.each(devices)("$label", ({ device }) => {
  it.each(["log1p", "expm1"] as const)("%s", async (name) => {
    const inputs = numbers();
    const x = tensor(inputs, { device });
    const results = await ops[name](x).data();
    const wrong: string[] = [];
    inputs.forEach((input, i) => {
      const want = Math.fround(functions[name](input));
      const got = Math.fround(results[i]);
      const isRight =
        Number.isNaN(want) || want === 0
          ? Object.is(got, want)
          : !Number.isNaN(got) && Math.abs(place(got) - place(want)) <= mostUlps;
      if (!isRight) wrong.push(`${name}(${input}) = ${got}, not ${want}`);
    });
    expect(wrong.slice(0, 10)).toEqual([]);
  });
});
