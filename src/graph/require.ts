/** Checks of tensor arguments of public functions; see core/check.ts. */
import { isPlain, type Kind, wrong } from "../core/check.js";
import { Tensor } from "./tensor.js";

export const aTensor: Kind = ["a tensor", isTensor, wayToTensor];
export const tensors: Kind = [
  "an array of tensors",
  (value) => Array.isArray(value) && value.every(isTensor),
  (value) =>
    typeof value === "object" && value && "parameters" in value ? "give its parameters()" : undefined,
];
export const tensorOrNumber: Kind = [
  "a tensor or a number",
  (value) => typeof value === "number" || isTensor(value),
  wayToTensor,
];

function isTensor(value: unknown): value is Tensor {
  return value instanceof Tensor;
}

function wayToTensor(value: unknown): string | undefined {
  if (isPlain(value)) return "options come after all tensors";
  if (typeof value === "number" || Array.isArray(value) || ArrayBuffer.isView(value))
    return "tensor(…) makes one";
  return undefined;
}

/** @throws ArgumentError naming `op` and the argument for anything else. On the path of every op. */
export function requireTensor(op: string, value: Tensor, name = "the input"): Tensor {
  if (!(value instanceof Tensor)) throw wrong(op, name, value, aTensor);
  return value;
}
