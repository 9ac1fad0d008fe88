/** Frees a tensor's memory, after computing the pending values that depend on it. */
import { JitError } from "../core/errors.js";
import { isRecorded, recorder } from "../graph/observe.js";
import type { Storage } from "../graph/storage.js";
import type { Tensor } from "../graph/tensor.js";
import { compute } from "./commit.js";
import { type Session, sessionOf } from "./session.js";

/**
 * Frees a tensor's memory. Pending values that depend on it (losses, gradients, assigned values) are computed first, so that batches can
 * be disposed while gradients are accumulated.
 */
export function dispose(tensor: Tensor): void {
  const { storage, device } = tensor;
  if (recorder !== undefined && !isRecorded(tensor)) {
    throw new JitError("dispose() inside frees a tensor from outside, which replays would not do");
  }
  const session = sessionOf(device);
  // Otherwise the next commit would fail: it would compute a disposed loss or write to freed memory.
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

/** Lazy tensors that the next commit computes. */
function waiting(session: Session): Tensor[] {
  const values = [...session.pending].map((tensor) => tensor.pending!);
  return [...values, ...session.roots, ...session.gradients];
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
