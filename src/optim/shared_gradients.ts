/** Parameters of several optimizers: each optimizer updates by a gradient once, as in PyTorch. */
import type { Tensor } from "../graph/tensor.js";
import { sessionOf } from "../runtime/session.js";

/** The optimizers of each parameter. */
const owners = new WeakMap<Tensor, readonly WeakRef<SharedGradients>[]>();

/** Parameters of several optimizers: each optimizer's `step` uses the same gradient, although the first one consumes it. */
const used = new WeakMap<Tensor, { gradient: Tensor; by: Set<object>; capture: object | undefined }>();

/** Whether an optimizer has the tensor among its parameters. */
export function isOptimized(tensor: Tensor): boolean {
  return owners.has(tensor);
}

/** The shared gradients of one optimizer. */
export class SharedGradients {
  /** Parameters that other optimizers also have. */
  readonly #shared = new Set<Tensor>();

  /** Connects this optimizer with earlier optimizers of the same parameter. */
  constructor(parameters: readonly Tensor[]) {
    for (const parameter of parameters) {
      const others = (owners.get(parameter) ?? []).flatMap((reference) => reference.deref() ?? []);
      for (const other of others) other.#shared.add(parameter);
      if (others.length > 0) this.#shared.add(parameter);
      owners.set(
        parameter,
        [...others, this].map((optimizer) => new WeakRef(optimizer)),
      );
    }
  }

  has(parameter: Tensor): boolean {
    return this.#shared.has(parameter);
  }

  /** The gradient that another optimizer of the parameter has consumed and this one has not. */
  ofOthers(parameter: Tensor): Tensor | undefined {
    const left = used.get(parameter);
    if (left === undefined || left.by.has(this)) return undefined;
    return left.capture === sessionOf(parameter.device).capture ? left.gradient : undefined;
  }

  /** Consumes the gradient and keeps it for the other optimizers of the parameter. */
  leave(parameter: Tensor, gradient: Tensor): void {
    const { capture } = sessionOf(parameter.device);
    const before = used.get(parameter);
    const by = before?.gradient === gradient ? before.by : new Set<object>();
    used.set(parameter, { gradient, by: by.add(this), capture });
    parameter.grad = undefined;
  }
}

/** The gradient that is kept for other optimizers. */
export function leftGradient(parameter: Tensor): Tensor | undefined {
  return used.get(parameter)?.gradient;
}

/** Discards the kept gradient, so that other optimizers do not use it either. */
export function forgetLeftGradient(parameter: Tensor): void {
  used.delete(parameter);
}
