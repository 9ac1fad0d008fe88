/** A leaf buffer of the device, and its way into a texture. */
import type { DType } from "../../../core/dtype.js";
import type { Device, DeviceBuffer } from "../../device.js";
import type { RunFlag } from "./flag.js";
import { lanes } from "./storage.js";
import type { Texture } from "./texture_pool.js";

export class WebglBuffer implements DeviceBuffer {
  freed = false;
  /** What it held went with a lost context, and no snapshot has it; writing it makes it whole again. */
  isLost = false;
  /** Counts changes, so that snapshots copy only what is new; 0 for memory that was never written. */
  version = 0;
  rewinds = 0;
  /** That of the run which wrote it, if it may have failed, and the texels on which the value depends. */
  flag: RunFlag | undefined;
  texels: readonly number[] = [];
  /** Set if an update that no result tells of was not made. */
  missed: RunFlag | undefined;

  constructor(
    readonly device: Device,
    readonly dtype: DType,
    readonly size: number,
    /** Replaced when a kernel updates the buffer that it reads, and when a lost context was restored. */
    public texture: Texture,
  ) {}

  /** Bytes of its elements as they are stored. */
  get bytes(): number {
    return (this.size * this.texture.format.bytesPerTexel) / lanes;
  }

  /** The value depends on another texel of the flag of the run that writes it. */
  addTexel(flag: RunFlag, texel: number): void {
    this.flag ??= flag.hold();
    this.texels = [...this.texels, texel];
  }

  /** Whether it is not known, or known to have failed. */
  get isDoubtful(): boolean {
    const { flag, texels } = this;
    return flag !== undefined && (!flag.isKnown || flag.errorAt(texels) !== undefined);
  }

  clearFlag(): void {
    this.flag?.release();
    this.flag = undefined;
    this.texels = [];
  }

  noteMissed(flag: RunFlag | undefined): void {
    if (this.missed === flag) return;
    this.missed?.release();
    this.missed = flag?.hold();
  }

  /** What is read with the value to know whether it is one. */
  get openFlags(): readonly RunFlag[] {
    return [...(this.flag?.isKnown === false ? [this.flag] : []), ...(this.missed ? [this.missed] : [])];
  }
}
