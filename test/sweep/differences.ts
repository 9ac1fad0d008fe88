/** Where devices differ from PyTorch and why that stays: the one list. Each of them has to occur, or it goes. */
import type { Place } from "./compare.js";

export interface Difference {
  readonly reason: string;
  covers(place: Place): boolean;
}

/** The smallest normal float32 number. */
const normal = 2 ** -126;
/** Half a unit in the last place of numbers below 1. */
const roundoff = { float64: 2 ** -53, float32: 2 ** -24 };

const unit = ({ device }: Place) => (device === "reference" ? roundoff.float64 : roundoff.float32);
const error = ({ got, want }: Place) => Math.abs(got - want);
const isTiny = (x: number) => x !== 0 && Math.abs(x) < normal;
const holds = ({ inputs }: Place, test: (x: number) => boolean) => inputs.some(test);
const isOf = ({ probe }: Place, ...names: string[]) =>
  names.some((name) => probe.name === name || probe.name.startsWith(`${name} `));

export const differences: readonly Difference[] = [
  {
    reason: "results below 2^-126, where float32 loses bits, are flushed to 0 or lose more",
    covers: (place) =>
      place.device !== "reference" && Math.abs(place.want) <= 2 * normal && error(place) < normal,
  },
  {
    reason: "a scale or a mean of numbers below 2^-126 has their few bits",
    covers: (place) =>
      place.device !== "reference" &&
      isOf(place, "std", "norm2") &&
      holds(place, isTiny) &&
      error(place) < 1e-4 * Math.abs(place.want),
  },
  {
    reason:
      "a difference of numbers near 1 (1 − tanh², 1 + erf, a weight's share) is off by their roundings on both sides",
    covers: (place) =>
      isOf(place, "tanh", "gelu", "gelu tanh", "softmax") &&
      error(place) <= 64 * unit(place) * Math.max(1, ...place.inputs.map(Math.abs).filter(Number.isFinite)),
  },
  {
    reason: "variances, means and norms of float32 overflow where PyTorch's CPU sums in float64",
    covers: (place) =>
      place.device !== "reference" &&
      isOf(place, "variance", "std", "layerNorm", "batchNorm") &&
      holds(place, (x) => Math.abs(x) > 1e19 && Number.isFinite(x)),
  },
  {
    reason: "the gradient of a variance that is NaN is NaN; PyTorch's is infinite",
    covers: (place) =>
      isOf(place, "variance") && Number.isNaN(place.got) && Math.abs(place.want) === Infinity,
  },
  {
    reason:
      "the gradient of a product is the product of the others; PyTorch divides the product, and takes a zero apart",
    covers: (place) =>
      isOf(place, "prod") && place.part !== "value" && holds(place, (x) => Math.abs(x) >= 1e30),
  },
  {
    reason:
      "logsumexp's gradient are the shares; PyTorch takes them of the rounded result, in which the sum is lost",
    covers: (place) => isOf(place, "logsumexp of numbers of 3e38") && place.part !== "value",
  },
  {
    reason: "binaryCrossEntropyWithLogits keeps small losses; PyTorch rounds them away beside the logit",
    covers: (place) =>
      isOf(place, "binaryCrossEntropyWithLogits") &&
      error(place) <= roundoff.float64 * Math.abs(place.inputs[0]),
  },
  {
    reason: "pow(x, -0.5) is rsqrt and its derivative rsqrt's; PyTorch's derivative there is a power",
    covers: (place) =>
      isOf(place, "pow to the -0.5") && place.part !== "value" && [-0, -Infinity].includes(place.inputs[0]),
  },
  {
    reason: "pow(-Infinity, 0.5) is Infinity as in C, also in a derivative; PyTorch takes a square root",
    covers: (place) =>
      isOf(place, "pow to the 1.5") && place.part !== "value" && place.inputs[0] === -Infinity,
  },
  {
    reason: "fakeQuantize leaves NaN; PyTorch makes the lowest step of it",
    covers: (place) => isOf(place, "fakeQuantize") && Number.isNaN(place.got),
  },
  {
    reason:
      "where all targets have the weight 0 no gradient flows, as where all are ignored; PyTorch's is 0 / 0",
    covers: (place) =>
      isOf(place, "crossEntropy", "nllLoss") && place.probe.name.endsWith("a class of weight 0"),
  },
  {
    reason: "the gradient of a maximum goes to a window's first NaN; PyTorch's to the last",
    covers: (place) =>
      isOf(place, "maxPool2d padded,") && place.part !== "value" && holds(place, Number.isNaN),
  },
];
