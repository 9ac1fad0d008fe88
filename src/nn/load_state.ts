/** loadStateDict: compares a state dict with a module, then takes its values over. */

import { aBoolean, anArray, check, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { newArray } from "../core/dtype.js";
import { deviceNamed, deviceOrName } from "../device/select.js";
import type { Tensor } from "../graph/tensor.js";
import { copyTo, replaceTensors } from "./move.js";
import { byTensor, isPersistent, type StateEntry, type Stateful, stateOf } from "./state.js";
import { type LoadOptions, type LoadReport, type StateDict, StateDictError } from "./state_dict.js";
import { matchState, type StateLoad } from "./state_match.js";
import { areEqual, converted, fill, type StateValue, type Values, valuesOf } from "./state_values.js";

const loadOptions: Kinds<LoadOptions> = {
  strict: aBoolean,
  ignore: anArray,
  optional: anArray,
  assign: deviceOrName,
};
const aMap: Kind = [
  "a Map of tensors by name",
  (value) => value instanceof Map,
  (value) => (typeof value === "object" && value && "tensors" in value ? "give its .tensors" : undefined),
];

/** `Module.loadStateDict`. */
export async function loadState(
  module: Stateful,
  state: StateDict,
  options: LoadOptions,
): Promise<LoadReport> {
  check("loadStateDict", "the state dict", state, aMap);
  const { assign } = checkOptions("loadStateDict", options, loadOptions);
  const { loads, report } = matchState(module, state, options);
  const given = new Map<Tensor, StateValue>();
  for (const load of loads) given.set(load.tensor, await valueAt(state, load));
  if (assign) {
    const device = await deviceNamed("loadStateDict", assign);
    const entries = stateOf(module);
    const places = byTensor(entries);
    // In the order of the state dict.
    const order = [...[...given.keys()].map((tensor) => places.get(tensor)![0]), ...entries];
    await replaceTensors(entries, order, async (entry) => {
      const { tensor } = entry;
      const value = given.get(tensor) ?? (tensor.device === device ? undefined : ownValue(entry));
      return value && copyTo(device, entry, value);
    });
    return report;
  }
  const updates: [Tensor, Values][] = [];
  for (const [tensor, value] of given) updates.push([tensor, await valuesOf(value)]);
  for (const [tensor, values] of updates) {
    const reading = fill(tensor, values);
    if (reading) await reading;
  }
  return report;
}

/** The value, on another device, of a tensor that the state dict lacks: zeros for optional buffers, the value of derived ones, else none. */
function ownValue(entry: StateEntry): StateValue | undefined {
  const { tensor, buffer } = entry;
  const { dtype, shape, size } = tensor;
  if (buffer?.optional) return { dtype, shape, data: newArray(dtype, size) };
  return isPersistent(entry) ? undefined : tensor;
}

/**
 * The value under the first key, in the dtype of its tensor; the values under the other keys are equal.
 * @throws StateDictError
 */
async function valueAt(state: StateDict, { tensor, keys }: StateLoad): Promise<StateValue> {
  const [first, ...others] = keys;
  const value = await inOwnDType(state, first, tensor);
  for (const key of others) {
    if (state.get(key) === state.get(first)) continue;
    if (!(await areEqual(value, await inOwnDType(state, key, tensor)))) {
      throw new StateDictError(`${first} and ${key} differ, which are one tensor in the module`, [
        first,
        key,
      ]);
    }
  }
  return value;
}

async function inOwnDType(state: StateDict, key: string, { dtype, shape }: Tensor): Promise<StateValue> {
  const value = state.get(key)!;
  if (value.dtype === dtype) return value;
  const data = await converted(value, dtype);
  if (data !== undefined) return { dtype, shape, data };
  throw new StateDictError(`${key} holds what is no ${dtype}`, [key]);
}
