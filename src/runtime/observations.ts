/**
 * Reads and writes outside the graph while a function is recorded: modes and fields of modules, `requiresGrad` and `grad` of
 * tensors. Reads become guards of the recording, writes are repeated by its replays.
 */
import type { TypedArray } from "../core/dtype.js";
import { JitError } from "../core/errors.js";
import {
  isRecorded,
  type ObservedKey,
  type Recorder,
  type RecordingMark,
  unobserved,
} from "../graph/observe.js";
import { Tensor } from "../graph/tensor.js";
import {
  FieldSnapshot,
  type FlagGuard,
  type GradientGuard,
  type Guards,
  type TensorSource,
} from "./guards.js";
import { realize } from "./realize.js";

type Owner = { [K in ObservedKey]?: unknown };

/** One observed property of one object. */
export interface Cell {
  readonly owner: Owner;
  readonly key: ObservedKey;
  /** Its value before the function ran. */
  readonly entry: unknown;
  /** Read before it was written. */
  guarded: boolean;
  written: boolean;
}

export class Observations implements Recorder {
  readonly mark: RecordingMark = { ended: false };
  readonly conditions: (() => boolean)[] = [];
  /** The tensors' gradients before the call. */
  readonly entryGradients = new Map<Tensor, Cell>();
  /** Copies of the host data that tensors were made from. */
  readonly uploads = new Map<Tensor, TypedArray>();
  /** Whether an argument was also used directly, not through its handle. */
  usesOriginal = false;
  readonly #cells: Record<ObservedKey, Map<object, Cell>> = {
    training: new Map(),
    requiresGrad: new Map(),
    grad: new Map(),
  };
  readonly #fields = new FieldSnapshot();
  readonly #originals: ReadonlySet<Tensor>;

  /** @param originals The arguments that were replaced by handles. */
  constructor(originals: ReadonlySet<Tensor>) {
    this.#originals = originals;
  }

  read(owner: object, key: ObservedKey, value: unknown): void {
    const cell = this.#cell(owner, key, value);
    if (cell === undefined || cell.guarded || cell.written) return;
    cell.guarded = true;
    if (key !== "grad" || value === undefined) return;
    const gradient = value as Tensor;
    unobserved(() => realize([gradient]));
    this.entryGradients.set(gradient, cell);
  }

  write(owner: object, key: ObservedKey, before: unknown): void {
    const cell = this.#cell(owner, key, before);
    if (cell !== undefined) cell.written = true;
  }

  #cell(owner: object, key: ObservedKey, value: unknown): Cell | undefined {
    if (owner instanceof Tensor) {
      if (isRecorded(owner) || this.entryGradients.has(owner)) return undefined;
      if (this.#originals.has(owner)) this.usesOriginal = true;
    }
    let cell = this.#cells[key].get(owner);
    if (cell === undefined) {
      cell = { owner: owner as Owner, key, entry: value, guarded: false, written: false };
      this.#cells[key].set(owner, cell);
    }
    return cell;
  }

  /** Realizes lazy tensors from outside, so that a replay does not compute them from later values. */
  use(operands: readonly Tensor[]): void {
    for (const operand of operands) {
      if (isRecorded(operand)) continue;
      if (this.#originals.has(operand)) this.usesOriginal = true;
      if (operand.storage === undefined && readsMemory(operand)) unobserved(() => realize([operand]));
    }
  }

  upload(tensor: Tensor, data: TypedArray): void {
    this.uploads.set(tensor, data.slice());
  }

  enter(module: object): void {
    this.#fields.add(module);
  }

  /** Restores all written properties to their previous values. */
  restore(): void {
    for (const { owner, key, entry } of this.written()) owner[key] = entry;
  }

  written(): Cell[] {
    const { training, requiresGrad, grad } = this.#cells;
    return [training, requiresGrad, grad].flatMap((cells) =>
      [...cells.values()].filter(({ written }) => written),
    );
  }

  /** @throws JitError for a module field that was set: replays would not set it. */
  checkFields(): void {
    const changed = this.#fields.changed();
    if (changed === undefined) return;
    const { name, value } = changed;
    // A cached constant, such as a mask, has the same value in every call.
    if (value instanceof Tensor && isRecorded(value) && value.storage === undefined && !readsMemory(value))
      return;
    throw new JitError(`${name} is set inside, which replays would not do`, {
      hint: "keep state in a buffer (registerBuffer, assign) or pass it as an argument and return it",
    });
  }

  /** @param sourceOf Locates a tensor in later calls: an argument, or the tensor itself. */
  guards(sourceOf: (tensor: Tensor) => TensorSource): Guards {
    const flags: FlagGuard[] = [];
    for (const cells of [this.#cells.training, this.#cells.requiresGrad]) {
      for (const { owner, key, entry, guarded } of cells.values()) {
        // Whether arguments require gradients is in the key of the call.
        if (!guarded || (owner instanceof Tensor && "argument" in sourceOf(owner))) continue;
        flags.push({ owner, key, value: entry });
      }
    }
    const gradients: GradientGuard[] = [];
    for (const { owner, entry, guarded } of this.#cells.grad.values()) {
      if (!guarded) continue;
      const like = entry as Tensor | undefined;
      gradients.push({
        of: sourceOf(owner as Tensor),
        like: like && { shape: like.shape, dtype: like.dtype, requiresGrad: like.requiresGrad },
      });
    }
    return { flags, fields: this.#fields.fields, gradients, conditions: this.conditions };
  }
}

/** Whether the value of a lazy tensor depends on memory, which may change. */
export function readsMemory(root: Tensor): boolean {
  const stack = [root];
  const seen = new Set(stack);
  while (stack.length > 0) {
    const { storage, node } = stack.pop()!;
    if (storage !== undefined) return true;
    for (const input of node?.values ?? []) {
      if (!seen.has(input)) {
        seen.add(input);
        stack.push(input);
      }
    }
  }
  return false;
}
