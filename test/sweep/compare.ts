/** Compares a device's results for a probe with PyTorch: differences, each with its accepted reason, if any. */
import type { DType } from "../../src/core/dtype.js";
import { sizeOf } from "../../src/core/shape.js";
import { type Case, isDifferentiated } from "../cases/case.js";
import { type Difference, differences } from "./differences.js";

/** What a device computes for a probe: the output and its dtype, then the gradients, as in the fixture. */
export interface Computed {
  readonly dtype: DType;
  readonly numbers: ArrayLike<number>;
}

/** The fixture of a probe: PyTorch's numbers in float64, and those that are others in float32, by position. */
export interface Expected {
  readonly double: Float64Array;
  readonly single: ReadonlyMap<number, number>;
}

/** Devices that share their differences: the reference computes in float64, the others in float32. */
export type DeviceKind = "reference" | "wasm" | "webgl";

/** One number of a probe that a device computes otherwise. */
export interface Place {
  readonly probe: Case;
  readonly kind: DeviceKind;
  /** "value" or "gradient 0". */
  readonly part: string;
  readonly index: number;
  /** The inputs' numbers at this element of an elementwise probe; of others ("… of a row") all numbers of all inputs. */
  readonly inputs: readonly number[];
  readonly got: number;
  readonly want: number;
}

interface Bounds {
  /** Relative error of a few roundings: of exp, log and a division in a row, or of a sum of four terms. */
  readonly relative: number;
  /** The last place of subnormal numbers. */
  readonly absolute: number;
}

const ofDouble: Bounds = { relative: 1e-9, absolute: 1e-300 };
const ofSingle: Bounds = { relative: 32 * 2 ** -24, absolute: 2 ** -148 };

export interface Outcome {
  /** Differences without a reason. */
  readonly unexplained: readonly Place[];
  /** The reason of each other difference. */
  readonly explained: readonly Difference[];
}

export function compareProbe(
  probe: Case,
  kind: DeviceKind,
  { dtype, numbers }: Computed,
  { double, single }: Expected,
): Outcome {
  const unexplained: Place[] = [];
  const explained: Difference[] = [];
  if (numbers.length !== double.length) {
    throw new Error(`${probe.name}: ${numbers.length} numbers, expected ${double.length}`);
  }
  const parts = partsOf(probe, double.length);
  for (let i = 0; i < double.length; i++) {
    const got = numbers[i];
    const { part, index } = parts(i);
    const isSigned = probe.signedZero === true && part === "value";
    // Where float32 changes PyTorch's result, a device of float32 may give either.
    const isRight =
      part === "value" && dtype !== "float32"
        ? got === double[i]
        : kind === "reference"
          ? isNear(got, double[i], probe, ofDouble, isSigned)
          : [Math.fround(double[i]), single.get(i) ?? double[i]].some((want) =>
              isNear(got, want, probe, ofSingle, isSigned),
            );
    if (isRight) continue;
    const inputs = inputsAt(probe, index, double.length);
    const place: Place = { probe, kind, part, index, inputs, got, want: double[i] };
    const reason = differences.find(({ kinds, covers }) => kinds.includes(kind) && covers(place));
    if (reason) explained.push(reason);
    else unexplained.push(place);
  }
  return { unexplained, explained };
}

function isNear(got: number, want: number, { scale = 0 }: Case, bounds: Bounds, isSigned: boolean): boolean {
  if (Object.is(got, want)) return true;
  if (!Number.isFinite(want) || !Number.isFinite(got)) return false;
  if (got === want) return !(isSigned && want === 0);
  return Math.abs(got - want) <= bounds.relative * Math.max(Math.abs(want), scale) + bounds.absolute;
}

/** The parts of a probe's numbers, in order. */
function sizesOf(probe: Case, total: number): { readonly part: string; readonly size: number }[] {
  const gradients = probe.inputs
    .map(({ shape }, k) => ({ part: `gradient ${k}`, size: sizeOf(shape), k }))
    .filter(({ k }) => isDifferentiated(probe, k));
  return [{ part: "value", size: total - gradients.reduce((n, { size }) => n + size, 0) }, ...gradients];
}

/** Which part of a probe's numbers the i-th one is of. */
function partsOf(probe: Case, total: number): (i: number) => { part: string; index: number } {
  const sizes = sizesOf(probe, total);
  return (i) => {
    let index = i;
    for (const { part, size } of sizes) {
      if (index < size) return { part, index };
      index -= size;
    }
    throw new Error(`${probe.name} has no number ${i}`);
  };
}

function inputsAt(probe: Case, index: number, total: number): number[] {
  const lists = probe.inputs.map(({ shape, values }) => {
    const list = "list" in values ? values.list : [];
    return Array.from({ length: sizeOf(shape) }, (_, i) => list[i % list.length]);
  });
  const [{ size }] = sizesOf(probe, total);
  const isElementwise =
    size > 1 && lists.every(({ length }) => length === size) && !probe.name.includes(" of ");
  return isElementwise ? lists.map((list) => list[index]) : lists.flat();
}

const format = (x: number) => (Object.is(x, -0) ? "-0" : String(x));

export function describePlace({ probe, kind, part, index, inputs, got, want }: Place): string {
  const given = inputs.length <= 4 ? ` of ${inputs.map(format).join(", ")}` : "";
  return `${kind}: ${probe.name}, ${part}[${index}]${given}: ${format(got)}, PyTorch ${format(want)}`;
}
