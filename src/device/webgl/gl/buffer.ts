/** A leaf buffer of the device: its texture, and whether its values are valid. */
import type { DType } from "../../../core/dtype.js";
import type { Device, DeviceBuffer } from "../../device.js";
import type { RunFlag } from "./flag.js";
import { lanes } from "./storage.js";
import type { Texture } from "./texture_pool.js";

export class WebglBuffer implements DeviceBuffer {
  freed = false;
  /** The values were lost with the context and are in no snapshot; writing the buffer makes it valid again. */
  isLost = false;
  /** Counts changes, so that snapshots copy only changed buffers; 0 if never written. */
  version = 0;
  rewinds = 0;
  /** Flag of the run that wrote the buffer, if it may have failed; `texels` are those on which the value depends. */
  flag: RunFlag | undefined;
  texels: readonly number[] = [];
  /** Set if a failed run skipped an update and no result reports it. */
  missed: RunFlag | undefined;

  constructor(
    readonly device: Device,
    readonly dtype: DType,
    readonly size: number,
    /** Replaced if a kernel reads and updates the buffer, and after a restored context. */
    public texture: Texture,
  ) {}

  /** Bytes of its elements as they are stored. */
  get bytes(): number {
    return (this.size * this.texture.format.bytesPerTexel) / lanes;
  }

  /** Adds a texel of the run's flag on which the value depends. */
  addTexel(flag: RunFlag, texel: number): void {
    this.flag ??= flag.hold();
    this.texels = [...this.texels, texel];
  }

  /** Whether the run may have failed or has failed. */
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

  /** Flags that must be read with the value to know whether it is valid. */
  get openFlags(): readonly RunFlag[] {
    return [...(this.flag?.isKnown === false ? [this.flag] : []), ...(this.missed ? [this.missed] : [])];
  }
}
