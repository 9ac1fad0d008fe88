/** Nodes without inputs: constants, runtime scalars, positions and random bits. */

import { check, type Kind } from "../core/check.js";
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import { deviceOf } from "../device/default.js";
import type { Device } from "../device/device.js";
import {
  type ConstantAttributes,
  type IotaAttributes,
  RuntimeScalar,
  type ScalarAttributes,
  type SourceOp,
  type UniformAttributes,
} from "../graph/op.js";
import { createNode, type Tensor } from "../graph/tensor.js";

const constantOp: SourceOp<ConstantAttributes> = { kind: "source", name: "constant", source: "constant" };
const scalarOp: SourceOp<ScalarAttributes> = { kind: "source", name: "scalar", source: "scalar" };
const uniformOp: SourceOp<UniformAttributes> = { kind: "source", name: "uniform", source: "uniform" };
const iotaOp: SourceOp<IotaAttributes> = { kind: "source", name: "iota", source: "iota" };

/** One value everywhere; never stored unless a kernel needs it in memory. */
export function constant(value: number, shape: Shape, dtype: DType, device: Device): Tensor {
  return createNode(constantOp, [], { value }, shape, dtype, device);
}

const aScalar: Kind = ["a RuntimeScalar", (value) => value instanceof RuntimeScalar];

/**
 * A rank-0 float32 tensor whose value is read from `runtimeScalar` at each run, so that changing it compiles nothing.
 *
 * @example
 * const rate = new RuntimeScalar(2);
 * const x = tensor([1, 2]);
 * mul(x, scalar(rate)); // [2, 4]
 * rate.value = 3;
 * mul(x, scalar(rate)); // [3, 6]
 */
export function scalar(runtimeScalar: RuntimeScalar, device?: Device): Tensor {
  check("scalar", "the value", runtimeScalar, aScalar);
  return createNode(
    scalarOp,
    [],
    { scalar: runtimeScalar },
    [],
    runtimeScalar.dtype,
    deviceOf("scalar", device),
  );
}

/** float32 in [0, 1), from the Philox stream that the three scalars (seed low, seed high, offset) name. */
export function uniform(stream: UniformAttributes["stream"], shape: Shape, device: Device): Tensor {
  return createNode(uniformOp, [], { stream }, shape, "float32", device);
}

/** int32: each element's index along `dim`. */
export function iota(dim: number, shape: Shape, device: Device): Tensor {
  return createNode(iotaOp, [], { dim }, shape, "int32", device);
}
