/** Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019): one rule, two ways of weight decay. */

import { aNumber, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { RuntimeScalar } from "../graph/op.js";
import type { Tensor } from "../graph/tensor.js";
import { scalar } from "../ops/creation.js";
import { add, div, mul, sqrt, square, sub } from "../ops/elementwise.js";
import { Optimizer, type Update } from "./optimizer.js";
import { type GroupsOrList, withoutUndefined } from "./parameter_groups.js";
import type { StepState } from "./step_state.js";

/** Settings of `Adam` and `AdamW`. */
export interface AdamSettings {
  /** Learning rate. Default 1e-3. */
  lr: number;
  /** Decay rates of the first and second moment. Default [0.9, 0.999]. */
  readonly betas: readonly [number, number];
  /** Added to the square root of the second moment. Default 1e-8. */
  readonly eps: number;
  /** Adam: L2 penalty added to the gradient, default 0. AdamW: decoupled decay, weights · (1 − lr · weightDecay), default 0.01. */
  readonly weightDecay: number;
}

const aPairOfNumbers: Kind = [
  "a pair of numbers",
  (value) => Array.isArray(value) && value.length === 2 && value.every(aNumber[1]),
];
const kinds: Kinds<AdamSettings> = {
  lr: aNumber,
  betas: aPairOfNumbers,
  eps: aNumber,
  weightDecay: aNumber,
};

const defaults: AdamSettings = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0 };

abstract class AdamRule extends Optimizer<AdamSettings> {
  protected readonly momentNames = ["exp_avg", "exp_avg_sq"];
  protected abstract readonly decoupled: boolean;

  protected override check(settings: AdamSettings): void {
    super.check(settings);
    if (settings.betas.some((beta) => !(beta >= 0 && beta < 1))) {
      throw new ArgumentError(`betas lie in 0..1, got ${settings.betas.join(", ")}`, {
        op: this.constructor.name,
      });
    }
    if (!(settings.eps >= 0))
      throw new ArgumentError(`eps is at least 0, got ${settings.eps}`, { op: this.constructor.name });
  }

  protected createScalars(): Record<string, RuntimeScalar> {
    return {
      /** lr / (1 − β₁ᵗ) */
      stepSize: new RuntimeScalar(0),
      /** 1 / √(1 − β₂ᵗ) */
      rootCorrection: new RuntimeScalar(0),
      /** 1 − lr · weightDecay */
      decayFactor: new RuntimeScalar(1),
    };
  }

  protected updateScalars({
    step,
    settings: { lr, betas, weightDecay },
    scalars,
  }: StepState<AdamSettings>): void {
    scalars.stepSize.value = lr / (1 - betas[0] ** step);
    scalars.rootCorrection.value = 1 / Math.sqrt(1 - betas[1] ** step);
    scalars.decayFactor.value = 1 - lr * weightDecay;
  }

  protected update(
    parameter: Tensor,
    gradient: Tensor,
    moments: readonly Tensor[],
    stepState: StepState<AdamSettings>,
  ): Update {
    const { betas, eps, weightDecay } = stepState.settings;
    const { stepSize, rootCorrection, decayFactor } = stepState.scalars;
    const { device } = parameter;
    const penalized = weightDecay !== 0 && !this.decoupled;
    const g = penalized ? add(gradient, mul(parameter, weightDecay)) : gradient;
    const mean = add(mul(moments[0], betas[0]), mul(g, 1 - betas[0]));
    const meanSquare = add(mul(moments[1], betas[1]), mul(square(g), 1 - betas[1]));
    const root = add(mul(sqrt(meanSquare), scalar(rootCorrection, device)), eps);
    const change = div(mul(mean, scalar(stepSize, device)), root);
    const start =
      weightDecay !== 0 && this.decoupled ? mul(parameter, scalar(decayFactor, device)) : parameter;
    return { value: sub(start, change), moments: [mean, meanSquare] };
  }
}

type AdamParameters = GroupsOrList<AdamSettings>;

/**
 * Adam (Kingma and Ba 2015), as torch.optim.Adam. `parameters` are tensors, or groups with their own settings.
 *
 * @example
 * const x = tensor([1], { requiresGrad: true });
 * const optimizer = new Adam([x], { lr: 0.1 });
 * square(x).backward();
 * optimizer.step();
 * x; // [0.9]
 *
 * @throws ArgumentError for settings outside their domain, no parameters, or one that appears twice.
 */
export class Adam extends AdamRule {
  protected readonly decoupled = false;

  constructor(parameters: AdamParameters, settings: Partial<AdamSettings> = {}) {
    super(
      parameters,
      { ...defaults, ...withoutUndefined(checkOptions("Adam", settings as AdamSettings, kinds)) },
      kinds,
    );
  }
}

/**
 * AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW: Adam with decoupled weight decay. Parameters and errors as for `Adam`.
 *
 * @example
 * const x = tensor([1], { requiresGrad: true });
 * const optimizer = new AdamW([{ parameters: [x], settings: { weightDecay: 0.5 } }], { lr: 0.1 });
 * square(x).backward();
 * optimizer.step();
 * x; // [0.85]
 */
export class AdamW extends AdamRule {
  protected readonly decoupled = true;

  constructor(parameters: AdamParameters, settings: Partial<AdamSettings> = {}) {
    const own = withoutUndefined(checkOptions("AdamW", settings as AdamSettings, kinds));
    super(parameters, { ...defaults, weightDecay: 0.01, ...own }, kinds);
  }
}
