/**
 * Composite ops: computed by other ops, with a gradient derived by hand where that is more stable or takes
 * fewer passes over memory than the chain rule through the parts.
 */
import type { GradientContext, ViewOp } from "../graph/op.js";
import { inComposite } from "../graph/scope.js";
import {
  createNode,
  createNodeOf,
  currentValue,
  isGradEnabled,
  noGrad,
  type Tensor,
} from "../graph/tensor.js";

export interface CompositeRules<A> {
  /** Its name in profiles. */
  readonly name: string;
  forward(inputs: readonly Tensor[], attributes: A): Tensor;
  /**
   * Built from differentiable ops on `inputs` and `output`, so that second derivatives work. It may repeat what
   * `forward` computed: the compiler shares common subexpressions.
   */
  gradient(context: GradientContext<A>): readonly (Tensor | undefined)[];
}

/** The op of each rules: made when it is first recorded. */
const ops = new WeakMap<object, ViewOp<never>>();

function opOf<A>(rules: CompositeRules<A>): ViewOp<A> {
  const op: ViewOp<A> = (ops.get(rules) as ViewOp<A> | undefined) ?? {
    kind: "view",
    name: "identity",
    apply: (input) => input,
    gradient: ({ inputs, output, gradient, attributes, needs }) => [
      undefined,
      ...rules.gradient({
        inputs: inputs.slice(1),
        output,
        gradient,
        attributes,
        needs: (input) => needs(input + 1),
      }),
    ],
  };
  ops.set(rules, op);
  return op;
}

/**
 * Calls the op. What it adds to the graph is an identity view of the forward result: inputs are the result and then the
 * op's own inputs, among which the gradient is distributed. Rules that are a plain object are left out of bundles that do
 * not use them.
 */
export function compose<A>(rules: CompositeRules<A>, inputs: readonly Tensor[], attributes: A): Tensor {
  return inComposite(rules.name, () => {
    const value = noGrad(() => rules.forward(inputs, attributes));
    const recorded = isGradEnabled() && inputs.some((input) => input.requiresGrad);
    if (!recorded) return value;
    return createNode(opOf(rules), [value, ...inputs], attributes, value.shape, value.dtype);
  });
}

/** The op as a function. */
export function composite<A>(rules: CompositeRules<A>): (inputs: readonly Tensor[], attributes: A) => Tensor {
  return (inputs, attributes) => compose(rules, inputs, attributes);
}

const detachOp: ViewOp = { kind: "view", name: "identity", apply: (input) => input };

const copyOp: ViewOp = { ...detachOp, gradient: ({ gradient }) => [gradient] };

/** The value of a lazy tensor, cut off from the graph that a gradient would flow through. */
export function detached(x: Tensor): Tensor {
  return createNode(detachOp, [x], undefined, x.shape, x.dtype);
}

/** The same value (or another, to which x stood) as a tensor of its own, which gets memory of its own when realized. */
export function copied(x: Tensor, value = currentValue(x)): Tensor {
  return createNodeOf(copyOp, [x], [value], undefined, x.shape, x.dtype, x.device);
}
