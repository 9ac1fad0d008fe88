/** Parameter groups: lists of parameters with their own settings. */

import { check, checkOptions, isPlain, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { formatFields, withCommas } from "../core/inspect.js";
import { tensors } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";

/** Parameters with their own settings. */
export interface ParameterGroup<Settings> {
  readonly parameters: readonly Tensor[];
  readonly settings: Settings;
}

/** The first argument of optimizer constructors: a list of parameters, or groups. */
export type GroupsOrList<Settings> = readonly Tensor[] | readonly ParameterGroup<Partial<Settings>>[];

/**
 * The groups with `defaults` for settings that they lack; a plain list is one group. `op` is named in errors.
 * @throws ArgumentError without parameters, for one that appears twice, and for settings of a wrong type.
 */
export function groupsOf<Settings extends object>(
  op: string,
  given: GroupsOrList<Settings>,
  defaults: Settings,
  kinds: Kinds<Settings> | undefined,
): readonly ParameterGroup<Settings>[] {
  const list = isGroups(given) ? given : [{ parameters: given, settings: {} }];
  const groups = list.map(({ parameters, settings = {} }) => {
    check(op, "the list of parameters", parameters, tensors);
    if (kinds !== undefined) checkOptions(op, settings as Settings, kinds);
    return { parameters, settings: { ...defaults, ...withoutUndefined(settings) } };
  });
  const all = parametersOf(groups);
  if (all.length === 0) throw new ArgumentError("there are no parameters", { op });
  if (new Set(all).size !== all.length) throw new ArgumentError("a parameter appears twice", { op });
  return groups;
}

/** The parameters of all groups, in order. */
export function parametersOf(groups: readonly ParameterGroup<unknown>[]): Tensor[] {
  return groups.flatMap(({ parameters }) => parameters);
}

/** A line for each group: how many parameters, and its settings. */
export function formatGroups(name: string, groups: readonly ParameterGroup<object>[]): string {
  return groups
    .map(({ parameters, settings }) => {
      const values = parameters.reduce((sum, { size }) => sum + size, 0);
      return `${name}: ${withCommas(values)} values in ${parameters.length} parameters, ${formatFields(settings)}`;
    })
    .join("\n");
}

/** Returns a function that checks whether the groups and their settings, except the learning rate, are unchanged. */
export function groupsUnchanged<Settings extends object>(
  groups: readonly ParameterGroup<Settings>[],
): () => boolean {
  const seen = groups.map(({ parameters, settings }) => ({
    parameters: [...parameters],
    settings: Object.entries(settings).filter(([name]) => name !== "lr"),
  }));
  return () =>
    groups.length === seen.length &&
    seen.every(({ parameters, settings }, g) => {
      const now = groups[g];
      return (
        parameters.length === now.parameters.length &&
        parameters.every((parameter, i) => parameter === now.parameters[i]) &&
        settings.every(([name, value]) => isSame(value, now.settings[name as keyof Settings]))
      );
    });
}

/** The values of settings: numbers, or lists of numbers such as Adam's betas. */
function isSame(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** Removes undefined settings, for which defaults apply. */
export function withoutUndefined<T extends object>(settings: T): T {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T;
}

function isGroups<Settings>(
  list: readonly Tensor[] | readonly ParameterGroup<Settings>[],
): list is readonly ParameterGroup<Settings>[] {
  return Array.isArray(list) && isPlain(list[0]) && "parameters" in list[0];
}
