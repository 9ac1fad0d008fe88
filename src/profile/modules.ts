/** Tells which module an op belongs to, by standing before every `forward` while a profile is taken. */
import { inModule, noteNaming } from "../graph/scope.js";

/** The part of a model that a profile needs; a Module of wattgrad/nn has it. */
export interface NamedModules {
  namedModules(): Iterable<readonly [string, { forward(...inputs: never[]): unknown }]>;
}

/** Ops outside of every module's `forward`: losses, metrics, what is computed beside them. */
export const outside = "(outside of modules)";

/** From now until the returned function is called, ops made in a module's `forward` have its name as scope. */
export function nameModules(model: NamedModules): () => void {
  noteNaming();
  const wrapped: { forward: unknown }[] = [];
  for (const [name, module] of model.namedModules()) {
    const own = module.forward;
    Object.defineProperty(module, "forward", {
      // Not enumerable: fields of modules are their state.
      configurable: true,
      value: (...args: never[]) =>
        inModule(name === "" ? "(model)" : name, () => Reflect.apply(own, module, args)),
    });
    wrapped.push(module);
  }
  return () => {
    noteNaming();
    for (const module of wrapped) Reflect.deleteProperty(module, "forward");
  };
}
