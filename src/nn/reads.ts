/**
 * What `forward` reads and no field holds: modules in `#private` fields and closures cannot be found from outside, so their
 * parameters would be missing in `parameters()` and in files without a word. The outermost `forward` that runs is watched;
 * what it reads is compared with the module's state once for each parameter. Only a step that would leave such a
 * parameter's gradient unused complains: a frozen network, or one that another optimizer trains, may be hidden.
 *
 * A jit function that is being recorded learns in the same place which modules it uses.
 */
import { forgetUnregistered, noteUnregistered } from "../autograd/unregistered.js";
import { isPlain } from "../core/check.js";
import { recorder } from "../graph/observe.js";
import { isGradEnabled, observingReads, type Tensor } from "../graph/tensor.js";

/** Prototypes whose `forward` is watched. */
const watched = new WeakSet<object>();

/** Parameters that the module whose forward read them has, and others with the call that read them first. */
const registered = new WeakSet<Tensor>();
const readBy = new WeakMap<Tensor, object>();

let isRunning = false;

/**
 * Watches `forward` of a module's class; `state` gives a module's tensors, `isParameter` tells those that were made to be
 * trained from tensors that a forward may have made itself.
 */
export function watchForward<M extends object>(
  module: M,
  base: object,
  state: (module: M) => Iterable<Tensor>,
  isParameter: (tensor: Tensor) => boolean,
): void {
  for (
    let at = Object.getPrototypeOf(module);
    at !== base && !watched.has(at);
    at = Object.getPrototypeOf(at)
  ) {
    watched.add(at);
    const forward: unknown = Object.hasOwn(at, "forward") ? at.forward : undefined;
    if (typeof forward !== "function") continue;
    const value = function (this: M, ...args: unknown[]): unknown {
      recorder?.enter(this);
      if (isRunning || !isGradEnabled()) return Reflect.apply(forward, this, args);
      const call = {};
      const read = (tensor: Tensor) => {
        if (!tensor.requiresGrad || tensor.node !== undefined || registered.has(tensor)) return;
        const first = readBy.get(tensor);
        if (first === call || holds(args, tensor)) return;
        readBy.set(tensor, call);
        for (const own of state(this)) {
          registered.add(own);
          forgetUnregistered(own);
        }
        // A tensor that the forward has made is read by one call only.
        if (registered.has(tensor) || (first === undefined && !isParameter(tensor))) return;
        noteUnregistered(tensor, { name: this.constructor.name, state: () => state(this) });
      };
      isRunning = true;
      try {
        return observingReads(
          (_, input) => read(input),
          () => Reflect.apply(forward, this, args),
        );
      } finally {
        isRunning = false;
      }
    };
    Object.defineProperty(at, "forward", { value, writable: true, configurable: true });
  }
}

function holds(value: unknown, tensor: Tensor): boolean {
  if (value === tensor) return true;
  return (Array.isArray(value) || isPlain(value)) && Object.values(value).some((part) => holds(part, tensor));
}
