/** Modules made of modules. */

import { anArray, check } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import type { Tensor } from "../graph/tensor.js";
import { requireModule } from "./check.js";
import { Module } from "./module.js";

/** @throws ArgumentError */
function requireModules(op: string, modules: readonly Module[]): void {
  check(op, "the list of modules", modules, anArray);
  for (const [i, module] of modules.entries()) requireModule(op, module, `module ${i}`);
}

/**
 * A list of modules that are called one by one; state names are their positions: `0.weight`, `1.bias`. It has no `forward`.
 *
 * @example
 * const layers = new ModuleList([new Linear(4, 4), new Linear(4, 2)]);
 * [...layers.stateDict().keys()]; // ["0.weight", "0.bias", "1.weight", "1.bias"]
 */
export class ModuleList extends Module {
  readonly modules: readonly Module[];

  constructor(modules: readonly Module[]) {
    super();
    requireModules("ModuleList", modules);
    this.modules = modules;
  }

  override stateNames(): { modules: "" } {
    return { modules: "" };
  }

  forward(): never {
    throw new ArgumentError("a ModuleList has no forward of its own", {
      op: "ModuleList",
      hint: "call its modules",
    });
  }
}

/**
 * Applies modules one after the other; each takes the output of the previous one, a tensor or a structure of tensors, as its only
 * argument. State names are the positions, as in PyTorch.
 *
 * @example
 * const model = new Sequential(new Linear(784, 128), new ReLU(), new Linear(128, 10));
 * model.forward(zeros([32, 784])).shape; // [32, 10]
 */
export class Sequential<Input = Tensor, Output = Tensor> extends Module<[Input], Output> {
  readonly modules: readonly Module[];

  constructor(...modules: readonly Module[]) {
    super();
    requireModules("Sequential", modules);
    this.modules = modules;
  }

  override stateNames(): { modules: "" } {
    return { modules: "" };
  }

  forward(x: Input): Output {
    let value: unknown = x;
    for (const module of this.modules) value = module.forward(value);
    return value as Output;
  }
}
