/** wattgrad's implementation of each problem except training: a function of tensors, and its inputs. */

import type { TypedArray } from "../core/dtype.js";
import { type Shape, sizeOf } from "../core/shape.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import {
  add,
  conv2d,
  gelu,
  groupScales,
  matmul,
  mul,
  packWeight,
  permute,
  quantizedConv2d,
  quantizedLinear,
  relu,
  scaledDotProductAttention,
  softmax,
  sub,
  tensor,
  transpose,
} from "../ops/index.js";
import { groupSize, inputScale, largestOfBits, signedBytes, spread, uniform } from "./inputs.js";
import type {
  AttentionProblem,
  ConvProblem,
  DispatchProblem,
  ElementwiseProblem,
  MatmulProblem,
  Problem,
  QmatmulProblem,
  TrainProblem,
} from "./problem.js";

export interface Computation {
  readonly compute: (...inputs: Tensor[]) => Tensor;
  readonly inputs: Tensor[];
  /** Kernel calls in one run, for problems whose rate is calls per second. Default 1. */
  readonly amount?: number;
}

export function computationOf(problem: Exclude<Problem, TrainProblem>, device: Device): Computation {
  switch (problem.kind) {
    case "matmul":
      return matmulOf(problem, device);
    case "qmatmul":
      return qmatmulOf(problem, device);
    case "conv":
      return problem.int8 ? qconvOf(problem, device) : convOf(problem, device);
    case "attention":
      return attentionOf(problem, device);
    case "elementwise":
      return elementwiseOf(problem, device);
    case "dispatch":
      return dispatchOf(problem, device);
  }
}

function leaf(data: TypedArray, shape: Shape, device: Device): Tensor {
  return tensor(data, { shape, device });
}

/** Each operand has its own seed, which all contenders share. */
function floats(shape: Shape, seed: number, device: Device): Tensor {
  return leaf(uniform(sizeOf(shape), seed), shape, device);
}

function filled(shape: Shape, value: number, device: Device): Tensor {
  return leaf(new Float32Array(sizeOf(shape)).fill(value), shape, device);
}

function matmulOf({ batch, m, k, n, transposed }: MatmulProblem, device: Device): Computation {
  const lead = batch === undefined ? [] : [batch];
  const turned = (x: Tensor) => transpose(x, -2, -1);
  return {
    compute: (a, b) => matmul(transposed === "a" ? turned(a) : a, transposed === "b" ? turned(b) : b),
    inputs: [
      floats([...lead, ...(transposed === "a" ? [k, m] : [m, k])], 1, device),
      floats([...lead, ...(transposed === "b" ? [n, k] : [k, n])], 2, device),
    ],
  };
}

function qmatmulOf({ m, k, n, bits }: QmatmulProblem, device: Device): Computation {
  const largest = largestOfBits[bits];
  const x = leaf(signedBytes(m * k, 127, 1), [m, k], device);
  const values = leaf(signedBytes(n * k, largest, 2), [n, k], device);
  const weight = packWeight(values, { bits, groupSize });
  weight.packed.realize();
  values.dispose();
  if (bits !== 4) {
    return {
      compute: (input, packed, scales) => quantizedLinear(input, { ...weight, packed }, { scales }),
      inputs: [x, weight.packed, filled([n], inputScale / largest, device)],
    };
  }
  const scales = groupScales(filled([n, k / groupSize], 1 / largest, device)).realize();
  const inputScales = filled([m, k / groupSize], inputScale, device);
  return {
    compute: (input, packed, weightScales, rowScales) =>
      quantizedLinear(input, { ...weight, packed }, { scales: weightScales, inputScales: rowScales }),
    inputs: [x, weight.packed, scales, inputScales],
  };
}

/** Converts activations to the device's preferred layout, as between the layers of a network. */
function image(problem: ConvProblem, data: TypedArray, device: Device): Tensor {
  const { n, c, size } = problem;
  const x = leaf(data, [n, c, size, size], device);
  if (device.info.convLayout === "channels-first") return x;
  const last = permute(x, [0, 2, 3, 1]).realize();
  x.dispose();
  return last;
}

/** Converts back to [N, C, H, W]. */
function channelsFirst(x: Tensor): Tensor {
  return x.device.info.convLayout === "channels-first" ? x : permute(x, [0, 3, 1, 2]);
}

/** The result keeps the device's layout: a transposition would be timed too. */
function asComputed(y: Tensor): Tensor {
  return y.device.info.convLayout === "channels-first" ? y : permute(y, [0, 2, 3, 1]);
}

function convOf(problem: ConvProblem, device: Device): Computation {
  const { n, c, size, o, kernel, padding, stride = 1, groups = 1 } = problem;
  return {
    compute: (x, weight) =>
      asComputed(conv2d(channelsFirst(x), weight, undefined, { padding, stride, groups })),
    inputs: [
      image(problem, uniform(n * c * size * size, 1), device),
      floats([o, c / groups, kernel, kernel], 2, device),
    ],
  };
}

function qconvOf(problem: ConvProblem, device: Device): Computation {
  const { n, c, size, o, kernel, padding, stride = 1, groups = 1 } = problem;
  const shape = [o, c / groups, kernel, kernel];
  const values = leaf(signedBytes(sizeOf(shape), 127, 2), shape, device);
  const weight = packWeight(values, { groups });
  weight.packed.realize();
  values.dispose();
  return {
    compute: (x, packed, scales) =>
      asComputed(
        quantizedConv2d(channelsFirst(x), { ...weight, packed }, { scales, padding, stride, groups }),
      ),
    inputs: [
      image(problem, signedBytes(n * c * size * size, 127, 1), device),
      weight.packed,
      filled([o], inputScale / 127, device),
    ],
  };
}

function attentionOf(problem: AttentionProblem, device: Device): Computation {
  const { n, heads, length, headDim, keys = length, causal } = problem;
  return {
    compute: (q, k, v) => scaledDotProductAttention(q, k, v, { causal }),
    inputs: [length, keys, keys].map((rows, i) => floats([n, heads, rows, headDim], i + 1, device)),
  };
}

function elementwiseOf({ name, rows, columns }: ElementwiseProblem, device: Device): Computation {
  const x = floats([rows, columns], 1, device);
  const y = () => floats([rows, columns], 2, device);
  switch (name) {
    case "add":
      return { compute: (a, b) => add(a, b), inputs: [x, y()] };
    case "chain":
      return { compute: (a, b) => sub(mul(relu(add(mul(a, b), a)), 0.5), b), inputs: [x, y()] };
    case "gelu":
      return { compute: (a) => gelu(a, { approximate: "tanh" }), inputs: [x] };
    case "softmax":
      return { compute: (a) => softmax(a, -1), inputs: [x] };
  }
}

function dispatchOf({ ops }: DispatchProblem, device: Device): Computation {
  return {
    compute: (x, w) => Array.from({ length: ops }).reduce<Tensor>((value) => matmul(value, w), x),
    inputs: [0, 1].map(() => leaf(spread(), [4, 4], device)),
    amount: ops,
  };
}
