/** What optimizers share: parameter groups, step counts, state that can be saved, and when updates happen. */
import { onReplay } from "../compiler/jit.js";
import { assign, flush, overwrite, readExact, realize } from "../compiler/realize.js";
import { zerosLike } from "../ops/creation.js";
import type { TypedArray } from "../tensor/dtype.js";
import { ArgumentError } from "../tensor/errors.js";
import type { RuntimeScalar } from "../tensor/op.js";
import { noGrad, Tensor } from "../tensor/tensor.js";

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
 * the step number. Changing the learning rate or the step number recompiles nothing.
 */
export abstract class Optimizer<Settings extends { lr: number }> {
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
  }

  /** Names of the moments, as they appear in the state dict. */
  protected abstract readonly momentNames: readonly string[];

  /** @throws ArgumentError for settings outside their domain. */
  protected check({ lr }: Settings): void {
    if (!(lr >= 0))
      throw new ArgumentError(`the learning rate is at least 0, got ${lr}`, { op: this.constructor.name });
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
    const device = this.groups[0].parameters[0].device;
    noGrad(() => {
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
        }
      }
    });
    onReplay(() => {
      for (const clock of clocks) {
        clock.step++;
        this.tick(clock);
      }
    });
    flush(device);
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
   * Restores what `stateDict` returned, from tensors or host data of the same shapes.
   * @throws ArgumentError if it belongs to other parameters; nothing is changed then.
   */
  async loadStateDict(state: {
    readonly tensors: ReadonlyMap<string, Tensor | { readonly data: TypedArray }>;
    readonly numbers: OptimizerState["numbers"];
  }): Promise<void> {
    const all = this.#all();
    const { lr, steps } = state.numbers;
    const op = `${this.constructor.name}.loadStateDict`;
    if (lr.length !== this.groups.length || steps.length !== all.length) {
      throw new ArgumentError(
        `it has ${steps.length} parameters in ${lr.length} groups, the optimizer ${all.length} in ${this.groups.length}`,
        { op },
      );
    }
    const values: (TypedArray[] | undefined)[] = [];
    for (const [i, parameter] of all.entries()) {
      if (steps[i] === 0) {
        values.push(undefined);
        continue;
      }
      const moments: TypedArray[] = [];
      for (const name of this.momentNames) {
        const moment = state.tensors.get(`${name}.${i}`);
        const data = moment instanceof Tensor ? await readExact(moment) : moment?.data;
        if (data?.length !== parameter.size)
          throw new ArgumentError(`${name}.${i} is missing or has another size`, { op });
        moments.push(data);
      }
      values.push(moments);
    }
    this.#state.clear();
    let i = 0;
    this.groups.forEach((group, g) => {
      group.settings.lr = lr[g];
      const clocks = new Map<number, Clock<Settings>>();
      for (const parameter of group.parameters) {
        const moments = values[i];
        const step = steps[i++];
        if (moments === undefined) continue;
        const clock = clocks.get(step) ?? this.#createClock(group.settings, step);
        clocks.set(step, clock);
        const created = this.#createState(parameter, clock);
        created.moments.forEach((moment, m) => {
          overwrite(moment, moments[m]);
        });
      }
    });
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
