/** Repeated layers share the work of the compiler: their calls are copies of the first layer's with other slots. */
import { expect, it } from "vitest";
import { add, matmul, mul, permute, reshape, sum, type Tensor, tanh } from "../../src/index.js";
import type { Program } from "../../src/kernels/kernel.js";
import { withSlots } from "../../src/kernels/operands.js";
import { leaf } from "../../src/runtime/host_data.js";
import { devices } from "../devices.js";

/** A layer with a fused expression, a product, a reduction, and a reshape that has to copy; twice in some layers. */
function layer(x: Tensor, weight: Tensor, i: number): Tensor {
  const turned = reshape(permute(tanh(add(mul(x, 0.5), 0.25)), [1, 0]), [4, 6]);
  const product = matmul(turned, weight);
  const other = i % 2 === 1 ? reshape(permute(product, [1, 0]), [4, 6]) : product;
  return add(add(product, other), sum(turned, 1, { keepdim: true }));
}

const values = (size: number, seed: number) =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(i * 1.7 + seed) / 2);

it.each(devices)("layers alike on $label", async ({ device }) => {
  let program: Program | undefined;
  const { prepare } = device;
  device.prepare = (given) => {
    program = given;
    return prepare.call(device, given);
  };
  const weights = [1, 2, 3, 4, 5].map((seed) => leaf(device, "float32", [6, 6], values(36, seed)));
  const input = leaf(device, "float32", [4, 6], values(24, 0));
  const whole = await weights.reduce((x, weight, i) => layer(x, weight, i), input).data();
  device.prepare = prepare;

  const { calls, alike = [] } = program!;
  const repeated = calls.map((_, i) => i).filter((i) => (alike[i] ?? i) !== i);
  expect(repeated.length).toBeGreaterThan(calls.length / 3);
  for (const i of repeated) {
    expect(alike[i]).toBeLessThan(i);
    expect(withSlots(calls[i], () => 0)).toEqual(withSlots(calls[alike[i]], () => 0));
  }

  let x = input;
  for (const [i, weight] of weights.entries()) {
    x = leaf(device, "float32", [4, 6], Float32Array.from(await layer(x, weight, i).data()));
  }
  expect([...whole]).toEqual([...(await x.data())].map((value) => expect.closeTo(value, 5)));
});
