/** What optimizers share: parameter groups, step counts, state that can be saved, and when updates happen. */
import { onReplay, onUndo } from "../compiler/jit.js";
import { assign, flush, overwrite, readExact, realize } from "../compiler/realize.js";
import type { Device } from "../device/device.js";
import { type Follower, followWeakly } from "../device/recovery.js";
import { zerosLike } from "../ops/creation.js";
import type { TypedArray } from "../tensor/dtype.js";
import { ArgumentError } from "../tensor/errors.js";
import type { RuntimeScalar } from "../tensor/op.js";
import { currentScope, inScope, noGrad, Tensor } from "../tensor/tensor.js";

/** Parameters with their own settings. */
export interface ParameterGroup<Settings> {
  readonly parameters: readonly Tensor[];
  readonly settings: Settings;
}

/** What `stateDict` returns: tensors by name, and numbers that JSON keeps exactly. */
export interface OptimizerState {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly numbers: {
    /** Learning rate of each group. */
    readonly lr: readonly number[];
    /** Steps each parameter has made, in the order of the groups. */
    readonly steps: readonly number[];
  };
}

/** The learning rate and everything else that changes with the step but not with the parameter. */
export interface Clock<Settings> {
  /** Updates made so far. */
  step: number;
  readonly settings: Settings;
  /** Read by the update's Program; `tick` sets their values. */
  readonly scalars: Readonly<Record<string, RuntimeScalar>>;
}

interface ParameterState<Settings> {
  readonly clock: Clock<Settings>;
  /** Moments and the like, each of the parameter's shape. */
  readonly moments: readonly Tensor[];
}

/** The lazily computed new values of one parameter and its moments. */
export interface Update {
  readonly value: Tensor;
  readonly moments: readonly Tensor[];
}

/**
 * Subclasses say how many moments a parameter has, how one update is computed and how their runtime scalars follow
 * the step number. Changing the learning rate or the step number recompiles nothing. Parameters and moments are kept in
 * float32 on devices that store half floats, too.
 *
 * @throws DeviceError where a device holds nothing but half floats.
 */
export abstract class Optimizer<Settings extends { lr: number; readonly weightDecay?: number }>
  implements Follower
{
  readonly groups: readonly ParameterGroup<Settings>[];
  readonly #state = new Map<Tensor, ParameterState<Settings>>();

  constructor(
    parameters: readonly Tensor[] | readonly ParameterGroup<Partial<Settings>>[],
    defaults: Settings,
  ) {
    const groups = isGroups(parameters) ? parameters : [{ parameters, settings: {} }];
    this.groups = groups.map(({ parameters: list, settings }) => ({
      parameters: list,
      settings: { ...defaults, ...settings },
    }));
    const all = this.groups.flatMap((group) => group.parameters);
    if (all.length === 0) throw new ArgumentError("there are no parameters", { op: this.constructor.name });
    if (new Set(all).size !== all.length) {
      throw new ArgumentError("a parameter appears twice", { op: this.constructor.name });
    }
    for (const { settings } of this.groups) this.check(settings);
    // Small changes must not round away.
    for (const { device, storage } of all)
      if (storage?.disposed === false) device.keepInFull?.(storage.buffer);
    for (const { recovery } of new Set(all.map(({ device }) => device))) {
      if (recovery !== undefined) followWeakly(recovery, this);
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

  /** Sets the scalars for `clock.step`, which counts from 1. */
  protected abstract tick(clock: Clock<Settings>): void;

  /** One parameter's new value and moments. */
  protected abstract update(
    parameter: Tensor,
    gradient: Tensor,
    moments: readonly Tensor[],
    clock: Clock<Settings>,
  ): Update;

  /** The learning rate of the first group; setting it sets all groups'. */
  get lr(): number {
    return this.groups[0].settings.lr;
  }

  set lr(value: number) {
    for (const { settings } of this.groups) settings.lr = value;
  }

  /** Forgets all gradients. `step` does that too. */
  zeroGrad(): void {
    for (const { parameters } of this.groups) for (const parameter of parameters) parameter.grad = undefined;
  }

  /**
   * Updates every parameter that has a gradient, in place, and uses the gradients up. Computes the losses on which
   * backward() was called, the gradients and the updates as one Program.
   */
  step(): void {
    const clocks = new Set<Clock<Settings>>();
    const devices = new Set<Device>();
    const used = new Map<Tensor, Tensor>();
    const update = () => {
      for (const group of this.groups) {
        let fresh: Clock<Settings> | undefined;
        for (const parameter of group.parameters) {
          const gradient = parameter.grad;
          if (gradient === undefined) continue;
          let state = this.#state.get(parameter);
          if (state === undefined) {
            fresh ??= this.#createClock(group.settings, 0);
            state = this.#createState(parameter, fresh);
          }
          const { clock, moments } = state;
          if (!clocks.has(clock)) {
            clocks.add(clock);
            clock.step++;
            this.tick(clock);
          }
          const next = this.update(parameter, gradient, moments, clock);
          assign(parameter, next.value);
          next.moments.forEach((value, i) => {
            assign(moments[i], value);
          });
          parameter.grad = undefined;
          used.set(parameter, gradient);
          devices.add(parameter.device);
        }
      }
    };
    noGrad(() => (currentScope() === undefined ? update() : inScope(this.constructor.name, update)));
    onReplay(() => {
      for (const clock of clocks) {
        clock.step++;
        this.tick(clock);
      }
    });
    onUndo(() => {
      for (const clock of clocks) clock.step--;
      for (const [parameter, gradient] of used) parameter.grad = gradient;
    });
    for (const device of devices) flush(device);
  }

  /** Everything needed to go on exactly: `exp_avg.3` is a moment of parameter 3, counted through all groups. */
  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>();
    const steps: number[] = [];
    this.#all().forEach((parameter, i) => {
      const state = this.#state.get(parameter);
      steps.push(state?.clock.step ?? 0);
      state?.moments.forEach((moment, m) => {
        tensors.set(`${this.momentNames[m]}.${i}`, moment);
      });
    });
    return { tensors, numbers: { lr: this.groups.map(({ settings }) => settings.lr), steps } };
  }

  /**
   * Restores what `stateDict` returned, from tensors or host data of the same sizes. Existing moments and step counts
   * are changed in place, so that jit functions which captured `step()` go on from the restored state.
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
      const restoredClocks = new Set<Clock<Settings>>();
      for (const parameter of group.parameters) {
        const step = steps[i];
        const values = moments[i++];
        const existing = this.#state.get(parameter);
        if (existing === undefined && step === 0) continue;
        const clock = this.#restoreClock(restoredClocks, existing?.clock, step, group.settings);
        if (existing !== undefined) this.#state.set(parameter, { clock, moments: existing.moments });
        const restored = existing ?? this.#createState(parameter, clock);
        restored.moments.forEach((moment, m) => {
          overwrite(moment, values[m]);
        });
      }
    });
  }

  /** Learning rates and step counts, for a device that comes back; it restores the moments itself. */
  remember(): () => void {
    const rates = this.groups.map(({ settings }) => settings.lr);
    const saved = new Map(
      [...this.#state].map(([parameter, state]) => [parameter, { state, step: state.clock.step }]),
    );
    return () => {
      this.groups.forEach(({ settings }, g) => {
        settings.lr = rates[g];
      });
      this.zeroGrad();
      // Moments that were made since are gone; the next step makes new ones.
      this.#state.clear();
      for (const [parameter, { state, step }] of saved) {
        state.clock.step = step;
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

  /** A parameter keeps its clock, unless that counts for others which stand at another step. */
  #restoreClock(
    restored: Set<Clock<Settings>>,
    own: Clock<Settings> | undefined,
    step: number,
    settings: Settings,
  ): Clock<Settings> {
    if (own !== undefined && !restored.has(own)) {
      own.step = step;
      restored.add(own);
    }
    if (own?.step === step) return own;
    const clock = [...restored].find((other) => other.step === step) ?? this.#createClock(settings, step);
    restored.add(clock);
    return clock;
  }

  #all(): Tensor[] {
    return this.groups.flatMap(({ parameters }) => parameters);
  }

  #createClock(settings: Settings, step: number): Clock<Settings> {
    return { step, settings, scalars: this.createScalars(settings) };
  }

  #createState(parameter: Tensor, clock: Clock<Settings>): ParameterState<Settings> {
    const moments = this.momentNames.map(() => zerosLike(parameter));
    // Leaves of the very first Program already, so that the second step finds it compiled.
    realize(moments);
    for (const { device, storage } of moments) device.keepInFull?.(storage!.buffer);
    const state = { clock, moments };
    this.#state.set(parameter, state);
    return state;
  }
}

function isGroups<Settings>(
  list: readonly Tensor[] | readonly ParameterGroup<Settings>[],
): list is readonly ParameterGroup<Settings>[] {
  return list.length > 0 && "parameters" in list[0];
}
