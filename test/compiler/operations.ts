/** The operations of random programs. */

import type { Shape } from "../../src/core/shape.js";
import { sizeOf } from "../../src/core/shape.js";
import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import type { Family } from "./recipe.js";

/** A tensor and the largest size that its elements can have. */
export interface Bounded {
  readonly tensor: Tensor;
  readonly bound: number;
}

/** How an operation makes its choices. */
export interface Picker {
  /** 0..count-1. */
  number(count: number): number;
  /** One of the values so far for which `fits` holds, if there is one. */
  value(fits?: (candidate: Tensor) => boolean): Bounded | undefined;
  readonly generator: ops.Generator;
}

/** Undefined where no operand fits. */
export type Operation = (pick: Picker) => Bounded | undefined;

const isNumeric = ({ dtype }: Tensor) => dtype === "float32" || dtype === "int32";
const isFloat = ({ dtype }: Tensor) => dtype === "float32";

function broadcasts(a: Shape, b: Shape): boolean {
  const rank = Math.min(a.length, b.length);
  for (let i = 1; i <= rank; i++) {
    const [x, y] = [a[a.length - i], b[b.length - i]];
    if (x !== y && x !== 1 && y !== 1) return false;
  }
  return true;
}

function numeric(pick: Picker): Bounded | undefined {
  const value = pick.value();
  if (value === undefined || isNumeric(value.tensor)) return value;
  return { tensor: ops.cast(value.tensor, pick.number(2) === 0 ? "int32" : "float32"), bound: value.bound };
}

function float(pick: Picker): Bounded | undefined {
  const value = pick.value();
  return value && { tensor: ops.cast(value.tensor, "float32"), bound: value.bound };
}

function unary(apply: (x: Tensor) => Tensor, bound: (x: number) => number): Operation {
  return (pick) => {
    const x = numeric(pick);
    return x && { tensor: apply(x.tensor), bound: bound(x.bound) };
  };
}

function onFloat(apply: (x: Tensor) => Tensor, bound: (x: number) => number): Operation {
  return (pick) => {
    const x = float(pick);
    return x && { tensor: apply(x.tensor), bound: bound(x.bound) };
  };
}

function binary(apply: (x: Tensor, y: Tensor) => Tensor, bound: (x: number, y: number) => number): Operation {
  return (pick) => {
    const x = numeric(pick);
    const y = x && pick.value((other) => isNumeric(other) && broadcasts(other.shape, x.tensor.shape));
    return y && { tensor: apply(x.tensor, y.tensor), bound: bound(x.bound, y.bound) };
  };
}

function withNumber(
  apply: (x: Tensor, y: number) => Tensor,
  bound: (x: number, y: number) => number,
): Operation {
  return (pick) => {
    const x = numeric(pick);
    const y = pick.number(7) - 3;
    return x && { tensor: apply(x.tensor, y), bound: bound(x.bound, Math.abs(y)) };
  };
}

function comparison(apply: (x: Tensor, y: Tensor) => Tensor): Operation {
  return (pick) => {
    const x = pick.value();
    const y = x && pick.value((other) => broadcasts(other.shape, x.tensor.shape));
    return y && { tensor: apply(x.tensor, y.tensor), bound: 1 };
  };
}

/** A view of any value; the same elements. */
function view(apply: (x: Tensor, pick: Picker) => Tensor | undefined): Operation {
  return (pick) => {
    const x = pick.value();
    const tensor = x && apply(x.tensor, pick);
    return tensor && { tensor, bound: x.bound };
  };
}

function reduction(
  apply: (x: Tensor, dims: number[] | undefined, keepdim: boolean) => Tensor,
  bound: (x: number, n: number) => number,
  fits: (x: Tensor) => boolean = () => true,
): Operation {
  return (pick) => {
    const x = numeric(pick);
    if (x === undefined || !fits(x.tensor)) return undefined;
    const mask = pick.number(1 << x.tensor.rank);
    const dims = x.tensor.shape.map((_, d) => d).filter((d) => (mask >> d) & 1);
    const keepdim = pick.number(2) === 1;
    const all = dims.length === 0;
    return {
      tensor: apply(x.tensor, all ? undefined : dims, keepdim),
      bound: bound(x.bound, Math.max(1, all ? x.tensor.size : sizeOf(dims.map((d) => x.tensor.shape[d])))),
    };
  };
}

const reshapeOperation = view((x, pick) => {
  const { shape, rank } = x;
  switch (pick.number(4)) {
    case 0:
      return ops.flatten(x);
    case 1:
      return ops.unsqueeze(x, pick.number(rank + 1));
    case 2: {
      if (rank < 2) return undefined;
      const d = pick.number(rank - 1);
      return ops.flatten(x, d, d + 1);
    }
    default: {
      const even = shape.findIndex((extent) => extent > 0 && extent % 2 === 0);
      return even < 0 ? ops.squeeze(x) : ops.reshape(x, shape.toSpliced(even, 1, 2, shape[even] / 2));
    }
  }
});

const permuteOperation = view((x, pick) => {
  const dims = x.shape.map((_, d) => d);
  for (let d = dims.length - 1; d > 0; d--) {
    const other = pick.number(d + 1);
    [dims[d], dims[other]] = [dims[other], dims[d]];
  }
  return ops.permute(x, dims);
});

const sliceOperation = view((x, pick) => {
  if (x.rank === 0) return undefined;
  const d = pick.number(x.rank);
  const [start, stop] = [pick.number(x.shape[d] + 1), pick.number(x.shape[d] + 1)];
  const step = [1, 1, 2, -1, -2][pick.number(5)];
  return step > 0
    ? ops.slice(x, d, Math.min(start, stop), Math.max(start, stop) + 1, step)
    : ops.slice(x, d, Math.max(start, stop), Math.min(start, stop), step);
});

const expandOperation = view((x, pick) => {
  const ones = x.shape.indexOf(1);
  const shape = ones >= 0 ? x.shape.with(ones, 2 + pick.number(3)) : [1 + pick.number(3), ...x.shape];
  return ops.expand(x, shape);
});

const padOperation = view((x, pick) =>
  ops.pad(
    x,
    x.shape.map(() => [pick.number(2), pick.number(2)] as [number, number]),
    x.dtype === "bool" ? 1 : pick.number(2),
  ),
);

const concatOperation: Operation = (pick) => {
  const x = pick.value(({ rank }) => rank > 0);
  if (x === undefined) return undefined;
  const d = pick.number(x.tensor.rank);
  const fits = ({ dtype, shape }: Tensor) =>
    dtype === x.tensor.dtype &&
    shape.length === x.tensor.rank &&
    shape.every((extent, i) => i === d || extent === x.tensor.shape[i]);
  const parts = [x, pick.value(fits)!, ...(pick.number(2) === 0 ? [pick.value(fits)!] : [])];
  return {
    tensor: ops.concat(
      parts.map(({ tensor }) => tensor),
      d,
    ),
    bound: Math.max(...parts.map(({ bound }) => bound)),
  };
};

const whereOperation: Operation = (pick) => {
  const condition = pick.value(({ dtype }) => dtype === "bool");
  if (condition === undefined) return undefined;
  const fits = (other: Tensor) => isNumeric(other) && broadcasts(other.shape, condition.tensor.shape);
  const a = pick.value(fits);
  if (a === undefined) return undefined;
  const b = pick.value((other) => fits(other) && broadcasts(other.shape, a.tensor.shape));
  return b && { tensor: ops.where(condition.tensor, a.tensor, b.tensor), bound: Math.max(a.bound, b.bound) };
};

/** x·xᵀ, or a linear layer whose weights are another value, with a bias and ReLU or without. */
const matmulOperation: Operation = (pick) => {
  const x = pick.value((other) => isFloat(other) && other.rank >= 2);
  if (x === undefined) return undefined;
  const k = x.tensor.shape[x.tensor.rank - 1];
  const other = pick.value((y) => isFloat(y) && y.rank === 2 && y.shape[1] === k);
  if (other === undefined || pick.number(3) === 0) {
    return { tensor: ops.matmul(x.tensor, ops.transpose(x.tensor, -1, -2)), bound: x.bound ** 2 * k };
  }
  const outputs = other.tensor.shape[0];
  const bias = pick.value((y) => isFloat(y) && y.rank === 1 && y.shape[0] === outputs);
  const tensor = ops.linear(x.tensor, other.tensor, bias?.tensor);
  const bound = x.bound * other.bound * k + (bias?.bound ?? 0);
  const active = ops.relu(tensor);
  return { tensor: [tensor, active, ops.sub(active, tensor)][pick.number(3)], bound: 2 * bound };
};

/** A convolution of images with a part of themselves, so that shapes always fit. */
const convOperation: Operation = (pick) => {
  const x = pick.value((t) => isFloat(t) && t.rank === 4 && t.size > 0 && t.shape[2] >= 2 && t.shape[3] >= 2);
  if (x === undefined) return undefined;
  const [filters, kernel] = [Math.min(2, x.tensor.shape[0]), 1 + pick.number(2)];
  const part = ops.narrow(ops.narrow(x.tensor, 2, 0, kernel), 3, 0, kernel);
  const weight = ops.narrow(part, 0, 0, filters);
  const tensor = ops.conv2d(x.tensor, weight, undefined, {
    padding: pick.number(2),
    stride: 1 + pick.number(2),
  });
  return { tensor, bound: x.bound ** 2 * sizeOf(weight.shape.slice(1)) };
};

const imagesOf = (pick: Picker) =>
  pick.value((t) => isFloat(t) && t.rank === 4 && t.size > 0 && t.shape[2] >= 2 && t.shape[3] >= 2);

const maxPoolOperation: Operation = (pick) => {
  const x = imagesOf(pick);
  return x && { tensor: ops.maxPool2d(x.tensor, 2), bound: x.bound };
};

const avgPoolOperation: Operation = (pick) => {
  const x = imagesOf(pick);
  return x && { tensor: ops.avgPool2d(x.tensor, 2), bound: x.bound };
};

/** Positions along a dimension made of a value's own elements. */
function positions(x: Tensor, extent: number): Tensor {
  return ops.mod(ops.cast(x, "int32"), extent);
}

const gatherOperation: Operation = (pick) => {
  const x = pick.value((t) => t.rank > 0 && t.size > 0);
  if (x === undefined) return undefined;
  const d = pick.number(x.tensor.rank);
  return { tensor: ops.gather(x.tensor, d, positions(x.tensor, x.tensor.shape[d])), bound: x.bound };
};

const scatterOperation: Operation = (pick) => {
  const x = pick.value((t) => isNumeric(t) && t.rank > 0 && t.size > 0);
  if (x === undefined) return undefined;
  const d = pick.number(x.tensor.rank);
  const n = x.tensor.shape[d];
  const initial = pick.number(2) === 0 ? x.tensor : ops.zerosLike(x.tensor);
  return { tensor: ops.scatterAdd(initial, d, positions(x.tensor, n), x.tensor), bound: x.bound * (n + 1) };
};

/** Rows 2, 1, 0, 2, … of a value, without an index that depends on its elements. */
const selectOperation: Operation = (pick) => {
  const x = pick.value((t) => t.rank > 0 && t.size > 0);
  if (x === undefined) return undefined;
  const d = pick.number(x.tensor.rank);
  const { device } = x.tensor;
  const index = ops.mod(ops.sub(2, ops.arange(1 + pick.number(5), { device })), x.tensor.shape[d]);
  return { tensor: ops.indexSelect(x.tensor, d, index), bound: x.bound };
};

function position(apply: (x: Tensor, dim: number | undefined) => Tensor): Operation {
  return (pick) => {
    const x = pick.value((t) => t.size > 0);
    if (x === undefined) return undefined;
    const dim = pick.number(x.tensor.rank + 1) - 1;
    return { tensor: apply(x.tensor, dim < 0 ? undefined : dim), bound: x.tensor.size };
  };
}

const castOperation: Operation = (pick) => {
  const x = pick.value();
  const dtype = (["float32", "int32", "bool", "uint8", "int8"] as const)[pick.number(5)];
  if (x === undefined) return undefined;
  // float → int saturates and int → narrow wraps, so the way through int32 is the one with a defined result.
  const narrow = dtype === "uint8" || dtype === "int8";
  const tensor = ops.cast(narrow ? ops.cast(x.tensor, "int32") : x.tensor, dtype);
  return { tensor, bound: narrow ? 255 : Math.max(1, x.bound) };
};

const randomOperation: Operation = (pick) => {
  const x = pick.value();
  if (x === undefined) return undefined;
  const { shape, device } = x.tensor;
  const options = { device, generator: pick.generator };
  switch (pick.number(3)) {
    case 0:
      return { tensor: ops.randint(-4, 4, shape, options), bound: 4 };
    case 1:
      return { tensor: ops.lt(ops.rand(shape, options), 0.5), bound: 1 };
    default:
      // A probability of 1/2 scales by 2, exactly.
      return {
        tensor: ops.dropout(ops.cast(x.tensor, "float32"), 0.5, { generator: pick.generator }),
        bound: 2 * x.bound,
      };
  }
};

const creationOperation: Operation = (pick) => {
  const x = pick.value();
  if (x === undefined) return undefined;
  const { shape, dtype, device, rank } = x.tensor;
  const value = pick.number(2);
  if (pick.number(2) === 0 || rank === 0)
    return { tensor: ops.full(shape, value, { device, dtype }), bound: 1 };
  const n = shape[rank - 1];
  return { tensor: ops.expand(ops.arange(n, { device }), shape), bound: n };
};

const views: Operation[] = [
  reshapeOperation,
  permuteOperation,
  permuteOperation,
  sliceOperation,
  expandOperation,
  view((x, pick) => ops.flip(x, x.rank === 0 ? [] : pick.number(x.rank))),
  padOperation,
  concatOperation,
];

const exact: Operation[] = [
  ...views,
  binary(ops.add, (x, y) => x + y),
  binary(ops.sub, (x, y) => x + y),
  binary(ops.mul, (x, y) => x * y),
  binary(ops.maximum, Math.max),
  binary(ops.minimum, Math.max),
  withNumber(ops.add, (x, y) => x + y),
  withNumber(
    (x, y) => ops.sub(y, x),
    (x, y) => x + y,
  ),
  withNumber(ops.mul, (x, y) => x * y),
  withNumber(
    (x, y) => ops.mod(x, y <= 0 ? y - 1 : y),
    (_, y) => y + 1,
  ),
  unary(ops.neg, (x) => x),
  unary(ops.abs, (x) => x),
  unary(ops.relu, (x) => x),
  unary(ops.sign, () => 1),
  unary(ops.square, (x) => x * x),
  comparison(ops.eq),
  comparison(ops.lt),
  comparison(ops.ge),
  comparison(ops.logicalXor),
  comparison(ops.logicalAnd),
  view((x) => ops.logicalNot(x)),
  whereOperation,
  whereOperation,
  castOperation,
  reduction(
    (x, dims, keepdim) => ops.sum(x, dims, { keepdim }),
    (x, n) => x * n,
  ),
  reduction(
    (x, dims, keepdim) => ops.sum(x, dims, { keepdim }),
    (x, n) => x * n,
  ),
  reduction(
    (x, dims, keepdim) => ops.max(x, dims, { keepdim }),
    (x) => x,
    ({ size }) => size > 0,
  ),
  reduction(
    (x, dims, keepdim) => ops.min(x, dims, { keepdim }),
    (x) => x,
    ({ size }) => size > 0,
  ),
  reduction(
    (x, dims, keepdim) => ops.prod(ops.sign(x), dims, { keepdim }),
    () => 1,
  ),
  reduction(
    (x, dims, keepdim) => ops.any(x, dims, { keepdim }),
    () => 1,
    ({ size }) => size > 0,
  ),
  position((x, dim) => ops.argmax(x, dim)),
  position((x, dim) => ops.argmin(x, dim)),
  matmulOperation,
  matmulOperation,
  convOperation,
  maxPoolOperation,
  gatherOperation,
  scatterOperation,
  selectOperation,
  randomOperation,
  creationOperation,
];

const lastDim = (apply: (x: Tensor) => Tensor): ((x: Tensor) => Tensor) => {
  return (x) => (x.rank === 0 || x.size === 0 ? ops.tanh(x) : apply(x));
};

const smooth: Operation[] = [
  ...views,
  binary(ops.add, (x, y) => x + y),
  binary(ops.sub, (x, y) => x + y),
  binary(ops.mul, (x, y) => x * y),
  binary(
    (x, y) => ops.div(x, ops.add(ops.square(y), 1)),
    (x) => x,
  ),
  withNumber(ops.add, (x, y) => x + y),
  withNumber(ops.mul, (x, y) => x * y),
  onFloat(ops.tanh, () => 1),
  onFloat(ops.sigmoid, () => 1),
  onFloat(ops.gelu, (x) => x),
  onFloat(ops.silu, (x) => x),
  onFloat(ops.sin, () => 1),
  onFloat(
    (x) => ops.exp(ops.sin(x)),
    () => Math.E,
  ),
  onFloat(
    (x) => ops.sqrt(ops.add(ops.square(x), 1)),
    (x) => x + 1,
  ),
  onFloat(
    (x) => ops.log(ops.add(ops.square(x), 1)),
    (x) => 2 * Math.log(x + 1),
  ),
  onFloat(
    lastDim((x) => ops.softmax(x, -1)),
    () => 1,
  ),
  onFloat(
    lastDim((x) => ops.softmax(x, 0)),
    () => 1,
  ),
  onFloat(
    lastDim((x) => ops.logSoftmax(x, -1)),
    (x) => 2 * x + 8,
  ),
  // A large epsilon: rows of nearly equal values would amplify roundings.
  onFloat(
    lastDim((x) => ops.layerNorm(x, x.shape[x.rank - 1], undefined, undefined, 0.5)),
    (x) => 3 * x,
  ),
  reduction(
    (x, dims, keepdim) => ops.mean(x, dims, { keepdim }),
    (x) => x,
    ({ size }) => size > 0,
  ),
  reduction(
    (x, dims, keepdim) => ops.sum(x, dims, { keepdim }),
    (x, n) => x * n,
  ),
  reduction(
    (x, dims, keepdim) => ops.variance(x, dims, { keepdim, correction: 0 }),
    (x) => x * x,
    ({ size }) => size > 0,
  ),
  matmulOperation,
  matmulOperation,
  convOperation,
  avgPoolOperation,
  selectOperation,
  (pick) => {
    const x = float(pick);
    return x && { tensor: ops.dropout(x.tensor, 0.5, { generator: pick.generator }), bound: 2 * x.bound };
  },
  (pick) => {
    const x = pick.value((t) => t.rank >= 2 && t.size > 0);
    return (
      x && {
        tensor: ops.scaledDotProductAttention(x.tensor, x.tensor, x.tensor, { causal: pick.number(2) === 0 }),
        bound: x.bound,
      }
    );
  },
];

export const operations: Readonly<Record<Family, readonly Operation[]>> = { exact, smooth };
