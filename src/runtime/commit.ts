/**
 * Commits: computes pending losses and gradients and writes pending assignments, as one Program and atomically.
 */
import { extractGraph } from "../compiler/graph.js";
import { aDevice, check } from "../core/check.js";
import { StaleTensorError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { discard, type Plan, plan, realize, run } from "./realize.js";
import { type Session, sessionOf } from "./session.js";

/**
 * Realizes all pending assignments, losses on which backward() was called and pending gradients, as one Program. `optimizer.step()` does
 * this. While `jit` is capturing a function, it is postponed to the end of the capture.
 *
 * @example
 * const x = tensor([1, 2]);
 * x.assign(mul(x, 10));
 * commit(x.device);
 * x; // [10, 20]
 */
export function commit(device: Device): void {
  check("commit", "the device", device, aDevice);
  commitAll([device]);
}

/**
 * The same for several devices, atomically: all Programs are compiled and all memory is allocated before anything is written. If that
 * fails, `undo` reverts the caller's assignments, and pending values that can never be computed are dropped; all others stay pending. `op`
 * is the caller's name in errors about gradients.
 *
 * @throws StaleTensorError, OutOfMemoryError, DeviceLostError
 */
export function commitAll(devices: Iterable<Device>, op = "backward", undo?: () => void): void {
  const sessions = [...devices].map(sessionOf).filter(({ capture }) => capture === undefined);
  const plans: Plan[] = [];
  let isWritten = false;
  try {
    for (const session of sessions) {
      const lazy = new Set([...session.roots, ...session.gradients].filter(({ storage }) => !storage));
      if (lazy.size + session.pending.size > 0) plans.push(plan(session, [...lazy], [...session.pending]));
    }
    for (const each of plans) {
      run(each);
      isWritten = true;
    }
  } catch (error) {
    // If a device fails while it runs, other devices may be written already; its own pending work is left for the next commit.
    if (!isWritten) undo?.();
    for (const { outputs, results } of plans) if (outputs[0]?.storage !== results[0]) discard(results);
    throw explained(error, sessions, op);
  }
  for (const session of sessions) {
    for (const root of session.roots) {
      if (root.node === undefined) continue;
      root.node = undefined;
      usedUp.add(root);
    }
    session.roots.clear();
    session.differentiated.clear();
  }
}

/** Losses whose graph a commit has freed. */
const usedUp = new WeakSet<Tensor>();

/** Whether backward() was called on the tensor and a commit has freed its graph: gradients cannot flow through it. */
export function isUsedUp(tensor: Tensor): boolean {
  return usedUp.has(tensor);
}

/** Drops pending values that can never be computed, so that the next commit does not fail again. Returns the error to throw. */
function explained(error: unknown, sessions: readonly Session[], op: string): unknown {
  if (!(error instanceof StaleTensorError)) return error;
  const found: StaleTensorError[] = [];
  const check = (value: Tensor, caller: string, what: string, { shape }: Tensor, forget: () => void) => {
    try {
      extractGraph([value], []);
    } catch (reason) {
      if (!(reason instanceof StaleTensorError)) throw reason;
      forget();
      // Without the name of the inner op, which the user may not have called.
      const why = reason.message.slice(reason.op === undefined ? 0 : reason.op.length + 2);
      const message = `${what} of shape ${formatShape(shape)} cannot be computed: ${why}`;
      found.push(new StaleTensorError(message, { op: caller, cause: reason }));
    }
  };
  for (const { pending, roots, differentiated } of sessions) {
    for (const target of pending) {
      const forget = () => unassign(target);
      if (target.storage?.disposed) forget();
      else check(target.pending!, "assign", "the value of a tensor", target, forget);
    }
    for (const root of roots) check(root, "backward", "the loss", root, () => roots.delete(root));
    for (const leaf of differentiated) {
      if (leaf.grad === undefined) continue;
      check(leaf.grad, op, "the gradient of a tensor", leaf, () => {
        leaf.grad = undefined;
      });
    }
  }
  return found[0] ?? error;
}

/** Reverts an assignment: the pending value is `before` again, or there is none. */
export function unassign(target: Tensor, before?: Tensor): void {
  target.pending = before;
  if (before === undefined) sessionOf(target.device).pending.delete(target);
}

/** After this many losses without a commit, losses and gradients are computed, to bound the memory of a loop. */
const maxLosses = 8;

/** Registers a loss: the next commit computes it and frees its graph. */
export function markBackward(root: Tensor): void {
  const session = sessionOf(root.device);
  const { roots, differentiated } = session;
  roots.add(root);
  if (roots.size <= maxLosses || session.capture !== undefined) return;
  compute(session, [...roots, ...session.gradients]);
  roots.clear();
  differentiated.clear();
}

/** Computes pending values before the next commit. */
export function compute(session: Session, tensors: readonly Tensor[]): void {
  try {
    realize(tensors);
  } catch (error) {
    throw explained(error, [session], "backward");
  }
}
