/** `map`: a fused elementwise expression over strided, broadcast views; also copy, fill, cast and random numbers. */
import { sizeOf } from "../core/shape.js";
import { flopsPerElement, type MapCall } from "./expression.js";
import type { KernelCost, KernelRecord } from "./record.js";

export const map: KernelRecord<MapCall> = {
  reads: ["inputs"],
  writes: ["outputs"],
};

export const mapCost: KernelCost<MapCall> = {
  flops: ({ shape, expression }) => sizeOf(shape) * flopsPerElement(expression),
};
