/**
 * Random tensors. Randomness is counter-based (Philox4x32-10): seed and offset determine every element, on
 * every device alike. Each random op takes the next offset of its generator.
 */

import {
  aBoolean,
  aDevice,
  aDType,
  aNumber,
  anObject,
  check,
  checkOptions,
  describe,
  type Kind,
  type Kinds,
} from "../core/check.js";
import type { DType } from "../core/dtype.js";
import { elementOf } from "../core/element.js";
import { ArgumentError } from "../core/errors.js";
import { inspectable } from "../core/inspect.js";
import { checkShape, type Shape } from "../core/shape.js";
import { deviceOf } from "../device/default.js";
import type { Device } from "../device/device.js";
import { type DeviceRecovery, registerWeakly, type SnapshotParticipant } from "../device/recovery.js";
import { RuntimeScalar, type UniformAttributes } from "../graph/op.js";
import { inComposite } from "../graph/scope.js";
import type { Tensor } from "../graph/tensor.js";
import { onReplay, onUndo, refuseInJit } from "../runtime/capture.js";
import { ge, lt, where } from "./comparison.js";
import { zerosLike } from "./creation.js";
import { add, cos, floor, log, minimum, mul, sqrt, sub } from "./elementwise.js";
import { asFloat, cast, requireArithmetic } from "./promotion.js";
import { uniform } from "./source.js";

/** The state of a generator as plain data, for checkpoints. */
export interface GeneratorState {
  readonly seed: number;
  /** Number of random ops drawn since seeding. */
  readonly offset: number;
}

/**
 * A stream of random numbers, defined by a seed and the number of random ops drawn from it: Philox4x32-10 (Salmon et al. 2011).
 * Every device produces the same bits.
 *
 * @example
 * const generator = new Generator(1);
 * const saved = generator.state();
 * const first = await rand([2], { generator }).tolist();
 * generator.setState(saved);
 * String(await rand([2], { generator }).tolist()) === String(first); // true
 */
export class Generator implements SnapshotParticipant {
  #seed = 0;
  #offset = 0;
  readonly #followed = new WeakSet<DeviceRecovery>();

  /** @throws ArgumentError unless the seed is an integer in 0..2^53-1. */
  constructor(seed: number) {
    this.seed(seed);
  }

  toString(): string {
    return `Generator(seed=${this.#seed}, offset=${this.#offset})`;
  }

  static {
    inspectable(Generator.prototype);
  }

  /** Starts the stream `seed` from its beginning. */
  seed(seed: number): void {
    this.setState({ seed, offset: 0 });
  }

  /** The state for `setState`. @throws JitError inside a jit function, where it differs in each call. */
  state(): GeneratorState {
    refuseInJit("the position of a generator is read");
    return { seed: this.#seed, offset: this.#offset };
  }

  setState(state: GeneratorState): void {
    const { seed, offset } = check("Generator", "the state", state, anObject);
    for (const value of [seed, offset]) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new ArgumentError(`seed and offset are integers in 0..2^53-1, got ${describe(value)}`, {
          op: "Generator",
        });
      }
    }
    let before = { seed: this.#seed, offset: this.#offset };
    const set = () => {
      before = { seed: this.#seed, offset: this.#offset };
      this.#seed = seed;
      this.#offset = offset;
    };
    const undo = () => {
      this.#seed = before.seed;
      this.#offset = before.offset;
    };
    set();
    onReplay(set, undo);
    onUndo(undo);
  }

  /** Saves seed and offset with a device's snapshot. */
  save(): () => void {
    const state = this.state();
    return () => this.setState(state);
  }

  /**
   * The runtime scalars of one random op: fresh ones, because a Program distinguishes streams by them. A captured
   * Program gets the next offset at each replay.
   */
  stream({ recovery }: Device): UniformAttributes["stream"] {
    if (recovery !== undefined && !this.#followed.has(recovery)) {
      this.#followed.add(recovery);
      registerWeakly(recovery, this);
    }
    const low = new RuntimeScalar(0, "int32");
    const high = new RuntimeScalar(0, "int32");
    const offset = new RuntimeScalar(0, "int32");
    const draw = () => {
      low.value = this.#seed | 0;
      high.value = Math.floor(this.#seed / 2 ** 32) | 0;
      offset.value = this.#offset++ | 0;
    };
    const undo = () => {
      this.#offset--;
    };
    draw();
    onReplay(draw, undo);
    onUndo(undo);
    return [low, high, offset];
  }
}

/**
 * The generator of random ops that name none; seed 0 until `manualSeed`.
 *
 * @example
 * manualSeed(7);
 * defaultGenerator.state(); // { seed: 7, offset: 0 }
 */
export const defaultGenerator = new Generator(0);

/**
 * Restarts the default generator with `seed`, an integer in 0..2^53−1.
 *
 * @example
 * manualSeed(1);
 * const first = await rand([]).item();
 * manualSeed(1);
 * (await rand([]).item()) === first; // true
 *
 * @throws ArgumentError for another seed.
 */
export function manualSeed(seed: number): void {
  defaultGenerator.seed(seed);
}

/** Options of random tensors. */
export interface RandomOptions {
  /** Default: that of `setDefaultDevice`. */
  readonly device?: Device;
  /** Default: `defaultGenerator`. */
  readonly generator?: Generator;
}

const aGenerator: Kind = ["a Generator", (value) => value instanceof Generator];
const generatorOption: Kinds<{ readonly generator?: Generator }> = { generator: aGenerator };
const randomOptions: Kinds<RandomOptions> = { ...generatorOption, device: aDevice };
const randintOptions = (): Kinds<RandintOptions> => ({ ...randomOptions, dtype: aDType });

/**
 * Uniform random numbers in [0, 1): float32 multiples of 2^-24.
 *
 * @example
 * manualSeed(0);
 * rand([2, 3]).shape; // [2, 3]
 * rand([1000]).mean(); // 0.5
 *
 * @throws ShapeError for a shape with extents that are not integers ≥ 0.
 */
export function rand(shape: Shape, options: RandomOptions = {}): Tensor {
  return uniformOf("rand", shape, checkOptions("rand", options, randomOptions));
}

function uniformOf(
  op: string,
  shape: Shape,
  { device, generator = defaultGenerator }: RandomOptions,
): Tensor {
  checkShape(shape, op);
  const home = deviceOf(op, device);
  return uniform(generator.stream(home), shape, home);
}

/**
 * Standard normal random numbers, float32, by the Box-Muller transform (Box and Muller 1958).
 *
 * @example
 * randn([1000]).std().lt(1.1); // true
 */
export function randn(shape: Shape, options: RandomOptions = {}): Tensor {
  checkOptions("randn", options, randomOptions);
  return inComposite("randn", () => {
    // 1 - u lies in (0, 1], where the logarithm is finite.
    const radius = sqrt(mul(log(sub(1, uniformOf("randn", shape, options))), -2));
    return mul(radius, cos(mul(uniformOf("randn", shape, options), 2 * Math.PI)));
  });
}

export interface RandintOptions extends RandomOptions {
  /** Default int32. */
  readonly dtype?: DType;
}

/**
 * Uniform random integers in low..high−1, int32 by default. For ranges beyond 2^24 only every 2^k-th number occurs, as 24 bits are
 * drawn.
 *
 * @example
 * const dice = randint(1, 7, [100]);
 * all(logicalAnd(dice.ge(1), dice.le(6))); // true
 *
 * @throws ArgumentError for an empty range or one that the dtype cannot hold.
 */
export function randint(low: number, high: number, shape: Shape, options: RandintOptions = {}): Tensor {
  const { dtype = "int32" } = checkOptions("randint", options, randintOptions());
  if (!Number.isInteger(low) || !Number.isInteger(high) || low >= high) {
    throw new ArgumentError(
      `bounds are integers with low < high, got ${describe(low)} and ${describe(high)}`,
      { op: "randint" },
    );
  }
  for (const bound of [low, high - 1]) elementOf("randint", bound, dtype);
  // Rounding may lift u · range to range itself.
  const steps = minimum(floor(mul(uniformOf("randint", shape, options), high - low)), high - low - 1);
  return cast(add(cast(steps, "int32"), low), dtype);
}

/**
 * 1 with the probability given by each element of `probabilities` (float32), else 0; float32, same shape.
 *
 * @example
 * bernoulli(tensor([0, 1, 1])); // [0, 1, 1]
 */
export function bernoulli(probabilities: Tensor, options: { readonly generator?: Generator } = {}): Tensor {
  const p = asFloat(probabilities, "bernoulli");
  const { generator } = checkOptions("bernoulli", options, generatorOption);
  return cast(lt(rand(p.shape, { device: p.device, generator }), p), "float32");
}

/** Options of `dropout`. */
export interface DropoutOptions {
  /** false returns x unchanged. Default true. */
  readonly training?: boolean;
  /** Default: `defaultGenerator`. */
  readonly generator?: Generator;
}

const dropoutOptions: Kinds<DropoutOptions> = { ...generatorOption, training: aBoolean };

/** @throws ArgumentError */
export function requireProbability(p: number, op: string): void {
  if (!(check(op, "the probability", p, aNumber) >= 0 && p <= 1)) {
    throw new ArgumentError(`the probability lies in 0..1, got ${p}`, { op });
  }
}

/**
 * Sets elements to 0 with probability p (default 0.5) and multiplies the others by 1/(1 − p) (Srivastava et al. 2014). float32.
 *
 * @example
 * dropout(ones([1000])).mean().lt(1.2); // true
 * dropout(tensor([1, 2]), 0.5, { training: false }); // [1, 2]
 *
 * @throws ArgumentError for p outside 0..1.
 */
export function dropout(x: Tensor, p = 0.5, options: DropoutOptions = {}): Tensor {
  requireArithmetic(x, "dropout");
  requireProbability(p, "dropout");
  const { training = true, generator } = checkOptions("dropout", options, dropoutOptions);
  if (!training || p === 0) return x;
  const value = asFloat(x, "dropout");
  if (p === 1) return mul(value, zerosLike(value));
  return inComposite("dropout", () => {
    const isKept = ge(rand(x.shape, { device: x.device, generator }), p);
    return where(isKept, mul(value, 1 / (1 - p)), 0);
  });
}
