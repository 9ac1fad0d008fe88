/** Reads named tensors into host memory, with every bit the device holds. */

import { check, type Kind } from "../core/check.js";
import type { HostTensor } from "../formats/index.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { readExact } from "../runtime/host_data.js";

const aStateDict: Kind = [
  "a Map of tensors by name",
  (value) => value instanceof Map || (Array.isArray(value) && value.every((entry) => Array.isArray(entry))),
  (value) =>
    typeof value === "object" && value && "stateDict" in value ? "give its stateDict()" : undefined,
];

/**
 * Reads named tensors into host memory, as `writeSafetensors` takes them. A tensor with several names (tied parameters) appears once,
 * under the first; `loadStateDict` finds it under any of them.
 *
 * @example
 * const tensors = await hostTensors(new Linear(2, 3).stateDict());
 * tensors.get("weight")!.shape; // [3, 2]
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
