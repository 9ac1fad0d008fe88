/** Trainable tensors that a module's forward reads but no field holds: found by nn/reads.ts, checked by optimizer steps. */
import { ArgumentError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";

/** The module that reads a tensor: its class name and its own tensors. */
export interface Reader {
  readonly name: string;
  state(): Iterable<Tensor>;
}

const unregistered = new WeakMap<Tensor, Reader>();
let hasAny = false;

export function noteUnregistered(tensor: Tensor, reader: Reader): void {
  unregistered.set(tensor, reader);
  hasAny = true;
}

export function forgetUnregistered(tensor: Tensor): void {
  if (hasAny) unregistered.delete(tensor);
}

/**
 * @param isOptimized Whether any optimizer has the tensor. @param isOwn Whether the stepping optimizer has it.
 * @throws ArgumentError if a module trained by this optimizer reads a tensor with a gradient that no optimizer has.
 */
export function requireRegistered(
  tensors: Iterable<Tensor>,
  op: string,
  isOptimized: (tensor: Tensor) => boolean,
  isOwn: (tensor: Tensor) => boolean,
): void {
  if (!hasAny) return;
  for (const tensor of tensors) {
    const reader = unregistered.get(tensor);
    if (reader === undefined || tensor.grad === undefined || isOptimized(tensor)) continue;
    if (![...reader.state()].some(isOwn)) continue;
    throw new ArgumentError(
      `forward of ${reader.name} reads a parameter of shape ${formatShape(tensor.shape)} that no field of it holds, so it would not be trained`,
      {
        op,
        hint: "hold its module in a public field, an array, a Map or a record, not in a #private field or a closure, or freeze() it",
      },
    );
  }
}
