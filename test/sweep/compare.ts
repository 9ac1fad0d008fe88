/** What a device computes for a probe against PyTorch: differences, each with the reason for which it may stay, or none. */
import { sizeOf } from "../../src/tensor/shape.js";
import { type Case, isDifferentiated } from "../cases/case.js";
import { type Difference, differences } from "./differences.js";

/** The fixture of a probe: PyTorch's numbers in float64, and those that are others in float32, by position. */
export interface Expected {
  readonly double: Float64Array;
  readonly single: ReadonlyMap<number, number>;
}

export type Precision = "float64" | "float32";

/** One number of a probe that a device computes otherwise. */
export interface Place {
  readonly probe: Case;
  readonly device: string;
  /** "value" or "gradient 0". */
  readonly part: string;
  readonly index: number;
  /** The inputs' numbers at this element of an elementwise probe; of others ("… of a row") all numbers of all inputs. */
  readonly inputs: readonly number[];
  readonly got: number;
  readonly want: number;
}

/** Relative error of a few roundings: of exp, log and a division in a row, or of a sum of four terms. */
const relative: Readonly<Record<Precision, number>> = { float64: 1e-9, float32: 32 * 2 ** -24 };
/** The smallest normal numbers' last place: results below are rounded to multiples of it. */
const absolute: Readonly<Record<Precision, number>> = { float64: 1e-300, float32: 2 ** -148 };

export interface Outcome {
  readonly compared: number;
  /** Those without a reason. */
  readonly unexplained: readonly Place[];
  readonly explained: ReadonlyMap<Difference, number>;
}

/** `numbers` are the output and then the gradients, as in the fixture. */
export function compareProbe(
  probe: Case,
  device: string,
  precision: Precision,
  numbers: ArrayLike<number>,
  { double, single }: Expected,
): Outcome {
  const unexplained: Place[] = [];
  const explained = new Map<Difference, number>();
  if (numbers.length !== double.length) {
    throw new Error(`${probe.name}: ${numbers.length} numbers, expected ${double.length}`);
  }
  const parts = partsOf(probe, double.length);
  for (let i = 0; i < double.length; i++) {
    const got = numbers[i];
    const wanted = precision === "float64" ? [double[i]] : [Math.fround(double[i]), single.get(i)];
    const { part, index } = parts(i);
    const isSigned = probe.signedZero === true && part === "value";
    if (wanted.some((want) => want !== undefined && isNear(got, want, probe, precision, isSigned))) continue;
    const place: Place = {
      probe,
      device,
      part,
      index,
      inputs: inputsAt(probe, index, double.length),
      got,
      want: wanted[0]!,
    };
    const reason = differences.find((difference) => difference.covers(place));
    if (reason) explained.set(reason, (explained.get(reason) ?? 0) + 1);
    else unexplained.push(place);
  }
  return { compared: double.length, unexplained, explained };
}

function isNear(
  got: number,
  want: number,
  { scale = 0 }: Case,
  precision: Precision,
  isSigned: boolean,
): boolean {
  if (Object.is(got, want)) return true;
  if (!Number.isFinite(want) || !Number.isFinite(got)) return false;
  if (got === want) return !(isSigned && want === 0);
  return Math.abs(got - want) <= relative[precision] * Math.max(Math.abs(want), scale) + absolute[precision];
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

export function describePlace({ probe, part, index, inputs, got, want }: Place): string {
  const given = inputs.length <= 4 ? ` of ${inputs.map(format).join(", ")}` : "";
  return `${probe.name}, ${part}[${index}]${given}: ${format(got)}, PyTorch ${format(want)}`;
}
