/**
 * Failures of runs on the GPU (see Device.run). Every run that checks indices, or reads leaves whose run may have failed, has a flag: a
 * texture with one texel per check and per such leaf. An index out of range draws a point to its texel. Updates sample the flag and keep
 * the old value if any texel is set. Results refer to the texels on which they depend, which are read together with their values; nothing
 * waits for the flag before.
 */
import type { IndexError } from "../../../core/errors.js";
import { indexError } from "../../../kernels/failure.js";
import type { IndexReport } from "../../../kernels/kernel.js";
import type { ReadPart } from "./readback.js";
import { lanes } from "./storage.js";
import type { Texture, TexturePool } from "./texture_pool.js";

const reports: IndexReport[] = [];
const reportNumbers = new Map<string, number>();

/** The number of a report in texels: positive, equal for equal reports. */
export function reportNumber(report: IndexReport): number {
  const key = JSON.stringify(report);
  let number = reportNumbers.get(key);
  if (number === undefined) {
    number = reports.push(report);
    reportNumbers.set(key, number);
  }
  return number;
}

/** Texels [number of the report or 0, index, size of the axis, 0], and the errors read from them. */
export class RunFlag {
  /** The error of each texel; undefined until the texels were read. */
  private errors: readonly (IndexError | undefined)[] | undefined;
  private holders = 1;

  constructor(
    readonly texture: Texture,
    readonly size: number,
    private readonly pool: TexturePool,
  ) {}

  hold(): this {
    this.holders++;
    return this;
  }

  release(): void {
    if (--this.holders === 0) this.pool.release(this.texture);
  }

  isOf(pool: TexturePool): boolean {
    return this.pool === pool;
  }

  get isKnown(): boolean {
    return this.errors !== undefined;
  }

  /** The error of the first of these texels that is known to be set. */
  errorAt(texels: readonly number[]): IndexError | undefined {
    return this.errors?.[texels.find((texel) => this.errors![texel]) ?? -1];
  }

  /** The part to read with the values of a buffer, for `take`. */
  get part(): ReadPart {
    return { texture: this.texture, size: this.size * lanes };
  }

  take(words: Int32Array): void {
    this.errors ??= Array.from({ length: this.size }, (_, i) => errorOf(words.subarray(i * lanes)));
  }
}

/** The error that a texel reports. */
export function errorOf([number, index, axisSize]: Int32Array): IndexError | undefined {
  return number === 0 ? undefined : indexError(reports[number - 1], index, axisSize, "webgl");
}

/** Tells flags their texels, of what was read with them behind all else. */
export function takeFlags(flags: readonly RunFlag[], raw: ArrayBuffer): void {
  let end = raw.byteLength;
  for (const flag of flags.toReversed()) {
    const words = flag.size * lanes;
    end -= words * 4;
    flag.take(new Int32Array(raw, end, words));
  }
}
