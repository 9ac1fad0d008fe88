/** Graph keys: equal for equal structures, different for every constant of a Program. */
import { describe, expect, it } from "vitest";
import { extractGraph } from "../../src/compiler/graph.js";
import { RuntimeScalar } from "../../src/graph/op.js";
import { inScope } from "../../src/graph/scope.js";
import {
  add,
  cast,
  maximum,
  mul,
  neg,
  pad,
  permute,
  reshape,
  scalar,
  stack,
  sub,
  sum,
  type Tensor,
} from "../../src/index.js";
import { leaf } from "../../src/runtime/host_data.js";
import { reference as device, devices } from "../devices.js";

const make = (shape: number[]) =>
  leaf(device, "float32", shape, new Float32Array(shape.reduce((size, extent) => size * extent, 1)));
const keyOf = (...outputs: Tensor[]) => extractGraph(outputs, []).key;

/** Numbers that JSON, `===` or a 32-bit word would confuse. */
const numbers = [0, -0, NaN, Infinity, -Infinity, 1, -1, 0.1, Math.fround(0.1), 2 ** 31, -(2 ** 31), 2 ** 32];

describe("graph keys", () => {
  const x = make([2, 3]);
  const y = make([2, 3]);

  it("are equal for the same structure over other leaves and scalars", () => {
    const graph = (a: Tensor, b: Tensor) =>
      keyOf(
        sum(mul(sub(a, b), scalar(new RuntimeScalar(1), device)), 1),
        pad(
          a,
          [
            [0, 1],
            [1, 0],
          ],
          -0,
        ),
      );
    expect(graph(x, y)).toBe(graph(y, make([2, 3])));
  });

  it("tell every number apart, as a constant and inside of attributes", () => {
    expect(new Set(numbers.map((value) => keyOf(maximum(x, value)))).size).toBe(numbers.length);
    const widths: [number, number][] = [
      [0, 1],
      [1, 0],
    ];
    expect(new Set(numbers.map((value) => keyOf(pad(x, widths, value)))).size).toBe(numbers.length);
  });

  it("tell apart what else a Program depends on", () => {
    const [one, two] = [scalar(new RuntimeScalar(1), device), scalar(new RuntimeScalar(1), device)];
    const integer = scalar(new RuntimeScalar(1, "int32"), device);
    const other = neg(y);
    const different: Record<string, () => string> = {
      "one leaf twice": () => keyOf(sub(x, x)),
      "two leaves": () => keyOf(sub(x, y)),
      "another op": () => keyOf(add(x, y)),
      "another shape": () => keyOf(sub(make([3, 2]), make([3, 2]))),
      "another rank": () => keyOf(sub(make([6]), make([6]))),
      "order of operands": () => keyOf(sub(x, other)),
      "the other order": () => keyOf(sub(other, x)),
      reshape: () => keyOf(reshape(x, [3, 2])),
      permute: () => keyOf(permute(x, [1, 0])),
      "axis 0": () => keyOf(sum(x, 0, { keepdim: true })),
      "axis 1": () => keyOf(sum(x, 1, { keepdim: true })),
      "a dtype": () => keyOf(cast(x, "int32")),
      "another dtype": () => keyOf(cast(x, "uint8")),
      "one scalar twice": () => keyOf(add(mul(x, one), mul(y, one))),
      "two scalars": () => keyOf(add(mul(x, one), mul(y, two))),
      "a scalar's dtype": () => keyOf(add(one, 1)),
      "the other dtype": () => keyOf(add(integer, 1)),
      "one result": () => keyOf(neg(x)),
      "two results": () => keyOf(neg(x), neg(x)),
      "a module": () => inScope("first", () => keyOf(neg(x))),
      "another module": () => inScope("second", () => keyOf(neg(x))),
    };
    const keys = new Map<string, string>();
    for (const [name, key] of Object.entries(different)) {
      const value = key();
      expect(keys.get(value), name).toBeUndefined();
      keys.set(value, name);
    }
  });

  it("tell apart which leaf an update is written to", () => {
    const update = (target: Tensor) => {
      target.pending = neg(x);
      const { key } = extractGraph([add(x, y)], [target]);
      target.pending = undefined;
      return key;
    };
    expect(update(x)).not.toBe(update(y));
  });
});

describe.each(devices)("constants on $label", ({ device: own }) => {
  it("that JSON confuses stay apart, in one Program and in several", async () => {
    const x = leaf(own, "float32", [1], Float32Array.of(1));
    const values = () => [
      ...[0, -0].map((factor) => mul(x, factor)),
      ...[NaN, Infinity, -Infinity].map((bound) => maximum(x, bound)),
    ];
    const expected = [0, -0, NaN, Infinity, 1];
    expect([...(await stack(values()).data())]).toEqual(expected);
    for (const [i, value] of values().entries()) expect([...(await value.data())]).toEqual([expected[i]]);
  });
});
