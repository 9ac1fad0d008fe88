/** Matrix products. */
import { ShapeError } from "../core/errors.js";
import { broadcastShapes, formatShape, sizeOf } from "../core/shape.js";
import type { KernelOp } from "../graph/op.js";
import { inComposite } from "../graph/scope.js";
import { createNode, type Tensor } from "../graph/tensor.js";
import { expand } from "./broadcast.js";
import { add } from "./elementwise.js";
import { requireFloat, requireWeight } from "./promotion.js";
import { reshape, squeeze, transpose, unsqueeze } from "./reshape.js";

/** Inputs [...batch, m, k] and [...batch, k, n] with equal batches. */
const matmulOp: KernelOp<undefined> = {
  kind: "kernel",
  name: "matmul",
  takesEpilogue: "reshaped",
  lower: (context) => {
    const [a, b] = [context.input(0), context.input(1)];
    context.emit({ kernel: "matmul", a, b, output: context.output() });
  },
  gradient: ({ inputs: [a, b], gradient, needs }) => [
    needs(0) ? productFor(a, gradient, transpose(b, -1, -2)) : undefined,
    needs(1) ? productFor(b, transpose(a, -1, -2), gradient) : undefined,
  ],
};

/**
 * a · b as the gradient of `target`. Where that is the transpose of a matrix in memory (a Linear's weight), the
 * transposed product is computed instead, bᵀ · aᵀ, so that the gradient lies in memory as the matrix does.
 */
function productFor(target: Tensor, a: Tensor, b: Tensor): Tensor {
  if (!isTransposed(target)) return product(a, b);
  return transpose(product(transpose(b, -1, -2), transpose(a, -1, -2)), -1, -2);
}

function isTransposed({ node, rank }: Tensor): boolean {
  if (node?.op.name !== "permute") return false;
  const { dims } = node.attributes as { readonly dims: readonly number[] };
  return dims[rank - 1] !== rank - 1;
}

function product(a: Tensor, b: Tensor): Tensor {
  return createNode(matmulOp, [a, b], undefined, a.shape.with(-1, b.shape[b.rank - 1]), "float32");
}

/**
 * The matrix product, as torch.matmul: [..., M, K] · [..., K, N] → [..., M, N] in float32. 1-D operands are vectors; dimensions
 * before the last two are batches and broadcast.
 *
 * @example
 * matmul(tensor([[1, 2], [3, 4]]), tensor([[5], [6]])); // [[17], [39]]
 *
 * @throws ShapeError if the inner sizes differ or the batches do not broadcast, DTypeError unless both are float32;
 * b may be float16 or bfloat16.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  requireFloat(a, "matmul");
  requireWeight(b, "matmul");
  if (a.rank === 0 || b.rank === 0) throw innerSizes("matmul", a, b);
  const rows = a.rank === 1 ? unsqueeze(a, 0) : a;
  const columns = b.rank === 1 ? unsqueeze(b, 1) : b;
  if (rows.shape[rows.rank - 1] !== columns.shape[columns.rank - 2]) throw innerSizes("matmul", a, b);
  let result = columns.rank === 2 ? foldedProduct(rows, columns) : batchedProduct(rows, columns);
  if (a.rank === 1) result = squeeze(result, -2);
  if (b.rank === 1) result = squeeze(result, -1);
  return result;
}

export function innerSizes(op: string, a: Tensor, b: Tensor): ShapeError {
  return new ShapeError(`inner sizes differ, ${formatShape(a.shape)} × ${formatShape(b.shape)}`, { op });
}

/** One matrix b for all of a's batches: the batches become rows of one large product. */
function foldedProduct(a: Tensor, b: Tensor): Tensor {
  if (a.rank === 2) return product(a, b);
  const k = a.shape[a.rank - 1];
  const m = sizeOf(a.shape.slice(0, -1));
  const rows = product(reshape(a, [m, k]), b);
  return reshape(rows, a.shape.with(-1, b.shape[1]));
}

function batchedProduct(a: Tensor, b: Tensor): Tensor {
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), "matmul");
  const left = expand(a, [...batch, ...a.shape.slice(-2)]);
  const right = expand(b, [...batch, ...b.shape.slice(-2)]);
  return product(left, right);
}

/**
 * x · weightᵀ + bias: x [..., in], weight [out, in], bias [out] → [..., out]. float32. The weight may
 * be float16 or bfloat16, which is widened a block at a time and has no gradient.
 *
 * @example
 * linear(tensor([[1, 2]]), tensor([[1, 1], [0, 3]]), tensor([0.5, 0])); // [[3.5, 6]]
 *
 * @throws ShapeError if the sizes do not fit, DTypeError for other dtypes.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  requireFloat(x, "linear");
  requireWeight(weight, "linear");
  if (bias !== undefined) requireFloat(bias, "linear", "the bias");
  if (weight.rank !== 2 || x.rank === 0 || x.shape[x.rank - 1] !== weight.shape[1]) {
    throw new ShapeError(
      `an input of shape ${formatShape(x.shape)} does not fit the weight ${formatShape(weight.shape)}`,
      { op: "linear", hint: "the weight is [out, in] and the input [..., in]" },
    );
  }
  if (bias && (bias.rank !== 1 || bias.shape[0] !== weight.shape[0])) {
    throw new ShapeError(
      `a bias of shape ${formatShape(bias.shape)} does not fit the weight ${formatShape(weight.shape)}`,
      { op: "linear" },
    );
  }
  return inComposite("linear", () => {
    const columns = transpose(weight, 0, 1);
    const result = x.rank === 1 ? squeeze(product(unsqueeze(x, 0), columns), 0) : foldedProduct(x, columns);
    return bias === undefined ? result : add(result, bias);
  });
}
