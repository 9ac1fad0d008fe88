/** Captures one call of a function: its graph and its side effects. */

import { type BoundGraph, extractGraph } from "../compiler/graph.js";
import { DeviceError, JitError } from "../core/errors.js";
import { isRecorded, setRecorder, unobserved } from "../graph/observe.js";
import { RuntimeScalar, type SourceOp } from "../graph/op.js";
import { createNode, Tensor } from "../graph/tensor.js";
import { sourceOf, type TensorSource } from "./guards.js";
import { type Cell, Observations } from "./observations.js";
import { copyOf, realize } from "./realize.js";
import { type Session, sessionOf } from "./session.js";
import { type Arguments, mapArguments, type Rebuild, rebuilder } from "./structure.js";

/** A side effect that each replay repeats, and how to revert it if the replay fails. */
export interface Hook {
  readonly run: () => void;
  readonly undo: (() => void) | undefined;
}

/** Side effects of a function outside the graph, as they register themselves. */
export interface Capture {
  readonly hooks: Hook[];
  /** Revert the captured call's own side effects if it does not run. */
  readonly undos: (() => void)[];
  readonly observations: Observations;
}

let current: Capture | undefined;

/**
 * Inside a function given to `jit`, registers a side effect that each replay repeats; `undo` reverts it if the replay fails. Outside,
 * does nothing.
 *
 * @example
 * let calls = 0;
 * const f = jit((x: Tensor) => {
 *   calls++;
 *   onReplay(() => calls++);
 *   return neg(x);
 * });
 * f(ones([1]));
 * f(ones([1]));
 * calls; // 2
 */
export function onReplay(run: () => void, undo?: () => void): void {
  current?.hooks.push({ run, undo });
}

/**
 * Inside a function given to `jit`, registers how to revert state outside the device that the call has advanced. It is called, latest
 * first, if the capture was for a warm-up or fails.
 *
 * @example
 * let calls = 0;
 * const f = jit((x: Tensor) => {
 *   calls++;
 *   onUndo(() => calls--);
 *   return neg(x);
 * });
 * await f.warmup([ones([1])]);
 * calls; // 0
 */
export function onUndo(undo: () => void): void {
  current?.undos.push(undo);
}

/**
 * Inside a function given to `jit`, registers a condition of the recording: a call for which it is false records anew.
 *
 * @example
 * let factor = 2;
 * const f = jit((x: Tensor) => {
 *   const used = factor;
 *   onlyWhile(() => factor === used);
 *   return mul(x, used);
 * });
 * f(ones([1])); // [2]
 * factor = 3;
 * f(ones([1])); // [3]
 */
export function onlyWhile(condition: () => boolean): void {
  current?.observations.conditions.push(condition);
}

/** @throws JitError while a jit function is being captured. */
export function refuseInJit(what: string, hint?: string): void {
  if (current !== undefined) throw new JitError(`${what} inside, which replays would not do`, { hint });
}

/** The tensors of one call. */
export interface Call {
  readonly tensors: readonly Tensor[];
  readonly results: readonly Tensor[];
}

/** The value that a replay writes to an observed property: a constant, or a tensor of the call. */
export interface Effect {
  readonly owner: TensorSource | { readonly object: object };
  readonly key: Cell["key"];
  readonly value: (call: Call) => unknown;
  /** The value is a gradient computed by the recording. */
  readonly isOwn: boolean;
}

/** One call of a function, recorded but not run. */
export interface Captured {
  readonly session: Session;
  readonly capture: Capture;
  readonly bound: BoundGraph;
  readonly outputs: readonly Tensor[];
  /** The arguments, as the function got them. */
  readonly handles: readonly Tensor[];
  /** The numbers of the call. */
  readonly numbers: readonly RuntimeScalar[];
  /** Leaves updated in place. */
  readonly changed: readonly number[];
  /** An argument shares memory with another tensor that the function uses; the graph is valid for this call only. */
  readonly isAliased: boolean;
  readonly effects: readonly Effect[];
  readonly rebuild: Rebuild<Call>;
  /** Parts of the result that are not tensors. */
  readonly fixed: readonly unknown[];
}

type Fn = (...args: never[]) => unknown;

const scalarOp: SourceOp = { kind: "source", name: "scalar", source: "scalar" };
/**
 * Calls `fn` with handles in place of the arguments, which must have memory; the device must have no pending work.
 * @throws JitError for anything that a replay could not repeat. Then, and if `fn` throws, all side effects are reverted.
 */
export function capture(fn: Fn, args: Arguments): Captured {
  const captured = captureWith(fn, args, handlesOf(args.tensors));
  // An argument that the function also closes over must stay one tensor, or it would get two gradients.
  return captured ?? captureWith(fn, args, args.tensors)!;
}

function captureWith(fn: Fn, args: Arguments, handles: readonly Tensor[]): Captured | undefined {
  const { device } = args.tensors[0];
  const session = sessionOf(device);
  const originals = new Set(args.tensors.filter((tensor, i) => tensor.requiresGrad && tensor !== handles[i]));
  const observations = new Observations(originals);
  const capture: Capture = { hooks: [], undos: [], observations };
  session.capture = capture;
  current = capture;
  setRecorder(observations);
  try {
    const numbers: RuntimeScalar[] = [];
    let tensor = 0;
    const given = args.values.map((value) =>
      mapArguments(
        value,
        () => handles[tensor++],
        (number) => {
          const scalar = new RuntimeScalar(number);
          numbers.push(scalar);
          return createNode(scalarOp, [], { scalar }, [], "float32", device);
        },
      ),
    );
    const result = fn(...(given as never[]));
    if (!observations.usesOriginal) {
      const one = { session, capture, handles, numbers };
      return complete(one, result, args.tensors);
    }
  } catch (error) {
    end(session);
    revertCapture({ session, capture });
    throw error;
  } finally {
    end(session);
    observations.mark.ended = true;
  }
  revertCapture({ session, capture });
  return undefined;
}

function end(session: Session): void {
  session.capture = undefined;
  current = undefined;
  setRecorder(undefined);
}

/**
 * Separate handles for this call, because a tensor may be passed twice or also be closed over. Two arguments that are the same
 * tensor with requiresGrad share a handle.
 */
function handlesOf(tensors: readonly Tensor[]): Tensor[] {
  const withGradient = new Map<Tensor, Tensor>();
  return tensors.map((tensor) => {
    const known = withGradient.get(tensor);
    if (known !== undefined) return known;
    const { shape, dtype, device, storage, requiresGrad, grad } = tensor;
    const handle = new Tensor(shape, dtype, device, { storage: storage! });
    handle.requiresGrad = requiresGrad;
    handle.grad = grad;
    if (requiresGrad) withGradient.set(tensor, handle);
    return handle;
  });
}

type Unfinished = Pick<Captured, "session" | "capture" | "handles" | "numbers">;

/** The graph of the function's results and side effects. */
function complete(one: Unfinished, result: unknown, originals: readonly Tensor[]): Captured {
  const { session, capture, handles } = one;
  const { observations } = capture;
  const outputs: Tensor[] = [];
  const output = (tensor: Tensor) => {
    if (tensor.device !== session.device) {
      throw new DeviceError(
        `a result lives on ${tensor.device.name}, the arguments on ${session.device.name}`,
        {
          op: "jit",
        },
      );
    }
    const known = outputs.indexOf(tensor);
    const index = known >= 0 ? known : outputs.push(tensor) - 1;
    return ({ results }: Call) => results[index];
  };
  const fixed: unknown[] = [];
  const sourceOfResult = (tensor: Tensor): ((call: Call) => Tensor) => {
    const argument = handles.indexOf(tensor);
    if (argument >= 0) return ({ tensors }) => tensors[argument];
    if (isRecorded(tensor)) return output(tensor.storage === undefined ? tensor : copyOf(tensor));
    if (observations.entryGradients.has(tensor)) return output(copyOf(tensor));
    if (tensor.storage === undefined) unobserved(() => realize([tensor]));
    return () => tensor;
  };
  const rebuild = rebuilder<Call>(result, sourceOfResult, fixed);
  observations.checkFields();
  const effects = effectsOf(one, originals, outputs, output);
  const assigned = [...session.pending];
  const separate = new Set([...handles, ...observations.entryGradients.keys()]);
  let bound = extractGraph(outputs, assigned, separate);
  const changed = bound.graph.assignments.map(({ leaf }) => leaf);
  const inPlace = new Set(changed.map((leaf) => bound.leaves[leaf]));
  const isAliased =
    handles === originals ||
    (new Set(bound.leaves).size < bound.leaves.length &&
      bound.leaves.some((leaf, i) => inPlace.has(leaf) && bound.leaves.indexOf(leaf) !== i));
  // Memory that is read through one tensor and updated through another is one leaf in this call, but not in every call.
  if (isAliased) bound = extractGraph(outputs, assigned);
  return {
    ...one,
    bound,
    outputs,
    changed: bound.graph.assignments.map(({ leaf }) => leaf),
    isAliased,
    effects,
    rebuild,
    fixed,
  };
}

/** The function's writes outside the graph. Existing gradients are accumulated in place, as in PyTorch. */
function effectsOf(
  { session, handles, capture: { observations } }: Unfinished,
  originals: readonly Tensor[],
  outputs: readonly Tensor[],
  output: (tensor: Tensor) => (call: Call) => Tensor,
): Effect[] {
  const effects: Effect[] = [];
  const returned = new Set(outputs);
  const storages = [...observations.entryGradients.keys()].map(({ storage }) => storage);
  for (const { owner, key, entry, guarded } of observations.written()) {
    const value = owner[key];
    if (value === entry && guarded) continue;
    const source = owner instanceof Tensor ? sourceOf(owner, handles) : { object: owner };
    const isMade = value instanceof Tensor && (isRecorded(value) || observations.entryGradients.has(value));
    if (!isMade) {
      const argument = handles.indexOf(value as Tensor);
      const given = ({ tensors }: Call) => (argument < 0 ? value : tensors[argument]);
      effects.push({ owner: source, key, value: given, isOwn: false });
      continue;
    }
    if ("argument" in source && originals[source.argument].node !== undefined) {
      throw new JitError("backward() inside reaches an argument that was computed with gradients", {
        hint: "compute it inside as well, or pass x.detach()",
      });
    }
    if (entry instanceof Tensor && guarded && !entry.requiresGrad && isOnce(storages, entry.storage)) {
      entry.pending = value;
      session.pending.add(entry);
      continue;
    }
    // Separate memory, because other gradients and results may change independently.
    const own = returned.has(value) || value.storage !== undefined ? copyOf(value) : value;
    returned.add(own);
    effects.push({ owner: source, key, value: output(own), isOwn: true });
  }
  observations.restore();
  return effects;
}

function isOnce<T>(list: readonly T[], value: T): boolean {
  return list.indexOf(value) === list.lastIndexOf(value);
}

/** Reverts everything that the captured call has registered or advanced. */
export function revertCapture({ session, capture }: Pick<Captured, "session" | "capture">): void {
  for (const undo of capture.undos.toReversed()) undo();
  capture.observations.restore();
  session.abandon();
}

/** Gradients made by recordings that only `grad` references; they can be freed without garbage collection. */
const ownGradients = new WeakSet<Tensor>();

/** Frees a consumed gradient that a jit function made; otherwise a loop of micro-batches would leak one per step. */
export function releaseGradient(gradient: Tensor | undefined): void {
  if (current === undefined && gradient !== undefined && ownGradients.delete(gradient))
    gradient.storage?.dispose();
}

export function applyEffects(effects: readonly Effect[], call: Call, session: Session): void {
  const before: (Tensor | undefined)[] = [];
  for (const { owner, key, value, isOwn } of effects) {
    const target =
      "object" in owner ? owner.object : "tensor" in owner ? owner.tensor : call.tensors[owner.argument];
    const next = value(call);
    if (key === "grad") {
      const { grad } = target as Tensor;
      if (grad !== next) before.push(grad);
      if (isOwn) ownGradients.add(next as Tensor);
      // The values of gradients are lost with the device.
      session.differentiated.add(target as Tensor);
    }
    (target as { [K in Cell["key"]]?: unknown })[key] = next;
  }
  for (const gradient of before) releaseGradient(gradient);
}
