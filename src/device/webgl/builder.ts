/** Collects the passes of one Program; the files of the kernels add to it. */
import type { DType } from "../../tensor/dtype.js";
import type { Operand, SlotInfo } from "../kernel.js";
import type { Pass, Scratch, TextureId } from "./pass.js";
import { ShaderBuilder, type ShaderTarget } from "./shader.js";
import { type Extent, lanes } from "./storage.js";

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

export class PassBuilder {
  readonly steps: Step[] = [];
  readonly scratches: Scratch[] = [];

  constructor(
    readonly slots: readonly SlotInfo[],
    readonly target: ShaderTarget,
    readonly abilities: Abilities,
  ) {}

  shader(): ShaderBuilder {
    return new ShaderBuilder(this.target);
  }

  /** The grid for `texels` texels in rows of `width`, or of what a texture can have. */
  grid(texels: number, width: number): Extent {
    const { extent } = this.target;
    const columns = width <= extent && texels <= width * extent ? width : Math.min(texels, extent);
    return { width: columns, height: Math.ceil(texels / columns) };
  }

  /** A grid of texels between passes of this Program. */
  gridScratch(grid: Extent, dtype: DType = "float32"): TextureId {
    const size = grid.width * grid.height * lanes;
    return this.slots.length + this.scratches.push({ dtype, size, grid }) - 1;
  }

  /** A texture for `size` elements between passes of this Program. */
  scratch(dtype: DType, size: number): TextureId {
    return this.slots.length + this.scratches.push({ dtype, size }) - 1;
  }

  /** scratch(), as a dense operand of one dimension. */
  scratchOperand(dtype: DType, size: number): Operand {
    return { slot: this.scratch(dtype, size), dtype, view: { shape: [size], strides: [1], offset: 0 } };
  }

  add(pass: Pass): void {
    this.steps.push({ kind: "pass", pass });
  }

  replace(slot: TextureId, by: TextureId): void {
    this.steps.push({ kind: "replace", slot, by });
  }

  /** Elements of a slot or scratch texture. */
  sizeOf(id: TextureId): number {
    return id < this.slots.length ? this.slots[id].size : this.scratches[id - this.slots.length].size;
  }
}
