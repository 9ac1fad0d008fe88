/** Replaces the tensors of a module by new ones, on this or another device: all of them or none. Ties are kept. */

import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { dispose } from "../runtime/dispose.js";
import { leaf } from "../runtime/host_data.js";
import { realize } from "../runtime/realize.js";
import { setTrainable } from "./parameter.js";
import { type StateEntry, type Stateful, stateOf } from "./state.js";
import { fill, type StateValue, valuesOf } from "./state_values.js";

/** `Module.to`. */
export function moveState(module: Stateful, device: Device): Promise<void> {
  const away = stateOf(module).filter(({ tensor }) => tensor.device !== device);
  return replaceTensors(away, away, (entry) => copyTo(device, entry, entry.tensor));
}

/**
 * @param entries All places of the tensors.
 * @param order Places in the order in which new tensors are made, the first place of each.
 * @param make The new tensor, or undefined to keep the old one. If it throws, the module stays as it was.
 */
export async function replaceTensors(
  entries: readonly StateEntry[],
  order: Iterable<StateEntry>,
  make: (entry: StateEntry) => Promise<Tensor | undefined>,
): Promise<void> {
  const made = new Map<Tensor, Tensor>();
  try {
    for (const entry of order) {
      const { tensor, buffer } = entry;
      const copy = made.has(tensor) ? undefined : await make(entry);
      if (copy === undefined) continue;
      made.set(tensor, copy);
      if (buffer === undefined) setTrainable(copy, tensor.requiresGrad);
    }
  } catch (error) {
    for (const copy of made.values()) copy.storage?.dispose();
    throw error;
  }
  for (const { tensor, put } of entries) if (made.has(tensor)) put(made.get(tensor)!);
  for (const tensor of made.keys()) dispose(tensor);
}

/** A tensor on `device` with these values; a buffer with `derive` is computed there. */
export async function copyTo(
  device: Device,
  { tensor: { dtype, shape }, buffer }: StateEntry,
  value: StateValue,
): Promise<Tensor> {
  if (buffer?.derive !== undefined) {
    const derived = buffer.derive(device);
    realize([derived]);
    return derived;
  }
  const values = await valuesOf(value);
  const copy = leaf(device, dtype, shape, undefined, { float32Storage: buffer !== undefined });
  try {
    await fill(copy, values);
    return copy;
  } catch (error) {
    dispose(copy);
    throw error;
  }
}
