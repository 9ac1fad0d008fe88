/** The base class of optimizers: when and how parameters are updated. Subclasses define the update rule. */

import { requireRegistered } from "../autograd/unregistered.js";
import type { Kinds } from "../core/check.js";
import { ArgumentError, StaleTensorError } from "../core/errors.js";
import { inspectable } from "../core/inspect.js";
import { formatShape } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { registerWeakly, type SnapshotParticipant } from "../device/recovery.js";
import { recorder } from "../graph/observe.js";
import type { RuntimeScalar } from "../graph/op.js";
import { inComposite } from "../graph/scope.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { assign } from "../runtime/assign.js";
import { onlyWhile, onReplay, onUndo, releaseGradient } from "../runtime/capture.js";
import { commitAll, unassign } from "../runtime/commit.js";
import { sessionOf } from "../runtime/session.js";
import {
  formatGroups,
  type GroupsOrList,
  groupsOf,
  groupsUnchanged,
  type ParameterGroup,
  parametersOf,
} from "./parameter_groups.js";
import { forgetLeftGradient, isOptimized, leftGradient, SharedGradients } from "./shared_gradients.js";
import {
  createState,
  createStepState,
  type LoadableState,
  loadState,
  type OptimizerState,
  type ParameterState,
  type StateOwner,
  saveState,
  snapshotState,
} from "./state.js";
import { noteFailure, revertSteps, type StepState } from "./step_state.js";

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
  readonly #states = new Map<Tensor, ParameterState<Settings>>();
  readonly #shared: SharedGradients;

  constructor(parameters: GroupsOrList<Settings>, defaults: Settings, kinds?: Kinds<Settings>) {
    this.groups = groupsOf(this.constructor.name, parameters, defaults, kinds);
    for (const { settings } of this.groups) this.check(settings);
    const all = this.#all();
    this.#shared = new SharedGradients(all);
    // Half floats would lose small updates.
    for (const { device, storage } of all)
      if (storage?.disposed === false) device.useFloat32Storage?.(storage.buffer);
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
    return formatGroups(this.constructor.name, this.groups);
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
      forgetLeftGradient(parameter);
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
    const owner = this.#owner;
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
      // The order of backward: a gradient is used up before the one of the layer below is computed.
      for (const group of this.groups.toReversed()) {
        let fresh: StepState<Settings> | undefined;
        for (const parameter of group.parameters.toReversed()) {
          if (parameter.storage?.disposed) throw gone(parameter, name);
          const gradient = parameter.grad ?? this.#shared.ofOthers(parameter);
          if (gradient === undefined) continue;
          let state = this.#states.get(parameter);
          if (state?.moments.length !== this.momentNames.length) {
            replaced.set(parameter, state);
            if (state === undefined) fresh ??= createStepState(owner, group.settings, 0);
            state = createState(owner, parameter, state?.stepState ?? fresh!);
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
      // Gradients of other optimizers' parameters are computed in the same commit.
      for (const parameter of consumed.keys()) if (!this.#shared.has(parameter)) parameter.grad = undefined;
    };
    const undo = () => {
      revertSteps(stepStates)();
      for (const [target, before] of pending) unassign(target, before);
      for (const [parameter, gradient] of consumed) {
        if (gradient !== leftGradient(parameter)) parameter.grad = gradient;
      }
    };
    const fail = () => {
      for (const device of devices) sessionOf(device).ifFails.length = 0;
      undo();
      for (const [parameter, state] of replaced) {
        for (const { storage } of this.#states.get(parameter)?.moments ?? []) storage?.dispose();
        if (state === undefined) this.#states.delete(parameter);
        else this.#states.set(parameter, state);
      }
    };
    try {
      noGrad(() => inComposite(this.constructor.name, update, this.constructor.name));
    } catch (error) {
      fail();
      throw error;
    }
    noteFailure(stepStates, devices);
    commitAll(devices, name, fail);
    for (const [parameter, gradient] of consumed)
      if (this.#shared.has(parameter)) this.#shared.leave(parameter, gradient);
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
      requireRegistered(differentiated, op, isOptimized, isOwn);
    }
  }

  /** Whether another step would build the same graph: the same groups, settings except the learning rate, and step states. */
  #unchanged(): () => boolean {
    const groupsAreSame = groupsUnchanged(this.groups);
    const stepStates = [...this.#states].map(([parameter, { stepState }]) => [parameter, stepState] as const);
    return () =>
      groupsAreSame() &&
      stepStates.every(([parameter, stepState]) => this.#states.get(parameter)?.stepState === stepState);
  }

  /** Everything needed to resume exactly: `exp_avg.3` is a moment of parameter 3, counted through all groups. */
  stateDict(): OptimizerState {
    return saveState(this.#owner);
  }

  /**
   * Restores what `stateDict` returned, from tensors or host data of the same sizes. Existing moments and step counts
   * are changed in place, so that jit functions that captured `step()` continue from the restored state.
   *
   * @throws ArgumentError if it belongs to other parameters; nothing is changed then.
   */
  loadStateDict(state: LoadableState): Promise<void> {
    return loadState(this.#owner, state, `${this.constructor.name}.loadStateDict`);
  }

  /** Saves learning rates and step counts with a device's snapshot, which restores the moments itself. */
  save(): () => void {
    const restore = snapshotState(this.#owner);
    return () => {
      restore();
      this.zeroGrad();
    };
  }

  #all(): Tensor[] {
    return parametersOf(this.groups);
  }

  get #owner(): StateOwner<Settings> {
    return {
      groups: this.groups,
      states: this.#states,
      momentNames: this.momentNames,
      createScalars: (settings) => this.createScalars(settings),
    };
  }
}

function gone({ shape }: Tensor, op: string): StaleTensorError {
  return new StaleTensorError(`a parameter of shape ${formatShape(shape)} was disposed`, {
    op,
    hint: "after model.to(device) make a new optimizer",
  });
}
