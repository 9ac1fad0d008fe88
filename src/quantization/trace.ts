/** Watching a model's modules while it runs. */

import { noGrad, Tensor } from "../graph/tensor.js";
import type { Module } from "../nn/module.js";
import type { Batches } from "./scheme.js";

/** Called after a module's forward; tensors are lazy. */
export type Watcher = (name: string, module: Module, inputs: readonly Tensor[], output: Tensor) => void;

/** Runs `fn` with every call of the given modules watched. Their classes stay as they are. */
export async function watching<T>(
  modules: ReadonlyMap<string, Module>,
  watcher: Watcher,
  fn: () => Promise<T>,
): Promise<T> {
  const watched: Module[] = [];
  try {
    for (const [name, module] of modules) {
      const forward = module.forward.bind(module);
      watched.push(module);
      module.forward = (...inputs: Tensor[]) => {
        const output = forward(...inputs);
        watcher(name, module, inputs, output);
        return output;
      };
    }
    return await fn();
  } finally {
    // The method of the class shows again.
    for (const module of watched) delete (module as Partial<Module>).forward;
  }
}

/** Modules without sub-modules, by name. */
export function leafModules(model: Module): Map<string, Module> {
  return new Map([...model.namedModules()].filter(([, module]) => module.children().length === 0));
}

/** The first `count` batches' inputs. */
export async function* inputsOf(data: Batches, count: number): AsyncGenerator<Tensor> {
  let taken = 0;
  for await (const batch of data) {
    if (taken++ >= count) return;
    yield batch instanceof Tensor ? batch : batch[0];
  }
}

/** Runs `fn` with the model in evaluation mode and without gradients. */
export async function evaluating<T>(model: Module, fn: () => Promise<T>): Promise<T> {
  const training = [...model.namedModules()].filter(([, module]) => module.training);
  model.eval();
  try {
    return await fn();
  } finally {
    for (const [, module] of training) module.training = true;
  }
}

/** The model's output, lazy and without gradients. */
export function infer(model: Module, input: Tensor): Tensor {
  return noGrad(() => model.forward(input));
}
