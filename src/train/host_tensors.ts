/** Reads named tensors into host memory, with every bit the device holds. */

import { check, type Kind } from "../core/check.js";
import type { HostTensor } from "../formats/index.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { readExact } from "../runtime/realize.js";

const aStateDict: Kind = [
  "a Map of tensors by name",
  (value) => value instanceof Map || (Array.isArray(value) && value.every((entry) => Array.isArray(entry))),
  (value) =>
    typeof value === "object" && value && "stateDict" in value ? "give its stateDict()" : undefined,
];

/**
 * The values of named tensors, as `writeSafetensors` takes them. A tensor with several names, as tied parameters have, appears once,
 * under the first; `loadStateDict` finds it under any.
 *
 * @example
 * const bytes = writeSafetensors(await hostTensors(model.stateDict()));
 */
export async function hostTensors(
  tensors: Iterable<readonly [string, Tensor]>,
): Promise<Map<string, HostTensor>> {
  const result = new Map<string, HostTensor>();
  check("hostTensors", "the tensors", tensors, aStateDict);
  const seen = new Set<Tensor>();
  for (const [name, tensor] of tensors) {
    requireTensor("hostTensors", tensor, String(name));
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    result.set(name, { dtype: tensor.dtype, shape: tensor.shape, data: await readExact(tensor) });
  }
  return result;
}
