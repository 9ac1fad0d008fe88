/** Collects the passes of one Program; the files of the kernels add to it. */
import type { DType } from "../../../core/dtype.js";
import type { GatherCall, Operand, ScatterAddCall, SlotInfo } from "../../../kernels/kernel.js";
import { type Extent, type Format, formatOf, lanes, type RenderTargetLayout } from "../gl/storage.js";
import type { Pass, Scratch, TextureId } from "./pass.js";
import { passOf, type Result } from "./result.js";
import { ShaderBuilder, type ShaderTarget } from "./shader.js";

/** Maximum number of texels of a flag; further checks share the last one. */
const mostChecks = 256;

/** Steps of an executable, in order. */
export type Step =
  | { readonly kind: "pass"; readonly pass: Pass }
  /** From now on the slot uses the scratch texture. */
  | { readonly kind: "replace"; readonly slot: TextureId; readonly by: TextureId };

/** Device capabilities that the choice of passes depends on. */
export interface Abilities {
  /** Blending into float textures is exact: scatterAdd draws points. */
  readonly blend: boolean;
}

/**
 * Whether a render target should be wider and lower. Software rasterizers distribute squares of 64 × 64 texels (llvmpipe) or pairs of rows
 * (SwiftShader) to their threads: a small render target with several wide rows keeps the threads of both busy.
 */
function isHigh(columns: number, rows: number): boolean {
  return rows > Math.max(4, columns / 16);
}

export class PassBuilder {
  readonly steps: Step[] = [];
  readonly scratches: Scratch[] = [];
  /** The calls whose indices each texel of the run's flag reports. */
  readonly checks: (GatherCall | ScatterAddCall)[][] = [];
  private readonly checked = new Map<string, number>();
  private pending: Result | undefined;

  /**
   * @param singleConsumerSlots temporaries that one call writes and one other call reads.
   * @param float32Slots slots with float32 storage, if others are rounded to half floats.
   * @param inputCount slots below this are inputs: a Program that writes them updates them in place.
   */
  constructor(
    readonly slots: readonly SlotInfo[],
    readonly target: ShaderTarget,
    readonly abilities: Abilities,
    private readonly singleConsumerSlots: ReadonlySet<TextureId>,
    readonly float32Slots: ReadonlySet<TextureId>,
    private readonly inputCount = 0,
  ) {}

  /** Whether a written operand is an input, which keeps its value if the run fails. */
  isUpdate({ slot }: Operand): boolean {
    return slot < this.inputCount;
  }

  /** The texel that reports a call's indices, and whether these indices are checked against this axis for the first time. */
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

  /** Format of a slot or scratch texture. Leaves that are only read may have float32 storage as well. */
  formatOf(id: TextureId): Format {
    const { floats, fullFloats } = this.target;
    const scratch = id < this.slots.length ? undefined : this.scratches[id - this.slots.length];
    const { dtype } = scratch ?? this.slots[id];
    return formatOf(dtype, this.float32Slots.has(id) || scratch?.isSum ? fullFloats : floats);
  }

  /** The layout of a render target for `texels` texels in rows of `width`, adjusted to the limits of textures. */
  targetLayout(texels: number, width: number): Extent {
    const { extent } = this.target;
    const columns = width <= extent && texels <= width * extent ? width : Math.min(texels, extent);
    return { width: columns, height: Math.ceil(texels / columns) };
  }

  /** A texture with this layout for partial sums between passes of this Program. */
  targetScratch(targetLayout: Extent, dtype: DType = "float32"): TextureId {
    const size = targetLayout.width * targetLayout.height * lanes;
    return this.slots.length + this.scratches.push({ dtype, size, targetLayout, isSum: true }) - 1;
  }

  /**
   * A texture array for `layers` × `texels` float32 texels of partial sums between passes of this Program; its layers are the render
   * targets of one draw. The width is a multiple of `width`.
   */
  layeredScratch(
    texels: number,
    width: number,
    layers: number,
  ): { readonly id: TextureId; readonly targetLayout: RenderTargetLayout } {
    const { extent } = this.target;
    let columns = this.targetLayout(texels, width).width;
    while (columns * 2 <= extent && isHigh(columns, Math.ceil(texels / columns))) columns *= 2;
    const targetLayout = { width: columns, height: Math.ceil(texels / columns), layers };
    const size = targetLayout.width * targetLayout.height * lanes;
    const id =
      this.slots.length + this.scratches.push({ dtype: "float32", size, targetLayout, isSum: true }) - 1;
    return { id, targetLayout };
  }

  /** A texture for `size` elements between passes of this Program: copies, or partial sums. */
  scratch(dtype: DType, size: number, isSum = false): TextureId {
    return this.slots.length + this.scratches.push({ dtype, size, isSum }) - 1;
  }

  /** A texture that later replaces the slot's (`replace`). */
  standFor(slot: TextureId): TextureId {
    const { dtype, size } = this.slots[slot];
    return this.scratch(dtype, size, this.float32Slots.has(slot));
  }

  /** As `scratch`, as a dense 1-D operand. */
  scratchOperand(dtype: DType, size: number, isSum = false): Operand {
    const slot = this.scratch(dtype, size, isSum);
    return { slot, dtype, view: { shape: [size], strides: [1], offset: 0 } };
  }

  add(pass: Pass): void {
    this.emitPending();
    this.steps.push({ kind: "pass", pass });
  }

  /** Defers the pass that computes a call's output: it is added before the next pass, unless that pass computes the output itself. */
  defer(result: Result): void {
    this.emitPending();
    this.pending = result;
  }

  /** The deferred result, if the next call is its only consumer and may compute it. */
  get fusable(): Result | undefined {
    const { pending } = this;
    return pending?.whole && this.singleConsumerSlots.has(pending.output.slot) ? pending : undefined;
  }

  /** The deferred result, if its output is this slot: for its own epilogue, which computes it. */
  pendingOf(slot: TextureId): Result | undefined {
    const { pending } = this;
    return pending?.whole && pending.output.slot === slot ? pending : undefined;
  }

  /** Adds a pass that computes the deferred result as well. */
  addFused(pass: Pass): void {
    this.pending = undefined;
    this.add(pass);
  }

  /** Adds the pass of the deferred result. */
  emitPending(): void {
    const { pending } = this;
    this.pending = undefined;
    if (pending) this.steps.push({ kind: "pass", pass: passOf(pending, this) });
  }

  replace(slot: TextureId, by: TextureId): void {
    this.emitPending();
    this.steps.push({ kind: "replace", slot, by });
  }

  /** Texels per row of a slot's or scratch texture, if it has several rows. */
  textureWidthOf(id: TextureId): number {
    const { layout } = this.target;
    return layout.widthFor(layout.texels(this.sizeOf(id)));
  }

  /** Elements of a slot or scratch texture. */
  sizeOf(id: TextureId): number {
    return id < this.slots.length ? this.slots[id].size : this.scratches[id - this.slots.length].size;
  }
}
