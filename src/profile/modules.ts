/** Attributes ops to modules by wrapping every `forward` while a profile is taken. */
import { inModule, noteNaming } from "../graph/scope.js";

/** The part of a model that a profile needs; a Module of wattgrad/nn has it. */
export interface NamedModules {
  namedModules(): Iterable<readonly [string, { forward(...inputs: never[]): unknown }]>;
}

/** Scope of ops outside every module's `forward`, such as losses and metrics. */
export const outside = "(outside of modules)";

/** Ops created in a module's `forward` get its name as scope until the returned function is called. */
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
