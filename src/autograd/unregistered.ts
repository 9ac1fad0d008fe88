/** Trainable tensors that the forward of a module reads without holding them: nn/reads.ts finds them, steps ask. */
import { ArgumentError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";

/** The module that reads a tensor: the name of its class, and the tensors that it holds. */
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
 * @param isOptimized whether any optimizer has the tensor. @param isOwn whether the one that steps has it.
 * @throws ArgumentError if a gradient waits that no optimizer will use, of what a module trained by this one reads.
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
