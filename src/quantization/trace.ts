/** Watching a model's modules while it runs. */

import { noGrad } from "../graph/tensor.js";
import type { Module } from "../nn/module.js";
import type { Batches, Forward } from "./scheme.js";

/** Called after a module's forward; tensors are lazy. */
export type Watcher = (name: string, module: Module, inputs: readonly unknown[], output: unknown) => void;

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
      module.forward = (...inputs: unknown[]) => {
        const output: unknown = forward(...inputs);
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

/** The first `count` batches. */
export async function* take<B>(data: Batches<B>, count: number): AsyncGenerator<B> {
  let taken = 0;
  for await (const batch of data) {
    if (taken++ >= count) return;
    yield batch;
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

/** The model's output for a batch, lazy and without gradients. Of a list of tensors the first is the input. */
export function infer(model: Module, batch: unknown, forward?: Forward<never>): unknown {
  return noGrad((): unknown => {
    if (forward !== undefined) return forward(model, batch as never);
    return model.forward(Array.isArray(batch) ? batch[0] : batch);
  });
}
