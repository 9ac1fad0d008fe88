/** The cases compared on WebGL2: products, convolutions and an elementwise chain with their float64 results. */
import { generator } from "./workloads.mjs";

function uniform(size, seed) {
  const next = generator(seed);
  return Float32Array.from({ length: size }, () => next() - 0.5);
}

/** Bound of the rounding of `terms` products of values below 1/4, at worst all in one direction. */
const roundingOf = (terms) => (terms * terms * 2 ** -24) / 4;

/**
 * A case: { key, group, name, flops, tolerance, inputs, expected() }. `expected` is a list of [index, value] pairs in
 * float64, made when it is first asked for; results are compared in the order of the last dimension fastest,
 * convolutions as [N, H, W, O].
 */
function product(size) {
  const [a, b] = [uniform(size * size, size), uniform(size * size, size + 1)];
  return {
    key: `gemm-${size}`,
    group: "gemm",
    name: `matmul ${size}`,
    kind: "matmul",
    size,
    inputs: { a, b },
    flops: 2 * size ** 3,
    tolerance: roundingOf(size),
    /** A few rows of it: enough to see that all of it is computed. */
    expected() {
      const values = [];
      for (const i of [0, 1, 2, 3, size >> 1, size - 2, size - 1]) {
        const row = new Float64Array(size);
        for (let p = 0; p < size; p++) {
          for (let j = 0; j < size; j++) row[j] += a[i * size + p] * b[p * size + j];
        }
        row.forEach((value, j) => {
          values.push([i * size + j, value]);
        });
      }
      return values;
    },
  };
}

/** 3 × 3, padding 1: x [N, H, W, C], w [3, 3, C, O]. */
function convolution(n, h, w, c, o) {
  const [x, filters] = [uniform(n * h * w * c, 5), uniform(9 * c * o, 6)];
  return {
    key: `conv-${n}x${h}`,
    group: "conv",
    name: `conv 3×3 ${n}×${h}×${w}×${c}→${o}`,
    kind: "conv",
    n,
    h,
    w,
    c,
    o,
    inputs: { x, filters },
    flops: 2 * 9 * n * h * w * c * o,
    tolerance: roundingOf(9 * c),
    expected() {
      const values = [];
      const sums = new Float64Array(o);
      for (let pixel = 0; pixel < n * h * w; pixel++) {
        const [row, column] = [Math.floor(pixel / w) % h, pixel % w];
        sums.fill(0);
        for (let dy = -1; dy <= 1; dy++) {
          for (let dx = -1; dx <= 1; dx++) {
            if (row + dy < 0 || row + dy >= h || column + dx < 0 || column + dx >= w) continue;
            const from = (pixel + dy * w + dx) * c;
            const tap = ((dy + 1) * 3 + dx + 1) * c;
            for (let i = 0; i < c; i++) {
              const value = x[from + i];
              for (let j = 0; j < o; j++) sums[j] += value * filters[(tap + i) * o + j];
            }
          }
        }
        sums.forEach((value, j) => {
          values.push([pixel * o + j, value]);
        });
      }
      return values;
    },
  };
}

/** relu(x·y + x)·0.5 − y over a million elements. */
function chain() {
  const size = 2 ** 20;
  const [x, y] = [uniform(size, 7), uniform(size, 8)];
  return {
    key: "chain",
    group: "chain",
    name: "chain of 5, 1 M",
    kind: "chain",
    size,
    inputs: { x, y },
    flops: 5 * size,
    tolerance: 1e-6,
    expected: () => Array.from(x, (value, i) => [i, Math.max(0, value * y[i] + value) * 0.5 - y[i]]),
  };
}

export const cases = [
  product(256),
  product(512),
  product(1024),
  convolution(8, 28, 28, 32, 64),
  convolution(1, 56, 56, 64, 64),
  chain(),
];

/** Keys of the training workloads that are compared. */
export const trainings = ["mlp", "cnn"];

/** What `--only` takes; trainings first, as their first steps are to be cold. */
export const groups = ["train", "gemm", "conv", "chain"];

/** The keys of a group by page: trainings each have one of their own, the cases of a group share one. */
export const keysOf = (group) =>
  group === "train"
    ? trainings.map((key) => [key])
    : [cases.filter((test) => test.group === group).map(({ key }) => key)];

/** The largest difference from `expected`, a list of [index, value]. */
export function largestError(got, expected) {
  let worst = 0;
  for (const [i, value] of expected) {
    const error = Math.abs(value - got[i]);
    // NaN is not greater than anything.
    if (!(error <= worst)) worst = error;
    if (Number.isNaN(worst)) return worst;
  }
  return worst;
}
