/** Disposing: frees a tensor's memory, after everything that waits and depends on it is computed. */
import { JitError } from "../core/errors.js";
import { isRecorded, recorder } from "../graph/observe.js";
import type { Storage } from "../graph/storage.js";
import type { Tensor } from "../graph/tensor.js";
import { compute, waitingGradients } from "./commit.js";
import { type Session, sessionOf } from "./session.js";

/**
 * Frees a tensor's memory. What waits for the next step and depends on it (losses, gradients, assigned values) is
 * computed first, so that batches may go while their gradients are still being accumulated.
 */
export function dispose(tensor: Tensor): void {
  const { storage, device } = tensor;
  if (recorder !== undefined && !isRecorded(tensor)) {
    throw new JitError("dispose() inside frees a tensor from outside, which replays would not do");
  }
  const session = sessionOf(device);
  // The next step would fail if it had to compute a loss that is gone, or to write into freed memory.
  tensor.pending = undefined;
  for (const list of [session.pending, session.roots, session.differentiated]) list.delete(tensor);
  try {
    if (storage !== undefined && !storage.disposed && session.capture === undefined) {
      compute(
        session,
        waiting(session).filter((other) => dependsOn(other, storage)),
      );
    }
  } finally {
    storage?.dispose();
    tensor.node = undefined;
    tensor.grad = undefined;
  }
}

/** Lazy tensors that the next step will ask for. */
function waiting(session: Session): Tensor[] {
  const values = [...session.pending].map((tensor) => tensor.pending!);
  return [...values, ...session.roots, ...waitingGradients(session)];
}

function dependsOn(root: Tensor, storage: Storage): boolean {
  const stack = [root];
  const seen = new Set<Tensor>(stack);
  while (stack.length > 0) {
    const { storage: own, node } = stack.pop()!;
    if (own === storage) return true;
    if (own !== undefined || node === undefined) continue;
    for (const input of node.values) {
      if (seen.has(input)) continue;
      seen.add(input);
      stack.push(input);
    }
  }
  return false;
}
