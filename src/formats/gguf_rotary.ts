/** The order of rows that GGUF files of the llama architecture give the projections to queries and keys. */
import { aCount, aDType, check, type Kind } from "../core/check.js";
import { newArray, type TypedArray } from "../core/dtype.js";
import { ShapeError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { StoredTensor } from "./host.js";

const aStoredTensor: Kind = [
  "a tensor of a file",
  (value) => {
    const { dtype, shape, data, pieces } = (value ?? {}) as Partial<StoredTensor>;
    const reads = [data, pieces].every((member) => typeof member === "function");
    return aDType[1](dtype) && Array.isArray(shape) && reads;
  },
];

/**
 * The rows of `attn_q` and `attn_k` in the order of Hugging Face files. Rotary embeddings turn pairs of rows of each head: GGUF has
 * the two of a pair side by side (2i, 2i + 1), Hugging Face files have the first ones of all pairs before the second ones
 * (i, headDim / 2 + i). A weight is [heads · headDim, in], a bias [heads · headDim]; `heads` of a key is the number of key heads.
 * One head at a time is in memory.
 *
 * @throws ShapeError if the heads do not divide the rows into pairs.
 * @example
 * const values = Float32Array.of(0, 1, 2, 3);
 * async function* pieces() {
 *   yield values;
 * }
 * // One head with two pairs of rows.
 * const stored = { dtype: "float32", shape: [4], data: async () => values, pieces } as const;
 * await undoRotaryPermutation(stored, 1).data(); // [0, 2, 1, 3]
 */
export function undoRotaryPermutation(tensor: StoredTensor, heads: number): StoredTensor {
  const op = "undoRotaryPermutation";
  check(op, "the tensor", tensor, aStoredTensor);
  check(op, "heads", heads, aCount);
  const { dtype, shape } = tensor;
  const pairs = shape[0] / heads / 2;
  if (shape.length < 1 || !Number.isInteger(pairs)) {
    throw new ShapeError(`${heads} heads do not divide the rows of ${formatShape(shape)} into pairs`, { op });
  }
  const row = shape.slice(1).reduce((size, extent) => size * extent, 1);
  const size = shape[0] * row;
  const headSize = 2 * pairs * row;

  /** `head`, whose rows are in pairs, into `into`. */
  function reorder(head: TypedArray, into: TypedArray): void {
    for (let i = 0; i < 2 * pairs; i++) {
      const to = (i >> 1) + (i & 1) * pairs;
      into.set(head.subarray(i * row, (i + 1) * row), to * row);
    }
  }

  async function* pieces(): AsyncGenerator<TypedArray> {
    const head = newArray(dtype, headSize);
    const result = newArray(dtype, headSize);
    let filled = 0;
    for await (const piece of tensor.pieces()) {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + headSize - filled);
        head.set(part, filled);
        at += part.length;
        filled += part.length;
        if (filled < headSize) break;
        reorder(head, result);
        yield result;
        filled = 0;
      }
    }
  }

  return {
    dtype,
    shape,
    pieces,
    async data() {
      const values = newArray(dtype, size);
      let at = 0;
      for await (const piece of pieces()) {
        values.set(piece, at);
        at += piece.length;
      }
      return values;
    },
  };
}
