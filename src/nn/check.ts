/** Modules among the arguments of public functions: see tensor/check.ts. */
import { check, type Kind } from "../core/check.js";
import { isModule } from "./state.js";

const aModule: Kind = [
  "a module",
  isModule,
  (value) => (typeof value === "function" ? "make it with new" : undefined),
];

/** @throws ArgumentError naming `op` for anything else. */
export function requireModule<M extends object>(op: string, value: M, name = "the model"): M {
  return check(op, name, value, aModule);
}
