/** Shared by the tests of jit. */
import { type Device, type Tensor, tensor } from "../../src/index.js";
import { parameter } from "../../src/nn/index.js";

/** The function as it is, or through jit: both must give the same in every situation. */
export type Wrap = <A extends readonly Tensor[], R extends Tensor | undefined>(
  fn: (...args: A) => R,
) => (...args: A) => R;

/** What one way of running a program gives, number by number. */
export type Program = (device: Device, wrap: Wrap) => Promise<number[]>;

export const values = (device: Device, ...list: number[]) => tensor(list, { device });

export const weightOf = (device: Device, value: number) => parameter(tensor([value], { device }));
