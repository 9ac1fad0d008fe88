/** The curves of the plots have bounded memory and keep extremes. */
import { expect, test } from "vitest";
import { Curve } from "../../src/playground/curve.js";

test("a curve never has more points than its capacity, and ends at the newest", () => {
  const curve = new Curve(1, 8);
  for (let x = 1; x <= 1000; x++) {
    curve.add(x, [x]);
    const [axis, values] = curve.data;
    expect(axis.length).toBeLessThanOrEqual(8);
    expect(axis.at(-1)).toBe(x);
    expect(values).toHaveLength(axis.length);
    expect(axis).toEqual([...axis].sort((a, b) => a - b));
  }
});

test("neighbours become their mean, at the later place; gaps are filled by what there is", () => {
  const curve = new Curve(2, 4);
  curve.add(1, [1, null]);
  curve.add(2, [3, null]);
  curve.add(3, [null, 5]);
  curve.add(4, [7, 9]);
  curve.add(5, [8, 8]);
  expect(curve.data).toEqual([
    [2, 4, 5],
    [2, 7, 8],
    [null, 7, 8],
  ]);
});

test("a cleared curve begins anew", () => {
  const curve = new Curve(1, 4);
  curve.add(1, [1]);
  curve.clear();
  curve.add(0, [2]);
  expect(curve.data).toEqual([[0], [2]]);
});
