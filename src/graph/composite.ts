/** The public way to name a composite op. */
import { aFunction, aString, check, requireSync } from "../core/check.js";
import { inComposite } from "./scope.js";

/**
 * Runs `fn` and returns its result; what it computes has this name in profiles, and its gradient `name (gradient)`, as `softmax` and
 * `layerNorm` have. Composites in it have the name of the outermost. Without a profile it is a plain call.
 *
 * @example
 * const x = tensor([3, 4]);
 * composite("rmsNorm", () => x.div(x.square().mean().sqrt())); // [0.8485, 1.1314]
 *
 * @throws ArgumentError if `fn` is async: what it computes after its first await would have no name.
 */
export function composite<T>(name: string, fn: () => T): T {
  check("composite", "the name", name, aString);
  check("composite", "the second argument", fn, aFunction);
  return requireSync("composite", inComposite(name, fn));
}
