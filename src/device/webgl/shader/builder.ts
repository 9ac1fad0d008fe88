/** Collects the passes of one Program; the files of the kernels add to it. */
import type { DType } from "../../../core/dtype.js";
import type { GatherCall, Operand, ScatterAddCall, SlotInfo } from "../../../kernels/kernel.js";
import { type Extent, type Format, formatOf, type Grid, lanes } from "../gl/storage.js";
import type { Pass, Scratch, TextureId } from "./pass.js";
import { passOf, type Result } from "./result.js";
import { ShaderBuilder, type ShaderTarget } from "./shader.js";

/** Texels of a flag for checks; more of them share the last one. */
const mostChecks = 256;

/** Steps of an executable, in order. */
export type Step =
  | { readonly kind: "pass"; readonly pass: Pass }
  /** The slot's memory is that of the scratch texture from now on. */
  | { readonly kind: "replace"; readonly slot: TextureId; readonly by: TextureId };

/** What the device can do, as far as the choice of passes depends on it. */
export interface Abilities {
  /** Float textures can be blended into: scattering by addition. */
  readonly blend: boolean;
}

/**
 * Whether a grid should be lower. Software rasterisers give their threads squares of 64 × 64 texels (llvmpipe) or pairs of
 * rows (SwiftShader): a small grid that is wide, but of several rows, is shared among the threads of both.
 */
function isHigh(columns: number, rows: number): boolean {
  return rows > Math.max(4, columns / 16);
}

export class PassBuilder {
  readonly steps: Step[] = [];
  readonly scratches: Scratch[] = [];
  /** By texel of the run's flag, the kernels whose indices it tells of. */
  readonly checks: (GatherCall | ScatterAddCall)[][] = [];
  private readonly checked = new Map<string, number>();
  private pending: Result | undefined;

  /**
   * @param singleConsumerSlots temporaries that one call writes and one other reads.
   * @param float32Slots slots of float32 that are not rounded where others are.
   * @param inputCount slots that a Program updates in place if it writes them.
   */
  constructor(
    readonly slots: readonly SlotInfo[],
    readonly target: ShaderTarget,
    readonly abilities: Abilities,
    private readonly singleConsumerSlots: ReadonlySet<TextureId>,
    readonly float32Slots: ReadonlySet<TextureId>,
    private readonly inputCount = 0,
  ) {}

  /** Whether an operand that is written is updated in place, and keeps its value if the run has failed. */
  isUpdate({ slot }: Operand): boolean {
    return slot < this.inputCount;
  }

  /** The texel that tells of a call's indices, and whether they are checked against that axis for the first time. */
  check(call: GatherCall | ScatterAddCall): { readonly texel: number; readonly isNew: boolean } {
    const key = JSON.stringify([call.index, call.axisSize, call.ignored]);
    const known = this.checked.get(key);
    const texel = known ?? Math.min(this.checked.size, mostChecks - 1);
    this.checked.set(key, texel);
    this.checks[texel] ??= [];
    this.checks[texel].push(call);
    return { texel, isNew: known === undefined };
  }

  shader(): ShaderBuilder {
    return new ShaderBuilder(this.target, this);
  }

  /** How a slot or scratch texture is stored. Leaves that are only read may be stored in full, too. */
  formatOf(id: TextureId): Format {
    const { floats, fullFloats } = this.target;
    const scratch = id < this.slots.length ? undefined : this.scratches[id - this.slots.length];
    const { dtype } = scratch ?? this.slots[id];
    return formatOf(dtype, this.float32Slots.has(id) || scratch?.isSum ? fullFloats : floats);
  }

  /** The grid for `texels` texels in rows of `width`, or of what a texture can have. */
  grid(texels: number, width: number): Extent {
    const { extent } = this.target;
    const columns = width <= extent && texels <= width * extent ? width : Math.min(texels, extent);
    return { width: columns, height: Math.ceil(texels / columns) };
  }

  /** A texture of that grid for partial sums between passes of this Program. */
  gridScratch(grid: Extent, dtype: DType = "float32"): TextureId {
    const size = grid.width * grid.height * lanes;
    return this.slots.length + this.scratches.push({ dtype, size, grid, isSum: true }) - 1;
  }

  /**
   * A texture array for `layers` times `texels` float32 texels of partial sums between passes of this Program: its layers are the
   * targets of one draw. Rows are some times `width`.
   */
  layeredScratch(
    texels: number,
    width: number,
    layers: number,
  ): { readonly id: TextureId; readonly grid: Grid } {
    const { extent } = this.target;
    let columns = this.grid(texels, width).width;
    while (columns * 2 <= extent && isHigh(columns, Math.ceil(texels / columns))) columns *= 2;
    const grid = { width: columns, height: Math.ceil(texels / columns), layers };
    const size = grid.width * grid.height * lanes;
    const id = this.slots.length + this.scratches.push({ dtype: "float32", size, grid, isSum: true }) - 1;
    return { id, grid };
  }

  /** A texture for `size` elements between passes of this Program: copies, or partial sums. */
  scratch(dtype: DType, size: number, isSum = false): TextureId {
    return this.slots.length + this.scratches.push({ dtype, size, isSum }) - 1;
  }

  /** A texture that takes the slot's place later on (`replace`). */
  standFor(slot: TextureId): TextureId {
    const { dtype, size } = this.slots[slot];
    return this.scratch(dtype, size, this.float32Slots.has(slot));
  }

  /** scratch(), as a dense operand of one dimension. */
  scratchOperand(dtype: DType, size: number, isSum = false): Operand {
    const slot = this.scratch(dtype, size, isSum);
    return { slot, dtype, view: { shape: [size], strides: [1], offset: 0 } };
  }

  add(pass: Pass): void {
    this.emitPending();
    this.steps.push({ kind: "pass", pass });
  }

  /** The pass of a call's output, which is added before the next one unless that takes it over. */
  defer(result: Result): void {
    this.emitPending();
    this.pending = result;
  }

  /** The result that waits, if the call that comes now is all that reads its output. */
  get fusable(): Result | undefined {
    const { pending } = this;
    return pending?.whole && this.singleConsumerSlots.has(pending.output.slot) ? pending : undefined;
  }

  /** The result that waits, if it is that of this slot: its own epilogue takes it over. */
  pendingOf(slot: TextureId): Result | undefined {
    const { pending } = this;
    return pending?.whole && pending.output.slot === slot ? pending : undefined;
  }

  /** A pass that computes the result that waits, too. */
  addFused(pass: Pass): void {
    this.pending = undefined;
    this.add(pass);
  }

  /** Adds the result that waits. */
  emitPending(): void {
    const { pending } = this;
    this.pending = undefined;
    if (pending) this.steps.push({ kind: "pass", pass: passOf(pending, this) });
  }

  replace(slot: TextureId, by: TextureId): void {
    this.emitPending();
    this.steps.push({ kind: "replace", slot, by });
  }

  /** Texels in a line of a slot's or scratch texture, if that has several. */
  lineOf(id: TextureId): number {
    const { layout } = this.target;
    return layout.lineFor(layout.texels(this.sizeOf(id)));
  }

  /** Elements of a slot or scratch texture. */
  sizeOf(id: TextureId): number {
    return id < this.slots.length ? this.slots[id].size : this.scratches[id - this.slots.length].size;
  }
}
