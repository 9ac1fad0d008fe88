/** Compares the names, shapes and dtypes of a state dict with those of a module, before any value is read. */

import { formatShape, sameShape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { byTensor, isPersistent, modulesOf, type Stateful, stateOf } from "./state.js";
import { type LoadOptions, type LoadReport, type StateDict, StateDictError } from "./state_dict.js";
import { isLoadable } from "./state_values.js";

/** A tensor of the module and the keys of the state dict that hold its values: several if it is tied. */
export interface StateLoad {
  readonly tensor: Tensor;
  readonly keys: readonly string[];
}

/**
 * Finds for each tensor of a module the keys that hold its values, in the order of the state dict. Reads names, shapes and dtypes only.
 * @throws StateDictError listing all missing and unexpected keys and all shapes and dtypes that differ.
 */
export function matchState(
  module: Stateful,
  state: StateDict,
  { strict = true, ignore = [], optional = [] }: LoadOptions,
): { readonly loads: readonly StateLoad[]; readonly report: LoadReport } {
  const report = { ignored: [] as string[], missing: [] as string[] };
  const [missing, unexpected, mismatched, problems]: string[][] = [[], [], [], []];
  const loads: StateLoad[] = [];
  const entries = stateOf(module);
  const isIgnored = (key: string) =>
    !strict ||
    matches(ignore, key) ||
    entries.some(({ name }) => name === key) ||
    [...modulesOf(module)].some(({ prefix, module: owner }) => {
      const start = prefix && `${prefix}.`;
      return key.startsWith(start) && matches(owner.ignoredKeys(), key.slice(start.length));
    });
  const known = new Set<string>();
  for (const [tensor, places] of byTensor(entries.filter(isPersistent))) {
    const { dtype, shape, size } = tensor;
    const names = places.map(({ name }) => name);
    const keys = names.filter((name) => state.has(name));
    if (keys.length > 0) loads.push({ tensor, keys });
    else {
      const mayLack = !strict || places[0].buffer?.optional || names.some((name) => matches(optional, name));
      (mayLack ? report.missing : missing).push(names[0]);
    }
    for (const key of keys) {
      known.add(key);
      const value = state.get(key)!;
      const length = ArrayBuffer.isView(value.data) ? value.data.length : size;
      if (!sameShape(value.shape, shape) || !isLoadable(value.dtype, dtype)) {
        problems.push(
          `${key} is ${value.dtype} ${formatShape(value.shape)}, not ${dtype} ${formatShape(shape)}`,
        );
      } else if (length !== size) {
        problems.push(`${key} has ${length} elements for shape ${formatShape(shape)}`);
      } else continue;
      mismatched.push(key);
    }
  }
  for (const key of state.keys()) {
    if (!known.has(key)) (isIgnored(key) ? report.ignored : unexpected).push(key);
  }
  if (unexpected.length > 0) problems.unshift(`unexpected ${unexpected.join(", ")}`);
  if (missing.length > 0) problems.unshift(`missing ${missing.join(", ")}`);
  if (problems.length > 0) throw new StateDictError(problems.join("; "), mismatched, { missing, unexpected });
  const byKey = new Map(loads.map((load) => [load.keys[0], load]));
  return { loads: [...state.keys()].flatMap((key) => byKey.get(key) ?? []), report };
}

function matches(patterns: readonly RegExp[], key: string): boolean {
  return patterns.some((pattern) => key.search(pattern) >= 0);
}
