/** Assigning: new values for leaf tensors, which the next commit writes in place. */
import { isPartial } from "../compiler/graph.js";
import { DTypeError, JitError, ShapeError, StaleTensorError } from "../core/errors.js";
import { formatShape, sameShape } from "../core/shape.js";
import { isRecorded, recorder, unobserved } from "../graph/observe.js";
import { requireTensor } from "../graph/require.js";
import { currentValue, type Tensor } from "../graph/tensor.js";
import { compute } from "./commit.js";
import { copyOf, plan, realize, run } from "./realize.js";
import { sessionOf } from "./session.js";

/**
 * Gives a leaf tensor a new value of its shape and dtype, written in place by the next `commit`; ops built from now on use it.
 *
 * @example
 * const x = tensor([1, 2]);
 * assign(x, mul(x, 10));
 * x; // [10, 20]
 *
 * @throws ShapeError or DTypeError for another shape or dtype, ArgumentError for a tensor without memory.
 */
export function assign(target: Tensor, value: Tensor): void {
  requireTensor("assign", target, "the target");
  requireTensor("assign", value, "the value");
  const details = { op: "assign", device: target.device.name };
  if (!sameShape(target.shape, value.shape)) {
    throw new ShapeError(
      `shapes differ, ${formatShape(target.shape)} and ${formatShape(value.shape)}`,
      details,
    );
  }
  if (target.dtype !== value.dtype)
    throw new DTypeError(`${value.dtype} given for a ${target.dtype} tensor`, details);
  if (recorder !== undefined) {
    // A tensor made inside would be allocated once, while recording, and keep its value between calls.
    if (isRecorded(target) || sessionOf(target.device).capture === undefined) {
      throw new JitError("assign() inside changes a tensor that is made inside or lives on another device", {
        hint: "make it outside, on the device of the arguments",
      });
    }
    recorder.use([value]);
  }
  // Checked here, because the commit that writes the value would fail for all other pending work as well.
  if (target.storage?.disposed) throw new StaleTensorError("the tensor was disposed", details);
  if (target.storage === undefined) {
    if (target.node === undefined) throw new StaleTensorError("the tensor was disposed", details);
    unobserved(() => realize([target]));
    target.node = undefined;
  }
  const session = sessionOf(target.device);
  const reassigned = target.pending === undefined ? 0 : (reassignments.get(target) ?? 0) + 1;
  // Detached: the gradient of the value is not the target's.
  target.pending = value.requiresGrad ? copyOf(value) : currentValue(value);
  session.pending.add(target);
  reassignments.set(target, reassigned);
  if (reassigned > maxReassignments && session.capture === undefined) {
    for (const tensor of session.pending) reassignments.delete(tensor);
    const [parts, others] = [true, false].map((is) =>
      [...session.pending].filter(({ pending }) => isPartial(pending!) === is),
    );
    if (parts.length > 0) run(plan(session, [], parts));
    compute(
      session,
      others.map(({ pending }) => pending!),
    );
  }
}

/** After this many assignments without a commit (running statistics in evaluation loops), pending values are computed, to bound the graph. */
const maxReassignments = 8;
const reassignments = new WeakMap<Tensor, number>();
