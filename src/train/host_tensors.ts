/** Reads named tensors into host memory, with every bit the device holds. */
import { readExact } from "../compiler/realize.js";
import type { HostTensor } from "../formats/index.js";
import type { Tensor } from "../tensor/tensor.js";

/**
 * The values of named tensors, as `writeSafetensors` takes them.
 *
 * @example
 * const bytes = writeSafetensors(await hostTensors(model.stateDict()));
 */
export async function hostTensors(
  tensors: Iterable<readonly [string, Tensor]>,
): Promise<Map<string, HostTensor>> {
  const result = new Map<string, HostTensor>();
  for (const [name, tensor] of tensors) {
    result.set(name, { dtype: tensor.dtype, shape: tensor.shape, data: await readExact(tensor) });
  }
  return result;
}
