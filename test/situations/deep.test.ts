/** Graphs deeper than the limit at which they are realized automatically. */
import { expect, test } from "vitest";
import { add, memory, mul, noGrad, type Tensor, tanh, tensor, totalCost } from "../../src/index.js";
import { devices } from "../devices.js";

const width = 8;
/** Each block has twelve levels; together they pass the limit of 4,096 levels three times. */
const blocks = 1200;

/** A residual block: its input is used again after the longest path through it. */
function block(x: Tensor): Tensor {
  let y = x;
  for (let i = 0; i < 5; i++) y = tanh(mul(y, 0.5));
  return add(x, mul(y, 0.001));
}

test.each(devices)("residual blocks without end are computed once on $label", async ({ device }) => {
  const x = tensor(new Float32Array(width).fill(1), { device });
  const before = totalCost(device).flops;
  let y = x;
  noGrad(() => {
    y = block(y);
  });
  await y.data();
  const ofOne = totalCost(device).flops - before;
  const { liveBuffers } = memory(device);
  let z = x;
  noGrad(() => {
    for (let i = 0; i < blocks; i++) z = block(z);
  });
  const values = await z.data();
  expect(values.every(Number.isFinite)).toBe(true);
  expect(totalCost(device).flops - before - ofOne).toBeLessThan(1.2 * blocks * ofOne);
  z.dispose();
  expect(memory(device).liveBuffers).toBeLessThan(liveBuffers + 1000);
});
