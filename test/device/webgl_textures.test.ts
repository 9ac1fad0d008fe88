/** Texture sizes, without a context: which are too large. */
import { describe, expect, it } from "vitest";
import { OutOfMemoryError } from "../../src/core/errors.js";
import { TextureLayout } from "../../src/device/webgl/gl/storage.js";

describe("textures of a device whose largest have an extent of 64, in rows of 16 texels", () => {
  const layout = new TextureLayout(64, 16);

  it("hold what fits", () => {
    expect(layout.extent(16 * 64)).toEqual({ width: 16, height: 64 });
    expect(layout.fitting({ width: 64, height: 64 })).toEqual({ width: 64, height: 64 });
  });

  it("are too small for more, which is a typed error", () => {
    expect(() => layout.extent(16 * 64 + 1)).toThrow(OutOfMemoryError);
    for (const extent of [
      { width: 65, height: 1 },
      { width: 1, height: 65 },
    ]) {
      expect(() => layout.fitting(extent)).toThrow(OutOfMemoryError);
      expect(() => layout.fitting(extent)).toThrow(/does not fit a texture.*wasm device/);
    }
  });
});
