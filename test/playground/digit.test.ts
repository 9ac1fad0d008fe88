/** Conversion of drawings to images like MNIST's. */
import { expect, test } from "vitest";
import { loadMnist } from "../../src/data/index.js";
import { centredDigit } from "../../src/playground/digit.js";
import { imageSize } from "../../src/playground/messages.js";

const pad = 280;

/** A pad with ink in a rectangle. */
function rectangle(left: number, top: number, width: number, height: number): Uint8Array {
  const ink = new Uint8Array(pad * pad);
  for (let y = top; y < top + height; y++) ink.fill(255, y * pad + left, y * pad + left + width);
  return ink;
}

function extentOf(image: Uint8Array) {
  const inked = [...image.keys()].filter((i) => image[i] > 0);
  const x = inked.map((i) => i % imageSize);
  const y = inked.map((i) => Math.floor(i / imageSize));
  return { left: Math.min(...x), right: Math.max(...x) + 1, top: Math.min(...y), bottom: Math.max(...y) + 1 };
}

test("nothing drawn is no digit", () => {
  expect(centredDigit(new Uint8Array(pad * pad), pad, pad)).toBeUndefined();
});

test("a stroke is scaled to 20 pixels with its proportions and stands in the middle, wherever it was drawn", () => {
  const small = centredDigit(rectangle(3, 5, 12, 60), pad, pad)!;
  const large = centredDigit(rectangle(200, 20, 48, 240), pad, pad)!;
  expect(extentOf(small)).toEqual({ left: 12, right: 16, top: 4, bottom: 24 });
  expect(large).toEqual(small);
  expect(Math.max(...small)).toBe(255);
});

test("a line of one pixel and a dot keep inside", () => {
  expect(extentOf(centredDigit(rectangle(0, 0, 1, 280), pad, pad)!)).toMatchObject({ top: 4, bottom: 24 });
  expect(extentOf(centredDigit(rectangle(279, 279, 1, 1), pad, pad)!)).toEqual({
    left: 4,
    right: 24,
    top: 4,
    bottom: 24,
  });
});

test("ink is shared among the pixels that it partly covers", () => {
  // 30 × 200 at a scale of 10: three columns; the middle one half as dark.
  const ink = rectangle(100, 40, 30, 200);
  for (let y = 40; y < 240; y++) for (let x = 110; x < 120; x += 2) ink[y * pad + x] = 0;
  const image = centredDigit(ink, pad, pad)!;
  const { left, top } = extentOf(image);
  expect([...image.subarray(top * imageSize + left, top * imageSize + left + 3)]).toEqual([255, 128, 255]);
});

test("the centre of mass decides, but not beyond the border", () => {
  // A heavy block at the left end of a thin line.
  const ink = rectangle(20, 100, 40, 40);
  for (let x = 20; x < 220; x++) ink[120 * pad + x] = 255;
  const { left, right } = extentOf(centredDigit(ink, pad, pad)!);
  expect(right - left).toBe(20);
  expect(right).toBe(imageSize);
});

test("MNIST's own images, enlarged tenfold and moved, come back as they are", async () => {
  const { images } = await loadMnist("test/data/mnist", { split: "test" });
  const size = imageSize * imageSize;
  let compared = 0;
  for (let n = 0; n < 100; n++) {
    const image = (images.data as Uint8Array).slice(n * size, (n + 1) * size);
    // Faint borders are taken for the softness of a stroke, which changes the scale.
    const strong = image.map((value) => (value < 32 ? 0 : value));
    const { left, right, top, bottom } = extentOf(strong);
    if (Math.max(right - left, bottom - top) !== 20) continue;
    const ink = new Uint8Array(pad * pad);
    for (let y = top * 10; y < bottom * 10; y++) {
      for (let x = left * 10; x < right * 10; x++) {
        const from = Math.floor(y / 10) * imageSize + Math.floor(x / 10);
        ink[(y - top * 10) * pad + x - left * 10 + 40] = strong[from];
      }
    }
    const result = centredDigit(ink, pad, pad)!;
    const moved = extentOf(result);
    // Rounding the centre of mass may place it one pixel beside where it was.
    expect(Math.abs(moved.left - left), `image ${n}`).toBeLessThanOrEqual(1);
    expect(Math.abs(moved.top - top), `image ${n}`).toBeLessThanOrEqual(1);
    const cut = (from: Uint8Array, x: number, y: number) =>
      Array.from({ length: (right - left) * (bottom - top) }, (_, i) => {
        const row = Math.floor(i / (right - left));
        return from[(y + row) * imageSize + x + (i % (right - left))];
      });
    expect(cut(result, moved.left, moved.top), `image ${n}`).toEqual(cut(strong, left, top));
    compared++;
  }
  expect(compared).toBeGreaterThan(40);
});
