/**
 * Activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): what a function computes on the way to its
 * result is not kept for its gradient but computed again.
 *
 * The gradient rule copies the recorded graph, so that `fn` runs once and dropout draws the same numbers. The compiler would share a
 * copy with the original and keep its values. Hence the copy reads the inputs through a view that also depends on the incoming
 * gradient, and its random numbers by streams of their own with the values of the original ones.
 */

import { aFunction, check, requireSync } from "../core/check.js";
import type { UniformAttributes, ViewOp } from "../graph/op.js";
import { requireTensor } from "../graph/require.js";
import { gradientScope, inScope } from "../graph/scope.js";
import { createNode, createNodeOf, gradientMode, isGradEnabled, type Tensor } from "../graph/tensor.js";
import { copied, detached } from "../ops/composite.js";
import { changed, propagate } from "./backward.js";

/** The recomputation of a checkpoint. */
interface Segment {
  readonly value: Tensor;
  /** The inputs as `fn` got them. */
  readonly inputs: readonly Tensor[];
  /** Other tensors with gradients that `fn` reads: parameters. */
  readonly captured: readonly Tensor[];
  /** The tensors to compute again, in topological order. */
  readonly order: readonly Tensor[];
}

const segments = new WeakMap<Tensor, Segment>();

/**
 * fn(...inputs), of which backward keeps the inputs only: it computes all else again when the gradient of the result is there. Saves the
 * memory of intermediate values at the price of a second forward pass. Losses, gradients and dropout are the same to the bit. Pass
 * activations as inputs: tensors that `fn` captures, and what depends on nothing but them, are kept.
 *
 * @example
 * const block = new Sequential(new Linear(8, 32), new GELU(), new Linear(32, 8));
 * const x = randn([4, 8]);
 * const y = checkpoint((input) => block.forward(input), x);
 * y.sum().backward();
 * block.parameters()[0].grad!.shape; // [32, 8]
 *
 * @throws ArgumentError unless `fn` is a synchronous function of tensors that returns a tensor; in backward StaleTensorError if a
 * value that `fn` read was changed in place since.
 */
export function checkpoint<A extends readonly Tensor[]>(fn: (...inputs: A) => Tensor, ...inputs: A): Tensor {
  check("checkpoint", "the first argument", fn, aFunction);
  for (const input of inputs) requireTensor("checkpoint", input, "an input");
  const isRecording = isGradEnabled();
  const own = isRecording ? inputs.map((input) => copied(input)) : inputs;
  const value = requireTensor(
    "checkpoint",
    requireSync("checkpoint", fn(...(own as unknown as A))),
    "the result",
  );
  if (!isRecording || !value.requiresGrad) return value;
  const order = dependents(value, own);
  const ofFn = new Set([...own, ...order]);
  const read = [value, ...order.flatMap(({ node }) => node!.inputs)];
  const captured = [...new Set(read.filter((tensor) => tensor.requiresGrad && !ofFn.has(tensor)))];
  const values = [detached(value), ...inputs, ...captured];
  const result = createNode(checkpointOp, values, undefined, value.shape, value.dtype);
  segments.set(result, { value, inputs: own, captured, order });
  return result;
}

const isRandom = ({ op }: NonNullable<Tensor["node"]>): boolean =>
  op.kind === "source" && op.source === "uniform";

/** The tensors below `root` that are random or depend on the inputs, operands first. */
function dependents(root: Tensor, inputs: readonly Tensor[]): Tensor[] {
  const depends = new Map(inputs.map((input) => [input, true]));
  const order: Tensor[] = [];
  const path = [root];
  const operandsOf = ({ node }: Tensor) => (node ? [...node.inputs, ...node.values] : []);
  while (path.length > 0) {
    const tensor = path[path.length - 1];
    const next = depends.has(tensor)
      ? undefined
      : operandsOf(tensor).find((operand) => !depends.has(operand));
    if (next !== undefined) {
      path.push(next);
      continue;
    }
    path.pop();
    if (depends.has(tensor)) continue;
    const { node } = tensor;
    const isOne =
      node !== undefined && (isRandom(node) || operandsOf(tensor).some((operand) => depends.get(operand)));
    depends.set(tensor, isOne);
    if (isOne) order.push(tensor);
  }
  return order;
}

/** A tensor at which the gradients of a segment end, as at a leaf. */
const captureOp: ViewOp = { kind: "view", name: "identity", apply: (input) => input };
/** The same for an input; only this name keeps it apart from the input. Operand 1 is the gradient before which it is not needed. */
const recomputeOp: ViewOp = { kind: "view", name: "recompute", apply: (input) => input };

/** The same ops with the gradient. Objects of their own, by which graphs are told apart. */
const passOn: ViewOp["gradient"] = ({ gradient }) => [gradient];
const openCaptureOp: ViewOp = { ...captureOp, gradient: passOn };
const openRecomputeOp: ViewOp = { ...recomputeOp, gradient: passOn };

/** The result of a checkpoint; inputs: its value, the inputs of `fn` and the captured tensors. */
const checkpointOp: ViewOp = {
  kind: "view",
  name: "identity",
  apply: (input) => input,
  gradient: ({ output, gradient }) => {
    const { value, inputs, captured, order } = segments.get(output)!;
    const copies = new Map<Tensor, Tensor>();
    const end = (tensor: Tensor, op: ViewOp, of: readonly Tensor[], values = of) => {
      const { shape, dtype, device } = tensor;
      const copy = createNodeOf(op, of, values, undefined, shape, dtype, device);
      copy.requiresGrad = tensor.requiresGrad;
      copies.set(tensor, copy);
      return copy;
    };
    const ends = gradientMode(true, () => {
      const all = [
        ...inputs.map((input) =>
          end(input, recomputeOp, [input.node!.inputs[0], gradient], [input.node!.values[0], gradient]),
        ),
        ...captured.map((tensor) => end(tensor, captureOp, [tensor])),
      ];
      for (const tensor of order) {
        const copy = copyOf(tensor, copies);
        copies.set(tensor, copy);
        const inner = segments.get(tensor);
        if (inner !== undefined) segments.set(copy, copyOfSegment(inner, copies));
      }
      return all;
    });
    const gradients = propagate([copies.get(value)!], [gradient], isGradEnabled(), "backward");
    // Second derivatives flow on from where these ended.
    if (isGradEnabled()) {
      for (const each of ends) {
        const op = each.node!.op === recomputeOp ? openRecomputeOp : openCaptureOp;
        each.node = { ...each.node!, op };
      }
    }
    return [undefined, ...ends.map((each) => gradients.get(each))];
  },
};

/** The same computation on copies of the operands. @throws StaleTensorError */
function copyOf({ node, shape, dtype, device }: Tensor, copies: ReadonlyMap<Tensor, Tensor>): Tensor {
  const { op, inputs, values, versions, attributes, scope } = node!;
  values.forEach((value, i) => {
    if (value.storage !== undefined && !copies.has(value) && value.storage.version !== versions[i])
      throw changed(value, "backward");
  });
  const operand = (tensor: Tensor) => copies.get(tensor) ?? tensor;
  const copiedAttributes = isRandom(node!) ? sameStream(attributes as UniformAttributes) : attributes;
  const create = () =>
    createNodeOf(op, inputs.map(operand), values.map(operand), copiedAttributes, shape, dtype, device);
  return scope === undefined ? create() : inScope(gradientScope(scope, op.name), create);
}

/** Copies a nested checkpoint. */
function copyOfSegment(
  { value, inputs, captured, order }: Segment,
  copies: ReadonlyMap<Tensor, Tensor>,
): Segment {
  const copy = (tensor: Tensor) => copies.get(tensor) ?? tensor;
  return {
    value: copy(value),
    inputs: inputs.map(copy),
    captured: captured.map(copy),
    order: order.map(copy),
  };
}

/** Separate runtime scalars, which always have the values of the original ones. */
function sameStream({ stream }: UniformAttributes): UniformAttributes {
  const [low, high, offset] = stream;
  return { stream: [Object.create(low), Object.create(high), Object.create(offset)] };
}
