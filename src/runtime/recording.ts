/** Recordings of captured calls, and their replay. */
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import type { RuntimeScalar } from "../graph/op.js";
import type { Storage } from "../graph/storage.js";
import { Tensor } from "../graph/tensor.js";
import { applyEffects, type Call, type Captured, type Effect, type Hook, revertCapture } from "./capture.js";
import { type Guards, locate, sourceOf, type TensorSource } from "./guards.js";
import { allocateResults, commitResults, realize } from "./realize.js";
import { type CompiledGraph, type Session, sessionOf } from "./session.js";
import type { Arguments, JitResult, Rebuild } from "./structure.js";

/** A leaf whose memory differs between calls: an argument, or a tensor's current gradient. */
interface LeafSource {
  readonly leaf: number;
  readonly of: TensorSource;
  readonly isGradient: boolean;
}

export interface Recording {
  readonly compiled: CompiledGraph;
  readonly guards: Guards;
  /** Leaves that are the same in every call; the others are in `variable`. */
  readonly leaves: readonly Storage[];
  readonly variable: readonly LeafSource[];
  /** The memory of `leaves` that is updated in place. */
  readonly updated: ReadonlySet<Storage>;
  /** Leaves updated in place. */
  readonly changed: readonly number[];
  readonly scalars: readonly RuntimeScalar[];
  readonly numbers: readonly RuntimeScalar[];
  readonly results: readonly { readonly dtype: DType; readonly shape: Shape }[];
  readonly effects: readonly Effect[];
  readonly rebuild: Rebuild<Call>;
  readonly hooks: readonly Hook[];
  /** Session of the device; recordings of other devices are not replayed. */
  readonly session: Session;
  /** The device's generation: after a loss, fixed memory is gone and the call is recorded anew. */
  readonly generation: number;
}

/** Makes the recording. Call it before the captured call runs, which writes pending values. */
export function recordingOf(captured: Captured, compiled: CompiledGraph): Recording {
  const { session, bound, outputs, handles, numbers, changed, effects, rebuild, capture } = captured;
  const { observations, hooks } = capture;
  const variable: LeafSource[] = [];
  bound.owners.forEach((owner, leaf) => {
    const gradient = observations.entryGradients.get(owner);
    if (gradient !== undefined) {
      variable.push({ leaf, of: sourceOf(gradient.owner as Tensor, handles), isGradient: true });
      return;
    }
    const of = sourceOf(owner, handles);
    if ("argument" in of) variable.push({ leaf, of, isGradient: false });
  });
  const isVariable = new Set(variable.map(({ leaf }) => leaf));
  return {
    compiled,
    guards: observations.guards((tensor) => sourceOf(tensor, handles)),
    leaves: bound.leaves,
    variable,
    updated: new Set(changed.filter((leaf) => !isVariable.has(leaf)).map((leaf) => bound.leaves[leaf])),
    changed,
    scalars: bound.scalars,
    numbers,
    results: outputs.map(({ dtype, shape }) => ({ dtype, shape })),
    effects,
    rebuild,
    hooks,
    session,
    generation: session.generation,
  };
}

/** Runs the captured call itself; a failure reverts its side effects. */
export function run(captured: Captured, compiled: CompiledGraph, tensors: readonly Tensor[]): JitResult {
  const { session, bound, outputs, effects, rebuild } = captured;
  try {
    const results = allocateResults(session.device, outputs);
    session.run(compiled, bound.leaves, results, bound.scalars);
    commitResults(session, bound, outputs, results);
  } catch (error) {
    revertCapture(captured);
    throw error;
  }
  for (const tensor of outputs) {
    tensor.node = undefined;
    tensor.requiresGrad = false;
  }
  session.roots.clear();
  session.differentiated.clear();
  const call = { tensors, results: outputs };
  applyEffects(effects, call, session);
  return rebuild(call);
}

/**
 * The memory for one replay; undefined if a leaf that the recording updates is also another leaf of this call, because Programs assume that
 * leaves do not alias.
 */
export function leavesOf({ leaves, variable, updated, changed }: Recording, tensors: readonly Tensor[]) {
  if (variable.length === 0) return leaves;
  const bound = leaves.slice();
  let isShared = false;
  for (const { leaf, of, isGradient } of variable) {
    const tensor = locate(of, tensors);
    const operand = isGradient ? tensor.grad! : tensor;
    if (operand.storage === undefined) realize([operand]);
    const storage = operand.storage!;
    bound[leaf] = storage;
    isShared ||= updated.has(storage);
  }
  for (const { leaf } of variable) {
    if (!changed.includes(leaf)) continue;
    isShared ||= bound.indexOf(bound[leaf]) !== bound.lastIndexOf(bound[leaf]);
  }
  return isShared ? undefined : bound;
}

export function replay(recording: Recording, leaves: readonly Storage[], args: Arguments): JitResult {
  const { compiled, hooks, numbers, scalars, changed, effects, rebuild } = recording;
  const { tensors } = args;
  const { device } = tensors[0];
  const session = sessionOf(device);
  const storages = allocateResults(device, recording.results);
  let done = 0;
  try {
    for (; done < hooks.length; done++) hooks[done].run();
    for (let i = 0; i < numbers.length; i++) numbers[i].value = args.numbers[i];
    session.run(compiled, leaves, storages, scalars);
  } catch (error) {
    for (const storage of storages) storage.dispose();
    session.ifFails.length = 0;
    while (done > 0) hooks[--done].undo?.();
    throw error;
  }
  for (const leaf of changed) leaves[leaf].noteChange();
  const results = recording.results.map(
    ({ dtype, shape }, i) => new Tensor(shape, dtype, device, { storage: storages[i] }),
  );
  const call = { tensors, results };
  applyEffects(effects, call, session);
  return rebuild(call);
}
