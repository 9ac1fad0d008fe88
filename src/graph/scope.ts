/**
 * Scopes: which module and which composite op the nodes belong to that are made now. Set while a profile is recorded, undefined
 * otherwise: then `inComposite` is a plain call.
 */
import { requireSync } from "../core/check.js";

/** `module`, or `module` + mark + `composite`. */
let scope: string | undefined;

/** Between the name of the module and the one of the composite. No name contains it. */
export const scopeMark = "\0";

export function currentScope(): string | undefined {
  return scope;
}

/** Number of profiles that named modules so far; recordings of another one have other module names. */
let namings = 0;

export function noteNaming(): void {
  namings++;
}

/** Identifies the scope and its profile; empty while no profile is recorded. */
export function scopeKey(): string {
  return scope === undefined ? "" : `${namings}@${scope}`;
}

/** Runs the synchronous `fn` in the scope `name`: its nodes belong to it. */
export function inScope<T>(name: string, fn: () => T): T {
  const before = scope;
  scope = name;
  try {
    return requireSync("profile", fn());
  } finally {
    scope = before;
  }
}

/** Runs `fn`; the nodes that it makes belong to the composite `name`, or to the one around it. `module`: the present one by default. */
export function inComposite<T>(name: string, fn: () => T, module?: string): T {
  if (scope === undefined) return fn();
  const [outer, composite = name] = scope.split(scopeMark);
  return inScope((module ?? outer) + scopeMark + composite, fn);
}

/** Runs `fn`; the nodes that it makes belong to the module `name`, and to the composite around it, if there is one. */
export function inModule<T>(name: string, fn: () => T): T {
  const [, composite] = scope?.split(scopeMark) ?? [];
  return inScope(composite === undefined ? name : name + scopeMark + composite, fn);
}

/** Asynchronous scopes, which may end in any order. */
const entered: { readonly name: string }[] = [];

/** Starts an asynchronous scope, which the returned function ends. */
export function enterScope(name: string): () => void {
  const own = { name };
  entered.push(own);
  scope = name;
  return () => {
    const at = entered.indexOf(own);
    if (at < 0) return;
    entered.splice(at, 1);
    scope = entered.at(-1)?.name;
  };
}

const gradientSuffix = " (gradient)";

/** The scope of the gradients of a node of the op `name` in the scope `of`; second gradients have the same scope as first ones. */
export function gradientScope(of: string, name: string): string {
  if (of.endsWith(gradientSuffix)) return of;
  return (of.includes(scopeMark) ? of : of + scopeMark + name) + gradientSuffix;
}

/** The names of module and composite in a scope; in scopes of gradients they end with ` (gradient)`. */
export function namesIn(scope: string): { readonly module: string; readonly composite: string | undefined } {
  const [module, composite] = scope.split(scopeMark);
  const suffix = composite?.endsWith(gradientSuffix) ? gradientSuffix : "";
  return { module: module + suffix, composite };
}
