/** The state that an optimizer keeps for its parameters, moments and step counts: made, saved, loaded and snapshotted. */

import type { TypedArray } from "../core/dtype.js";
import { ArgumentError } from "../core/errors.js";
import { unobserved } from "../graph/observe.js";
import type { RuntimeScalar } from "../graph/op.js";
import { Tensor } from "../graph/tensor.js";
import { zerosLike } from "../ops/creation.js";
import { overwrite, readExact } from "../runtime/host_data.js";
import { realize } from "../runtime/realize.js";
import { type ParameterGroup, parametersOf } from "./parameter_groups.js";
import type { StepState } from "./step_state.js";

/** The result of `Optimizer.stateDict`: tensors by name, and numbers that JSON represents exactly. */
export interface OptimizerState {
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Learning rates and step counts. */
  readonly numbers: {
    /** Learning rate of each group. */
    readonly lr: readonly number[];
    /** Steps each parameter has made, in the order of the groups. */
    readonly steps: readonly number[];
  };
}

/** The same, with tensors on any device or host data. */
export interface LoadableState {
  readonly tensors: ReadonlyMap<string, Tensor | { readonly data: TypedArray }>;
  readonly numbers: OptimizerState["numbers"];
}

export interface ParameterState<Settings> {
  readonly stepState: StepState<Settings>;
  /** Moments or other state, each of the parameter's shape. */
  readonly moments: readonly Tensor[];
}

/** An optimizer, as far as its state depends on it. */
export interface StateOwner<Settings> {
  readonly groups: readonly ParameterGroup<Settings>[];
  /** The state of parameters that were updated at least once. */
  readonly states: Map<Tensor, ParameterState<Settings>>;
  /** Names of the moments, as they appear in the state dict. */
  readonly momentNames: readonly string[];
  createScalars(settings: Settings): Record<string, RuntimeScalar>;
}

export function createStepState<Settings>(
  owner: StateOwner<Settings>,
  settings: Settings,
  step: number,
): StepState<Settings> {
  return { step, settings, scalars: owner.createScalars(settings) };
}

/** Gives the parameter moments of 0. */
export function createState<Settings>(
  { momentNames, states }: StateOwner<Settings>,
  parameter: Tensor,
  stepState: StepState<Settings>,
): ParameterState<Settings> {
  // Leaves already in the first step's Program, so that the second step reuses it.
  const moments = unobserved(() => {
    const zeros = momentNames.map(() => zerosLike(parameter));
    realize(zeros);
    return zeros;
  });
  for (const { device, storage } of moments) device.useFloat32Storage?.(storage!.buffer);
  const state = { stepState, moments };
  states.set(parameter, state);
  return state;
}

/** Everything needed to go on exactly: `exp_avg.3` is a moment of parameter 3, counted through all groups. */
export function saveState<Settings extends { lr: number }>({
  groups,
  states,
  momentNames,
}: StateOwner<Settings>): OptimizerState {
  const tensors = new Map<string, Tensor>();
  const steps: number[] = [];
  parametersOf(groups).forEach((parameter, i) => {
    const state = states.get(parameter);
    steps.push(state?.stepState.step ?? 0);
    state?.moments.forEach((moment, m) => {
      tensors.set(`${momentNames[m]}.${i}`, moment);
    });
  });
  return { tensors, numbers: { lr: groups.map(({ settings }) => settings.lr), steps } };
}

/**
 * Restores what `saveState` returned. Existing moments and step counts are changed in place. `op` is named in errors.
 * @throws ArgumentError if it belongs to other parameters; nothing is changed then.
 */
export async function loadState<Settings extends { lr: number }>(
  owner: StateOwner<Settings>,
  { tensors, numbers: { lr, steps } }: LoadableState,
  op: string,
): Promise<void> {
  const { groups, states, momentNames } = owner;
  const all = parametersOf(groups);
  requireFit(groups, all.length, lr, steps, op);
  const moments = await Promise.all(
    all.map(({ size }, i) => readMoments(momentNames, tensors, size, i, steps[i], op)),
  );
  let i = 0;
  groups.forEach((group, g) => {
    group.settings.lr = lr[g];
    const restored = new Set<StepState<Settings>>();
    for (const parameter of group.parameters) {
      const step = steps[i];
      const values = moments[i++];
      const existing = states.get(parameter);
      if (existing === undefined && step === 0) continue;
      const stepState = restoreStepState(owner, restored, existing?.stepState, step, group.settings);
      const own = existing?.moments.length === momentNames.length ? existing.moments : undefined;
      if (own !== undefined) states.set(parameter, { stepState, moments: own });
      (own ?? createState(owner, parameter, stepState).moments).forEach((moment, m) => {
        overwrite(moment, values[m]);
      });
    }
  });
}

function requireFit(
  groups: readonly unknown[],
  count: number,
  lr: readonly number[],
  steps: readonly number[],
  op: string,
): void {
  if (lr.length !== groups.length || steps.length !== count) {
    throw new ArgumentError(
      `it has ${steps.length} parameters in ${lr.length} groups, the optimizer ${count} in ${groups.length}`,
      { op },
    );
  }
  if (!steps.every((step) => Number.isSafeInteger(step) && step >= 0) || !lr.every((rate) => rate >= 0)) {
    throw new ArgumentError("steps are non-negative integers, learning rates non-negative", { op });
  }
}

/** The moments of parameter `i`; zeros if it has made no step. */
function readMoments(
  momentNames: readonly string[],
  tensors: LoadableState["tensors"],
  size: number,
  i: number,
  step: number,
  op: string,
): Promise<TypedArray[]> {
  return Promise.all(
    momentNames.map(async (name) => {
      if (step === 0) return new Float32Array(size);
      const moment = tensors.get(`${name}.${i}`);
      const data = moment instanceof Tensor ? await readExact(moment) : moment?.data;
      if (data?.length !== size) {
        throw new ArgumentError(`${name}.${i} is missing or has another size`, { op });
      }
      return data;
    }),
  );
}

/** A parameter keeps its step state, unless other parameters share it and have another step count. */
function restoreStepState<Settings>(
  owner: StateOwner<Settings>,
  restored: Set<StepState<Settings>>,
  own: StepState<Settings> | undefined,
  step: number,
  settings: Settings,
): StepState<Settings> {
  if (own !== undefined && !restored.has(own)) {
    own.step = step;
    restored.add(own);
  }
  if (own?.step === step) return own;
  const stepState =
    [...restored].find((other) => other.step === step) ?? createStepState(owner, settings, step);
  restored.add(stepState);
  return stepState;
}

/**
 * Learning rates and step counts as they are now; the returned function restores them. Moments that were made since are
 * dropped, and made anew by the next step.
 */
export function snapshotState<Settings extends { lr: number }>({
  groups,
  states,
}: StateOwner<Settings>): () => void {
  const rates = groups.map(({ settings }) => settings.lr);
  const saved = new Map(
    [...states].map(([parameter, state]) => [parameter, { state, step: state.stepState.step }]),
  );
  return () => {
    groups.forEach(({ settings }, g) => {
      settings.lr = rates[g];
    });
    states.clear();
    for (const [parameter, { state, step }] of saved) {
      state.stepState.step = step;
      states.set(parameter, state);
    }
  };
}
