/**
 * Random tensors. Randomness is counter-based (Philox4x32-10): seed and offset determine every element, on
 * every device alike. Each random op takes the next offset of its generator.
 */
import { onReplay, onUndo } from "../compiler/jit.js";
import type { Device } from "../device/device.js";
import { type DeviceRecovery, type Follower, followWeakly } from "../device/recovery.js";
import type { DType } from "../tensor/dtype.js";
import { ArgumentError } from "../tensor/errors.js";
import { RuntimeScalar, type UniformAttributes } from "../tensor/op.js";
import { checkShape, type Shape } from "../tensor/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { zerosLike } from "./creation.js";
import { add, cos, floor, ge, log, lt, minimum, mul, sqrt, sub, where } from "./elementwise.js";
import { asFloat, cast } from "./promotion.js";
import { uniform } from "./source.js";

/** Where a generator stands; plain data, for checkpoints. */
export interface GeneratorState {
  readonly seed: number;
  readonly offset: number;
}

/** A stream of random numbers: a seed, and how many random ops have drawn from it. */
export class Generator implements Follower {
  #seed = 0;
  #offset = 0;
  readonly #followed = new WeakSet<DeviceRecovery>();

  /** @throws ArgumentError unless the seed is an integer in 0..2^53-1. */
  constructor(seed: number) {
    this.seed(seed);
  }

  /** Starts the stream `seed` from its beginning. */
  seed(seed: number): void {
    this.setState({ seed, offset: 0 });
  }

  /** What `setState` needs to go on from here. */
  state(): GeneratorState {
    return { seed: this.#seed, offset: this.#offset };
  }

  setState({ seed, offset }: GeneratorState): void {
    for (const value of [seed, offset]) {
      if (!Number.isSafeInteger(value) || value < 0) {
        throw new ArgumentError(`seed and offset are integers in 0..2^53-1, got ${value}`, {
          op: "Generator",
        });
      }
    }
    this.#seed = seed;
    this.#offset = offset;
  }

  /** Where it stands, for a device that comes back. */
  remember(): () => void {
    const state = this.state();
    return () => this.setState(state);
  }

  /**
   * The runtime scalars of one random op: fresh ones, because a Program tells streams apart by them. A captured
   * Program gets the next offset at each replay.
   */
  stream({ recovery }: Device): UniformAttributes["stream"] {
    if (recovery !== undefined && !this.#followed.has(recovery)) {
      this.#followed.add(recovery);
      followWeakly(recovery, this);
    }
    const low = new RuntimeScalar(0, "int32");
    const high = new RuntimeScalar(0, "int32");
    const offset = new RuntimeScalar(0, "int32");
    const draw = () => {
      low.value = this.#seed | 0;
      high.value = Math.floor(this.#seed / 2 ** 32) | 0;
      offset.value = this.#offset++ | 0;
    };
    draw();
    onReplay(draw);
    onUndo(() => {
      this.#offset--;
    });
    return [low, high, offset];
  }
}

/** The generator that random ops use when none is given; seed 0 until `manualSeed`. */
export const defaultGenerator = new Generator(0);

/** Restarts the default generator. */
export function manualSeed(seed: number): void {
  defaultGenerator.seed(seed);
}

export interface RandomOptions {
  readonly device: Device;
  readonly generator?: Generator;
}

/** Uniform in [0, 1), float32 with 24 random bits. */
export function rand(shape: Shape, { device, generator = defaultGenerator }: RandomOptions): Tensor {
  checkShape(shape, "rand");
  return uniform(generator.stream(device), shape, device);
}

/** Standard normal, float32, by the transform of Box and Muller (1958). */
export function randn(shape: Shape, options: RandomOptions): Tensor {
  // 1 - u lies in (0, 1], where the logarithm is finite.
  const radius = sqrt(mul(log(sub(1, rand(shape, options))), -2));
  return mul(radius, cos(mul(rand(shape, options), 2 * Math.PI)));
}

/**
 * Whole numbers in low..high-1, int32 by default. For ranges beyond 2^24 only every 2^k-th number can occur.
 */
export function randint(
  low: number,
  high: number,
  shape: Shape,
  options: RandomOptions & { readonly dtype?: DType },
): Tensor {
  if (!Number.isInteger(low) || !Number.isInteger(high) || low >= high) {
    throw new ArgumentError(`bounds are integers with low < high, got ${low} and ${high}`, { op: "randint" });
  }
  // Rounding may lift u · range to range itself.
  const steps = minimum(floor(mul(rand(shape, options), high - low)), high - low - 1);
  return cast(add(cast(steps, "int32"), low), options.dtype ?? "int32");
}

/** 1 with the probability given by each element of `probabilities`, else 0; float32. */
export function bernoulli(probabilities: Tensor, { generator }: { generator?: Generator } = {}): Tensor {
  const p = asFloat(probabilities, "bernoulli");
  return cast(lt(rand(p.shape, { device: p.device, generator }), p), "float32");
}

export interface DropoutOptions {
  /** false returns x unchanged. Default true. */
  readonly training?: boolean;
  readonly generator?: Generator;
}

/** Sets elements to 0 with probability p and scales the others by 1/(1 − p) (Srivastava et al. 2014). */
export function dropout(x: Tensor, p = 0.5, { training = true, generator }: DropoutOptions = {}): Tensor {
  if (!(p >= 0 && p <= 1)) {
    throw new ArgumentError(`the probability lies in 0..1, got ${p}`, { op: "dropout" });
  }
  if (!training || p === 0) return x;
  const value = asFloat(x, "dropout");
  if (p === 1) return mul(value, zerosLike(value));
  const kept = ge(rand(x.shape, { device: x.device, generator }), p);
  return where(kept, mul(value, 1 / (1 - p)), 0);
}
