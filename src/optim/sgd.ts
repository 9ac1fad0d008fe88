/** Stochastic gradient descent with momentum. */

import { aBoolean, aNumber, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { RuntimeScalar } from "../graph/op.js";
import type { Tensor } from "../graph/tensor.js";
import { scalar } from "../ops/creation.js";
import { add, mul, sub } from "../ops/elementwise.js";
import { Optimizer, type Update } from "./optimizer.js";
import { type GroupsOrList, withoutUndefined } from "./parameter_groups.js";
import type { StepState } from "./step_state.js";

/** Settings of `SGD`. */
export interface SgdSettings {
  /** Learning rate. Default 1e-3. */
  lr: number;
  /** Decay factor of the momentum buffer; 0 uses none. Default 0. */
  readonly momentum: number;
  /** The momentum buffer adds (1 − dampening) · gradient. Default 0. */
  readonly dampening: number;
  /** Nesterov momentum (Sutskever et al. 2013). Default false. */
  readonly nesterov: boolean;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay: number;
}

const kinds: Kinds<SgdSettings> = {
  lr: aNumber,
  momentum: aNumber,
  dampening: aNumber,
  nesterov: aBoolean,
  weightDecay: aNumber,
};

const defaults: SgdSettings = { lr: 1e-3, momentum: 0, dampening: 0, nesterov: false, weightDecay: 0 };

/**
 * Stochastic gradient descent with momentum (Sutskever et al. 2013), as torch.optim.SGD. `parameters` are tensors, or groups with
 * their own settings.
 *
 * @example
 * const x = tensor([1], { requiresGrad: true });
 * const optimizer = new SGD([x], { lr: 0.1, momentum: 0.9 });
 * square(x).backward();
 * optimizer.step();
 * x; // [0.8]
 *
 * @throws ArgumentError for settings outside their domain, no parameters, or one that appears twice.
 */
export class SGD extends Optimizer<SgdSettings> {
  constructor(parameters: GroupsOrList<SgdSettings>, settings: Partial<SgdSettings> = {}) {
    super(
      parameters,
      { ...defaults, ...withoutUndefined(checkOptions("SGD", settings as SgdSettings, kinds)) },
      kinds,
    );
  }

  /** Once there was a momentum, its buffers stay. */
  protected get momentNames(): readonly string[] {
    this.#hasMomentum ||= this.groups.some((group) => group.settings.momentum !== 0);
    return this.#hasMomentum ? ["momentum_buffer"] : [];
  }

  #hasMomentum = false;

  protected override check(settings: SgdSettings): void {
    super.check(settings);
    if (!(settings.momentum >= 0)) {
      throw new ArgumentError(`the momentum is at least 0, got ${settings.momentum}`, { op: "SGD" });
    }
    if (settings.nesterov && (settings.momentum <= 0 || settings.dampening !== 0)) {
      throw new ArgumentError("nesterov needs a momentum above 0 and no dampening", { op: "SGD" });
    }
  }

  protected createScalars({ lr }: SgdSettings): Record<string, RuntimeScalar> {
    return { lr: new RuntimeScalar(lr), gradientFactor: new RuntimeScalar(1) };
  }

  protected updateScalars({ step, settings, scalars }: StepState<SgdSettings>): void {
    scalars.lr.value = settings.lr;
    // The first momentum buffer is the gradient itself, without dampening.
    scalars.gradientFactor.value = step === 1 ? 1 : 1 - settings.dampening;
  }

  protected update(
    parameter: Tensor,
    gradient: Tensor,
    moments: readonly Tensor[],
    stepState: StepState<SgdSettings>,
    isFirst: boolean,
  ): Update {
    const { momentum, nesterov, weightDecay } = stepState.settings;
    const { device } = parameter;
    let direction = weightDecay === 0 ? gradient : add(gradient, mul(parameter, weightDecay));
    const next: Tensor[] = [];
    if (momentum !== 0) {
      // A momentum set after the first step starts without dampening, too. In the first step the factor is a runtime scalar of 1.
      const isLate = isFirst && stepState.step > 1;
      const added = isLate ? direction : mul(direction, scalar(stepState.scalars.gradientFactor, device));
      const running = add(mul(moments[0], momentum), added);
      next.push(running);
      direction = nesterov ? add(direction, mul(running, momentum)) : running;
    }
    return { value: sub(parameter, mul(direction, scalar(stepState.scalars.lr, device))), moments: next };
  }
}
