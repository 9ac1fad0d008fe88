/** Reverse-mode differentiation: traverses the lazy graph from the loss and calls each op's gradient. */

import { aBoolean, check, checkOptions, either, type Kinds } from "../core/check.js";
import { ArgumentError, JitError, ShapeError, StaleTensorError } from "../core/errors.js";
import { formatShape, sameShape } from "../core/shape.js";
import { isRecorded, recorder } from "../graph/observe.js";
import type { GradientContext } from "../graph/op.js";
import { aTensor, requireTensor, tensors } from "../graph/require.js";
import { gradientScope, inScope } from "../graph/scope.js";
import { changeCount } from "../graph/storage.js";
import { gradientMode, type Node, observingReads, type Tensor } from "../graph/tensor.js";
import { copied } from "../ops/composite.js";
import { add } from "../ops/elementwise.js";
import { sumOfPlaced } from "../ops/slice.js";
import { constant } from "../ops/source.js";
import { compute, isUsedUp, markBackward } from "../runtime/commit.js";
import { sessionOf } from "../runtime/session.js";

/** Options of `backward` and `grad`. */
export interface BackwardOptions {
  /** The gradient of the output, of its shape (the vector of the vector-Jacobian product). Default 1, for outputs of one element. */
  readonly gradient?: Tensor;
  /** Records the gradients' graph, for higher derivatives. Default false. */
  readonly createGraph?: boolean;
}

const backwardOptions: Kinds<BackwardOptions> = { gradient: aTensor, createGraph: aBoolean };

/**
 * Adds ∂loss/∂t to `t.grad` for every tensor t made with requiresGrad that the loss depends on. Lazy: the next `optimizer.step()`, or
 * reading a gradient, computes loss and gradients together. Calling it again before the step adds the gradients again; the step
 * releases the loss's graph.
 *
 * @example
 * const x = tensor([1, 2], { requiresGrad: true });
 * backward(sum(square(x)));
 * x.grad; // [2, 4]
 *
 * @throws ArgumentError if the loss depends on no such tensor, or is not a single number and no `gradient` is given.
 * @throws StaleTensorError after the step that used the loss, or if the gradient needs a value that was changed in
 * place since (weights, by a step): compute the loss again.
 */
export function backward(loss: Tensor, options: BackwardOptions = {}): void {
  requireTensor("backward", loss, "the loss");
  const { createGraph = false } = checkOptions("backward", options, backwardOptions);
  gradientMode(createGraph, () => {
    const gradients = propagate([loss], [seed(loss, options.gradient, "backward")], createGraph, "backward");
    if (loss.storage === undefined) requireFresh(loss, "backward", new Set());
    const leaves = [...gradients].filter(([tensor]) => tensor.requiresGrad && !hasGradientPath(tensor));
    if (leaves.some(([tensor]) => isOutsideHistory(tensor))) {
      throw new JitError("backward() inside reaches a tensor that was computed outside, with gradients", {
        hint: "compute it inside as well, or detach() it",
      });
    }
    computeAccumulated(leaves.map(([tensor]) => tensor));
    const sums = leaves.map(([{ grad }, gradient]) => (grad ? add(grad, gradient) : gradient));
    leaves.forEach(([tensor], i) => {
      tensor.grad = sums[i];
    });
    markBackward(loss);
  });
}

/**
 * ∂outputs/∂inputs, one gradient per input: tensors made with requiresGrad, or tensors computed from them. `.grad` is unchanged. With
 * `createGraph` the gradients can be differentiated again.
 *
 * @example
 * const x = tensor([3], { requiresGrad: true });
 * const [slope] = grad(pow(x, 3), [x], { createGraph: true });
 * slope; // [27]
 * grad(slope, [x])[0]; // [18]
 *
 * @throws ArgumentError if an output does not depend on a tensor with requiresGrad, or an input is not in the outputs' graph;
 * StaleTensorError as `backward`.
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options: BackwardOptions = {},
): Tensor[] {
  checkOptions("grad", options, backwardOptions);
  check("grad", "outputs", outputs, either(aTensor, tensors));
  check("grad", "inputs", inputs, tensors);
  const roots: readonly Tensor[] = Array.isArray(outputs) ? outputs : [outputs as Tensor];
  const { createGraph = false } = options;
  return gradientMode(createGraph, () => {
    const seeds = roots.map((root) => seed(root, options.gradient, "grad"));
    const gradients = propagate(roots, seeds, createGraph, "grad");
    return inputs.map((input) => {
      const gradient = gradients.get(input);
      if (gradient === undefined) {
        throw new ArgumentError(
          `the output does not depend on the input of shape ${formatShape(input.shape)}`,
          {
            op: "grad",
            hint: "is it the tensor itself that was used, with requiresGrad, and not a copy?",
          },
        );
      }
      return gradient;
    });
  });
}

/** The gradient of the root. */
function seed(root: Tensor, given: Tensor | undefined, op: string): Tensor {
  if (!root.requiresGrad) {
    throw new ArgumentError("the output depends on no tensor with requiresGrad", {
      op,
      hint: "was it computed inside noGrad() or jit(), from detached tensors or as integers?",
    });
  }
  if (given === undefined) {
    if (root.size !== 1) {
      throw new ArgumentError(
        `the output is not a single number but has the shape ${formatShape(root.shape)}`,
        {
          op,
          hint: "reduce it with sum() or mean(), or give `gradient`",
        },
      );
    }
    return constant(1, root.shape, root.dtype, root.device);
  }
  requireShape(given, root, op);
  return given;
}

/** Gradients of all tensors that the roots depend on through differentiable ops. `caller` is for errors. */
export function propagate(
  roots: readonly Tensor[],
  seeds: readonly Tensor[],
  createGraph: boolean,
  caller: string,
): Map<Tensor, Tensor> {
  const gradients = new Map<Tensor, Tensor>();
  const accumulate = (tensor: Tensor, gradient: Tensor) => {
    const before = gradients.get(tensor);
    gradients.set(tensor, before ? (sumOfPlaced(before, gradient) ?? add(before, gradient)) : gradient);
  };
  roots.forEach((root, i) => {
    accumulate(root, seeds[i]);
  });
  const fresh = new Set<Tensor>();
  for (const output of consumersFirst(roots)) {
    if (output.node === undefined && isUsedUp(output)) throw usedUp(output, caller);
    const gradient = gradients.get(output);
    if (gradient === undefined || !hasGradientPath(output)) continue;
    const node = output.node!;
    const { op, inputs, values, scope } = node;
    // Each op knows the type of its own attributes.
    const context: GradientContext<never> = {
      // Second derivatives flow to the tensor; its values are those of its pending assignment.
      inputs: createGraph ? values.map((value, i) => linked(value, inputs[i])) : values,
      output,
      gradient,
      attributes: node.attributes as never,
      needs: (input) => inputs[input].requiresGrad,
    };
    const apply = () => op.gradient!(context);
    const scoped = scope === undefined ? apply : () => inScope(gradientScope(scope, op.name), apply);
    const parts =
      node.since === changeCount
        ? scoped()
        : observingReads((value) => requireUnchanged(value, output, node, caller, fresh), scoped);
    parts.forEach((part, i) => {
      if (part === undefined || !inputs[i].requiresGrad) return;
      requireShape(part, inputs[i], op.name);
      accumulate(inputs[i], part);
    });
  }
  return gradients;
}

/** Whether gradients flow from the tensor to the inputs of its op. */
function hasGradientPath(tensor: Tensor): boolean {
  const { node } = tensor;
  if (node?.op.gradient === undefined || isOutsideHistory(tensor)) return false;
  return node.inputs.some((input) => input.requiresGrad);
}

/** In a recording of a jit function gradients stop at tensors that were computed before it. */
function isOutsideHistory(tensor: Tensor): boolean {
  return recorder !== undefined && tensor.node !== undefined && !isRecorded(tensor);
}

/** All tensors on gradient paths below the roots, consumers before their inputs. Iterative, because graphs are deep. */
function consumersFirst(roots: readonly Tensor[]): Tensor[] {
  const order: Tensor[] = [];
  const entered = new Set<Tensor>();
  const stack: { readonly tensor: Tensor; readonly leaving: boolean }[] = [];
  for (const root of roots) stack.push({ tensor: root, leaving: false });
  while (stack.length > 0) {
    const { tensor, leaving } = stack.pop()!;
    if (leaving) {
      order.push(tensor);
      continue;
    }
    if (entered.has(tensor)) continue;
    entered.add(tensor);
    stack.push({ tensor, leaving: true });
    if (!hasGradientPath(tensor)) continue;
    for (const input of tensor.node!.inputs) {
      if (input.requiresGrad && !entered.has(input)) stack.push({ tensor: input, leaving: false });
    }
  }
  return order.reverse();
}

/** The value that `input` had for the op, as a tensor through which gradients flow to `input`. */
function linked(value: Tensor, input: Tensor): Tensor {
  return value === input || !input.requiresGrad ? value : copied(input, value);
}

/** @throws StaleTensorError if a gradient rule reads a value that has changed since the op of `node` read it. */
function requireUnchanged(
  value: Tensor,
  output: Tensor,
  node: Node,
  caller: string,
  fresh: Set<Tensor>,
): void {
  const input = node.values.indexOf(value);
  const expected = input < 0 ? 0 : node.versions[input];
  const isOwn = input >= 0 || value === output;
  if (isOwn && value.storage !== undefined && value.storage.version !== expected)
    throw changed(value, caller);
  requireFresh(value, caller, fresh);
}

/** @throws StaleTensorError if a lazy tensor can no longer be computed. `fresh` are tensors known to be computable. */
function requireFresh(root: Tensor, caller: string, fresh: Set<Tensor>): void {
  const stack = [root];
  while (stack.length > 0) {
    const tensor = stack.pop()!;
    const { storage, node } = tensor;
    if (storage !== undefined || node === undefined || node.since === changeCount || fresh.has(tensor))
      continue;
    fresh.add(tensor);
    node.values.forEach((value, i) => {
      if (value.storage === undefined) stack.push(value);
      else if (value.storage.version !== node.versions[i]) throw changed(value, caller);
    });
  }
}

export function changed({ shape }: Tensor, op: string): StaleTensorError {
  return new StaleTensorError(
    `a tensor of shape ${formatShape(shape)} that the gradient needs was changed in place after the loss was computed`,
    { op, hint: "call backward() before the step, or compute the loss again after it" },
  );
}

function usedUp({ shape }: Tensor, op: string): StaleTensorError {
  return new StaleTensorError(
    `the graph of the loss of shape ${formatShape(shape)} was given up by the step that used it`,
    {
      op,
      hint: "compute the loss again",
    },
  );
}

/**
 * Gradients accumulated over several backward() calls are computed before the next one is added, together with their losses, so
 * that the graph never exceeds one forward pass.
 */
function computeAccumulated(leaves: readonly Tensor[]): void {
  const waiting = leaves.flatMap(({ grad }) => (grad === undefined || grad.storage ? [] : grad));
  if (waiting.length === 0) return;
  const session = sessionOf(leaves[0].device);
  if (session.capture !== undefined) return;
  compute(session, [...waiting, ...session.roots]);
  session.roots.clear();
}

function requireShape(gradient: Tensor, of: Tensor, op: string): void {
  if (!sameShape(gradient.shape, of.shape)) {
    throw new ShapeError(
      `the gradient has the shape ${formatShape(gradient.shape)}, its tensor ${formatShape(of.shape)}`,
      { op },
    );
  }
}
