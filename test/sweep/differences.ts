/** All accepted differences from PyTorch, with reasons. A listed difference that does not occur is an error. */
import type { DeviceKind, Place } from "./compare.js";

export interface Difference {
  readonly reason: string;
  /** Where it occurs. */
  readonly kinds: readonly DeviceKind[];
  covers(place: Place): boolean;
}

/** The smallest normal float32 number. */
const normal = 2 ** -126;
/** Half a unit in the last place of numbers below 1. */
const roundoff = { float64: 2 ** -53, float32: 2 ** -24 };

const unit = ({ kind }: Place) => (kind === "reference" ? roundoff.float64 : roundoff.float32);
const error = ({ got, want }: Place) => Math.abs(got - want);
const isTiny = (x: number) => x !== 0 && Math.abs(x) < normal;
const holds = ({ inputs }: Place, test: (x: number) => boolean) => inputs.some(test);
const isOf = ({ probe }: Place, ...names: string[]) =>
  names.some((name) => probe.name === name || probe.name.startsWith(`${name} `));

const everywhere: readonly DeviceKind[] = ["reference", "wasm", "webgl"];
const single: readonly DeviceKind[] = ["wasm", "webgl"];

export const differences: readonly Difference[] = [
  {
    reason: "WebGL takes numbers below 2^-126 for 0",
    kinds: ["webgl"],
    covers: (place) => holds(place, isTiny),
  },
  {
    reason: "results near and below 2^-126, where float32 loses bits, are flushed to 0 or lose more",
    kinds: single,
    covers: (place) => {
      const margin = place.kind === "webgl" ? 2 ** 12 : 1;
      return Math.abs(place.want) <= 2 * normal * margin && error(place) < normal * margin;
    },
  },
  {
    reason: "pow on WebGL is e^(y·ln x), off by as many roundings as y·ln x is large",
    kinds: ["webgl"],
    covers: (place) => {
      const exponent = Math.abs(Math.log(Math.abs(place.want)));
      const bound = 2 * unit(place) * (8 + exponent) * Math.abs(place.want);
      return place.probe.op === "pow" && error(place) <= bound;
    },
  },
  {
    reason: "drivers of WebGL may reorder products, whose parts then overflow",
    kinds: ["webgl"],
    covers: (place) => Math.abs(place.got) === Infinity && Math.abs(place.want) > 1e38,
  },
  {
    reason: "a scale or a mean of numbers below 2^-126 has their few bits",
    kinds: ["wasm"],
    covers: (place) =>
      isOf(place, "std", "norm2") && holds(place, isTiny) && error(place) < 1e-4 * Math.abs(place.want),
  },
  {
    reason:
      "a difference of numbers near 1 (1 − tanh², 1 + erf, a weight's share) is off by their roundings on both sides",
    kinds: everywhere,
    covers: (place) => {
      const isOfBoth = isOf(place, "gelu", "gelu tanh") && Math.abs(place.inputs[0]) < 10;
      const isOfGradient = isOf(place, "tanh", "softmax", "binaryCrossEntropyWithLogits");
      const size = isOfBoth ? 10 : 1;
      return (
        (isOfBoth || (isOfGradient && place.part !== "value")) && error(place) <= 16 * unit(place) * size
      );
    },
  },
  {
    reason: "variances, means and norms of float32 overflow where PyTorch's CPU sums in float64",
    kinds: single,
    covers: (place) =>
      isOf(place, "variance", "std", "layerNorm", "batchNorm") &&
      holds(place, (x) => Math.abs(x) > 1e19 && Number.isFinite(x)),
  },
  {
    reason: "the gradient of a variance that is NaN is NaN; PyTorch's is infinite",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "variance") && Number.isNaN(place.got) && Math.abs(place.want) === Infinity,
  },
  {
    reason:
      "the gradient of a product is the product of the others; PyTorch divides the product, and takes a zero apart",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "prod") && place.part !== "value" && holds(place, (x) => Math.abs(x) >= 1e30),
  },
  {
    reason:
      "logsumexp's gradient are the shares; PyTorch takes them of the rounded result, in which the sum is lost",
    kinds: everywhere,
    covers: (place) => isOf(place, "logsumexp of numbers of 3e38") && place.part !== "value",
  },
  {
    reason: "binaryCrossEntropyWithLogits keeps small losses; PyTorch rounds them away beside the logit",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "binaryCrossEntropyWithLogits") &&
      error(place) <= roundoff.float64 * Math.abs(place.inputs[0]),
  },
  {
    reason: "pow(x, -0.5) is rsqrt and its derivative rsqrt's; PyTorch's derivative there is a power",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "pow to the -0.5") && place.part !== "value" && [-0, -Infinity].includes(place.inputs[0]),
  },
  {
    reason: "pow(-Infinity, 0.5) is Infinity as in C, also in a derivative; PyTorch takes a square root",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "pow to the 1.5") && place.part !== "value" && place.inputs[0] === -Infinity,
  },
  {
    reason: "fakeQuantize leaves NaN; PyTorch makes the lowest step of it",
    kinds: everywhere,
    covers: (place) => isOf(place, "fakeQuantize") && Number.isNaN(place.got),
  },
  {
    reason:
      "where all targets have the weight 0 no gradient flows, as where all are ignored; PyTorch's is 0 / 0",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "crossEntropy", "nllLoss") && place.probe.name.endsWith("a class of weight 0"),
  },
  {
    reason: "an ignored row gets the gradient 0 whatever it holds; PyTorch's is 0 times a softmax of NaN",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "crossEntropy") &&
      place.probe.name.includes("one ignored") &&
      place.got === 0 &&
      Number.isNaN(place.want),
  },
  {
    reason: "the gradient of a maximum goes to a window's first NaN; PyTorch's to the last",
    kinds: everywhere,
    covers: (place) =>
      isOf(place, "maxPool2d padded,") && place.part !== "value" && holds(place, Number.isNaN),
  },
];
