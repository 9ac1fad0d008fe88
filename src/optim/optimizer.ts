/** What optimizers share: parameter groups, step counts, state that can be saved, and when updates happen. */

import { requireRegistered } from "../autograd/unregistered.js";
import { check, checkOptions, isPlain, type Kinds } from "../core/check.js";
import type { TypedArray } from "../core/dtype.js";
import { ArgumentError, StaleTensorError } from "../core/errors.js";
import { formatFields, inspectable, withCommas } from "../core/inspect.js";
import { formatShape } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { registerWeakly, type SnapshotParticipant } from "../device/recovery.js";
import { recorder, unobserved } from "../graph/observe.js";
import type { RuntimeScalar } from "../graph/op.js";
import { tensors } from "../graph/require.js";
import { currentScope, inScope, noGrad, Tensor } from "../graph/tensor.js";
import { zerosLike } from "../ops/creation.js";
import { assign } from "../runtime/assign.js";
import { onlyWhile, onReplay, onUndo, releaseGradient } from "../runtime/capture.js";
import { commit, unassign } from "../runtime/commit.js";
import { overwrite, readExact } from "../runtime/host_data.js";
import { realize } from "../runtime/realize.js";
import { sessionOf } from "../runtime/session.js";

/** Parameters with their own settings. */
export interface ParameterGroup<Settings> {
  readonly parameters: readonly Tensor[];
  readonly settings: Settings;
}

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

/** The state of update steps that parameters share: step count, settings, and the runtime scalars derived from them. */
export interface StepState<Settings> {
  /** Updates made so far. */
  step: number;
  readonly settings: Settings;
  /** Read by the update's Program; `updateScalars` sets their values. */
  readonly scalars: Readonly<Record<string, RuntimeScalar>>;
}

interface ParameterState<Settings> {
  readonly stepState: StepState<Settings>;
  /** Moments or other state, each of the parameter's shape. */
  readonly moments: readonly Tensor[];
}

/** The lazily computed new values of one parameter and its moments. */
export interface Update {
  readonly value: Tensor;
  readonly moments: readonly Tensor[];
}

/**
 * The base class of optimizers: parameter groups, update steps, and state that can be saved. Subclasses define the moments of a
 * parameter and its update rule. Changing the learning rate or the step number compiles nothing. Parameters and moments are kept in
 * float32, also on devices that store half floats.
 *
 * @example
 * const weight = tensor([1, 2], { requiresGrad: true });
 * const optimizer: Optimizer<SgdSettings> = new SGD([weight], { lr: 0.5 });
 * sum(weight).backward();
 * optimizer.step();
 * weight; // [0.5, 1.5]
 * optimizer.lr; // 0.5
 *
 * @throws DeviceError on a device that can only store half floats.
 */
export abstract class Optimizer<Settings extends { lr: number; readonly weightDecay?: number }>
  implements SnapshotParticipant
{
  readonly groups: readonly ParameterGroup<Settings>[];
  readonly #state = new Map<Tensor, ParameterState<Settings>>();
  /** Parameters that other optimizers have, too. */
  readonly #shared = new Set<Tensor>();

  constructor(
    parameters: readonly Tensor[] | readonly ParameterGroup<Partial<Settings>>[],
    defaults: Settings,
    kinds?: Kinds<Settings>,
  ) {
    const op = this.constructor.name;
    const groups = isGroups(parameters) ? parameters : [{ parameters, settings: {} }];
    this.groups = groups.map(({ parameters: list, settings = {} }) => {
      check(op, "the list of parameters", list, tensors);
      if (kinds !== undefined) checkOptions(op, settings as Settings, kinds);
      return { parameters: list, settings: { ...defaults, ...given(settings) } };
    });
    const all = this.groups.flatMap((group) => group.parameters);
    if (all.length === 0) throw new ArgumentError("there are no parameters", { op: this.constructor.name });
    if (new Set(all).size !== all.length) {
      throw new ArgumentError("a parameter appears twice", { op: this.constructor.name });
    }
    for (const { settings } of this.groups) this.check(settings);
    for (const parameter of all) this.#share(parameter);
    // Half floats would lose small updates.
    for (const { device, storage } of all)
      if (storage?.disposed === false) device.keepInFull?.(storage.buffer);
    for (const { recovery } of new Set(all.map(({ device }) => device))) {
      if (recovery !== undefined) registerWeakly(recovery, this);
    }
  }

  /** Names of the moments, as they appear in the state dict. */
  protected abstract readonly momentNames: readonly string[];

  /** @throws ArgumentError for settings outside their domain. */
  protected check({ lr, weightDecay = 0 }: Settings): void {
    if (!(lr >= 0))
      throw new ArgumentError(`the learning rate is at least 0, got ${lr}`, { op: this.constructor.name });
    if (!(weightDecay >= 0)) {
      throw new ArgumentError(`the weight decay is at least 0, got ${weightDecay}`, {
        op: this.constructor.name,
      });
    }
  }

  /** The runtime scalars that `update` reads. */
  protected abstract createScalars(settings: Settings): Record<string, RuntimeScalar>;

  /** Computes the scalars from `settings` and `step`, which counts from 1. */
  protected abstract updateScalars(stepState: StepState<Settings>): void;

  /** One parameter's new value and moments, which are zeros if `isFirst`. */
  protected abstract update(
    parameter: Tensor,
    gradient: Tensor,
    moments: readonly Tensor[],
    stepState: StepState<Settings>,
    isFirst: boolean,
  ): Update;

  /** A line for each group: how many parameters, and its settings. */
  toString(): string {
    const { name } = this.constructor;
    return this.groups
      .map(({ parameters, settings }) => {
        const values = parameters.reduce((sum, { size }) => sum + size, 0);
        return `${name}: ${withCommas(values)} values in ${parameters.length} parameters, ${formatFields(settings)}`;
      })
      .join("\n");
  }

  static {
    inspectable(Optimizer.prototype);
  }

  /** The learning rate of the first group; setting it sets all groups'. */
  get lr(): number {
    const { lr } = this.groups[0].settings;
    onlyWhile(() => this.groups[0].settings.lr === lr);
    return lr;
  }

  set lr(value: number) {
    for (const { settings } of this.groups) this.check({ ...settings, lr: value });
    const rates = this.groups.map(({ settings }) => settings.lr);
    const set = () => {
      for (const { settings } of this.groups) settings.lr = value;
    };
    set();
    onReplay(set);
    onUndo(() => {
      this.groups.forEach(({ settings }, g) => {
        settings.lr = rates[g];
      });
    });
  }

  /** Discards all gradients. `step` does so, too. */
  zeroGrad(): void {
    for (const parameter of this.#all()) {
      parameter.grad = undefined;
      used.delete(parameter);
    }
  }

  /**
   * Updates every parameter that has a gradient, in place, and consumes the gradients. The losses on which backward() was called, all
   * pending gradients and the updates are computed as one Program. A parameter of several optimizers is updated by each of them, as
   * in PyTorch. A step that fails changes nothing.
   *
   * @throws ArgumentError for settings outside their domain; StaleTensorError if a parameter was disposed or moved to
   * another device, or a gradient cannot be computed; OutOfMemoryError.
   */
  step(): void {
    const name = `${this.constructor.name}.step`;
    for (const { settings } of this.groups) this.check(settings);
    this.#requireRegistered(name);
    const stepStates = new Set<StepState<Settings>>();
    const devices = new Set<Device>();
    const consumed = new Map<Tensor, Tensor>();
    const replaced = new Map<Tensor, ParameterState<Settings> | undefined>();
    const pending = new Map<Tensor, Tensor | undefined>();
    const write = (target: Tensor, value: Tensor) => {
      if (!pending.has(target)) pending.set(target, target.pending);
      assign(target, value);
    };
    const update = () => {
      for (const group of this.groups) {
        let fresh: StepState<Settings> | undefined;
        for (const parameter of group.parameters) {
          if (parameter.storage?.disposed) throw gone(parameter, name);
          const gradient = parameter.grad ?? this.#gradientOfOthers(parameter);
          if (gradient === undefined) continue;
          let state = this.#state.get(parameter);
          if (state?.moments.length !== this.momentNames.length) {
            replaced.set(parameter, state);
            if (state === undefined) fresh ??= this.#createStepState(group.settings, 0);
            state = this.#createState(parameter, state?.stepState ?? fresh!);
          }
          const { stepState, moments } = state;
          if (!stepStates.has(stepState)) {
            stepStates.add(stepState);
            stepState.step++;
            this.updateScalars(stepState);
          }
          const next = this.update(parameter, gradient, moments, stepState, replaced.has(parameter));
          write(parameter, next.value);
          next.moments.forEach((value, i) => {
            write(moments[i], value);
          });
          consumed.set(parameter, gradient);
          devices.add(parameter.device);
        }
      }
      // Those of other optimizers are computed with the step.
      for (const parameter of consumed.keys()) if (!this.#shared.has(parameter)) parameter.grad = undefined;
    };
    const undo = () => {
      revertSteps(stepStates)();
      for (const [target, before] of pending) unassign(target, before);
      for (const [parameter, gradient] of consumed) {
        if (gradient !== used.get(parameter)?.gradient) parameter.grad = gradient;
      }
    };
    const fail = () => {
      for (const device of devices) sessionOf(device).ifFails.length = 0;
      undo();
      for (const [parameter, state] of replaced) {
        for (const { storage } of this.#state.get(parameter)?.moments ?? []) storage?.dispose();
        if (state === undefined) this.#state.delete(parameter);
        else this.#state.set(parameter, state);
      }
    };
    try {
      noGrad(() => (currentScope() === undefined ? update() : inScope(this.constructor.name, update)));
    } catch (error) {
      fail();
      throw error;
    }
    noteFailure(stepStates, devices);
    commit(devices, name, fail);
    for (const [parameter, gradient] of consumed)
      if (this.#shared.has(parameter)) this.#leave(parameter, gradient);
      else releaseGradient(gradient);
    onReplay(this.#replay(stepStates, devices), revertSteps(stepStates));
    onUndo(undo);
    if (recorder !== undefined) onlyWhile(this.#unchanged());
  }

  /** A separate closure: a recording keeps it alive, and must not keep the gradients and their graph alive. */
  #replay(stepStates: ReadonlySet<StepState<Settings>>, devices: ReadonlySet<Device>): () => void {
    return () => {
      for (const stepState of stepStates) {
        this.check(stepState.settings);
        stepState.step++;
        this.updateScalars(stepState);
      }
      noteFailure(stepStates, devices);
    };
  }

  #requireRegistered(op: string): void {
    for (const { parameters } of this.groups) {
      if (parameters.length === 0) continue;
      const { differentiated } = sessionOf(parameters[0].device);
      const isOwn = (tensor: Tensor) => this.#all().includes(tensor);
      requireRegistered(differentiated, op, (tensor) => owners.has(tensor), isOwn);
    }
  }

  /** The gradient that another optimizer of the parameter has consumed, and this one not yet. */
  #gradientOfOthers(parameter: Tensor): Tensor | undefined {
    const left = used.get(parameter);
    if (left === undefined || left.by.has(this)) return undefined;
    return left.capture === sessionOf(parameter.device).capture ? left.gradient : undefined;
  }

  /** Leaves the gradient to the other optimizers of the parameter. */
  #leave(parameter: Tensor, gradient: Tensor): void {
    const { capture } = sessionOf(parameter.device);
    const before = used.get(parameter);
    const by = before?.gradient === gradient ? before.by : new Set<object>();
    used.set(parameter, { gradient, by: by.add(this), capture });
    parameter.grad = undefined;
  }

  /** Lets this optimizer and those that were made before for a parameter know of each other. */
  #share(parameter: Tensor): void {
    const others = (owners.get(parameter) ?? []).flatMap((reference) => reference.deref() ?? []);
    for (const other of others) other.#shared.add(parameter);
    if (others.length > 0) this.#shared.add(parameter);
    owners.set(
      parameter,
      [...others, this].map((optimizer) => new WeakRef<AnyOptimizer>(optimizer)),
    );
  }

  /** Whether another step would build the same graph: the same groups, settings except the learning rate, and step states. */
  #unchanged(): () => boolean {
    const { groups } = this;
    const seen = groups.map(({ parameters, settings }) => ({
      parameters: [...parameters],
      settings: Object.entries(settings).filter(([name]) => name !== "lr"),
    }));
    const stepStates = [...this.#state].map(([parameter, { stepState }]) => [parameter, stepState] as const);
    return () =>
      groups.length === seen.length &&
      seen.every(({ parameters, settings }, g) => {
        const now = groups[g];
        return (
          parameters.length === now.parameters.length &&
          parameters.every((parameter, i) => parameter === now.parameters[i]) &&
          settings.every(([name, value]) => isSame(value, now.settings[name as keyof Settings]))
        );
      }) &&
      stepStates.every(([parameter, stepState]) => this.#state.get(parameter)?.stepState === stepState);
  }

  /** Everything needed to resume exactly: `exp_avg.3` is a moment of parameter 3, counted through all groups. */
  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>();
    const steps: number[] = [];
    this.#all().forEach((parameter, i) => {
      const state = this.#state.get(parameter);
      steps.push(state?.stepState.step ?? 0);
      state?.moments.forEach((moment, m) => {
        tensors.set(`${this.momentNames[m]}.${i}`, moment);
      });
    });
    return { tensors, numbers: { lr: this.groups.map(({ settings }) => settings.lr), steps } };
  }

  /**
   * Restores what `stateDict` returned, from tensors or host data of the same sizes. Existing moments and step counts
   * are changed in place, so that jit functions that captured `step()` continue from the restored state.
   *
   * @throws ArgumentError if it belongs to other parameters; nothing is changed then.
   */
  async loadStateDict(state: {
    readonly tensors: ReadonlyMap<string, Tensor | { readonly data: TypedArray }>;
    readonly numbers: OptimizerState["numbers"];
  }): Promise<void> {
    const all = this.#all();
    const { lr, steps } = state.numbers;
    this.#requireFit(lr, steps);
    const moments = await Promise.all(all.map((_, i) => this.#readMoments(state.tensors, i, steps[i])));
    let i = 0;
    this.groups.forEach((group, g) => {
      group.settings.lr = lr[g];
      const restored = new Set<StepState<Settings>>();
      for (const parameter of group.parameters) {
        const step = steps[i];
        const values = moments[i++];
        const existing = this.#state.get(parameter);
        if (existing === undefined && step === 0) continue;
        const stepState = this.#restoreStepState(restored, existing?.stepState, step, group.settings);
        const own = existing?.moments.length === this.momentNames.length ? existing.moments : undefined;
        if (own !== undefined) this.#state.set(parameter, { stepState, moments: own });
        (own ?? this.#createState(parameter, stepState).moments).forEach((moment, m) => {
          overwrite(moment, values[m]);
        });
      }
    });
  }

  /** Saves learning rates and step counts with a device's snapshot, which restores the moments itself. */
  save(): () => void {
    const rates = this.groups.map(({ settings }) => settings.lr);
    const saved = new Map(
      [...this.#state].map(([parameter, state]) => [parameter, { state, step: state.stepState.step }]),
    );
    return () => {
      this.groups.forEach(({ settings }, g) => {
        settings.lr = rates[g];
      });
      this.zeroGrad();
      // Moments created after the snapshot are lost; the next step creates new ones.
      this.#state.clear();
      for (const [parameter, { state, step }] of saved) {
        state.stepState.step = step;
        this.#state.set(parameter, state);
      }
    };
  }

  #requireFit(lr: readonly number[], steps: readonly number[]): void {
    const op = `${this.constructor.name}.loadStateDict`;
    const count = this.#all().length;
    if (lr.length !== this.groups.length || steps.length !== count) {
      throw new ArgumentError(
        `it has ${steps.length} parameters in ${lr.length} groups, the optimizer ${count} in ${this.groups.length}`,
        { op },
      );
    }
    if (!steps.every((step) => Number.isSafeInteger(step) && step >= 0) || !lr.every((rate) => rate >= 0)) {
      throw new ArgumentError("steps are non-negative integers, learning rates non-negative", { op });
    }
  }

  /** The moments of parameter `i`; zeros if it has made no step. */
  async #readMoments(
    tensors: ReadonlyMap<string, Tensor | { readonly data: TypedArray }>,
    i: number,
    step: number,
  ): Promise<TypedArray[]> {
    const { size } = this.#all()[i];
    return Promise.all(
      this.momentNames.map(async (name) => {
        if (step === 0) return new Float32Array(size);
        const moment = tensors.get(`${name}.${i}`);
        const data = moment instanceof Tensor ? await readExact(moment) : moment?.data;
        if (data?.length !== size) {
          throw new ArgumentError(`${name}.${i} is missing or has another size`, {
            op: `${this.constructor.name}.loadStateDict`,
          });
        }
        return data;
      }),
    );
  }

  /** A parameter keeps its step state, unless other parameters share it and have another step count. */
  #restoreStepState(
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
      [...restored].find((other) => other.step === step) ?? this.#createStepState(settings, step);
    restored.add(stepState);
    return stepState;
  }

  #all(): Tensor[] {
    return this.groups.flatMap(({ parameters }) => parameters);
  }

  #createStepState(settings: Settings, step: number): StepState<Settings> {
    return { step, settings, scalars: this.createScalars(settings) };
  }

  #createState(parameter: Tensor, stepState: StepState<Settings>): ParameterState<Settings> {
    // Leaves already in the first step's Program, so that the second step reuses it.
    const moments = unobserved(() => {
      const zeros = this.momentNames.map(() => zerosLike(parameter));
      realize(zeros);
      return zeros;
    });
    for (const { device, storage } of moments) device.keepInFull?.(storage!.buffer);
    const state = { stepState, moments };
    this.#state.set(parameter, state);
    return state;
  }
}

type AnyOptimizer = Optimizer<{ lr: number }>;

/** The optimizers of each parameter. */
const owners = new WeakMap<Tensor, readonly WeakRef<AnyOptimizer>[]>();

/** For a parameter of several optimizers: the gradient that some have consumed and the others still need. */
const used = new WeakMap<Tensor, { gradient: Tensor; by: Set<object>; capture: object | undefined }>();

function gone({ shape }: Tensor, op: string): StaleTensorError {
  return new StaleTensorError(`a parameter of shape ${formatShape(shape)} was disposed`, {
    op,
    hint: "after model.to(device) make a new optimizer",
  });
}

/** Reverts the step count if the step's Program fails, on devices that report failures at once. */
function noteFailure(stepStates: ReadonlySet<{ step: number }>, devices: ReadonlySet<Device>): void {
  let isCounted = true;
  for (const device of devices) {
    sessionOf(device).ifFails.push(() => {
      if (isCounted) for (const stepState of stepStates) stepState.step--;
      isCounted = false;
    });
  }
}

function revertSteps(stepStates: ReadonlySet<{ step: number }>): () => void {
  return () => {
    for (const stepState of stepStates) stepState.step--;
  };
}

/** Of settings: numbers, or lists of numbers as Adam's betas. */
function isSame(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b)) return a === b;
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** Without those that are undefined: they stand for the defaults. */
export function given<T extends object>(settings: T): T {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as T;
}

function isGroups<Settings>(
  list: readonly Tensor[] | readonly ParameterGroup<Settings>[],
): list is readonly ParameterGroup<Settings>[] {
  return Array.isArray(list) && isPlain(list[0]) && "parameters" in list[0];
}
