/** Reads a tensor's values in pieces, to bound the memory of the copy. */
import type { TypedArray } from "../core/dtype.js";
import { StaleTensorError } from "../core/errors.js";
import type { Tensor } from "../graph/tensor.js";
import { readPart } from "./host_data.js";

/** Elements of a piece: 4 MiB of float32. */
const pieceSize = 2 ** 20;

/**
 * The values in row-major order, in pieces.
 * @throws StaleTensorError if the tensor is changed before the last, or disposed.
 */
export async function* readPieces(tensor: Tensor): AsyncGenerator<TypedArray> {
  let version: number | undefined;
  for (let offset = 0; offset < tensor.size; offset += pieceSize) {
    const reading = readPart(tensor, { offset, length: Math.min(pieceSize, tensor.size - offset) });
    // The values are those at the call, even if the tensor changes before they arrive.
    const now = tensor.storage?.version;
    const values = await reading;
    if (version !== undefined && now !== version) {
      throw new StaleTensorError("the tensor was changed while its values were read", {
        op: "pieces",
        hint: "finish reading before the next step",
      });
    }
    version = now;
    yield values instanceof Float64Array ? new Float32Array(values) : values;
  }
}
