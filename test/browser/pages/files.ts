/** In a page: files behind URLs and chosen by a user, read in parts. */
import { openSafetensors, openSource, saveSafetensors } from "../../../src/formats/index.js";
import { Linear } from "../../../src/nn/index.js";
import { openMeta } from "../../../src/quantization/index.js";
import { type DeviceLabel, deviceOf } from "./devices.js";

/** What differs between a file read by ranges and as a whole; and how many requests the ranges took. */
export async function readByRanges(
  url: string,
): Promise<{ wrong: string[]; requests: number; size: number }> {
  const whole = new Uint8Array(await (await fetch(url)).arrayBuffer());
  let requests = 0;
  const { fetch: real } = globalThis;
  globalThis.fetch = (...args) => {
    requests++;
    return real(...args);
  };
  const wrong: string[] = [];
  try {
    const source = await openSource(url);
    if (source.size !== whole.length) wrong.push(`${source.size} bytes, not ${whole.length}`);
    for (const [offset, length] of [
      [0, 8],
      [100_000, whole.length - 100_007],
      [whole.length - 5, 5],
    ]) {
      const part = await source.read(offset, length);
      const differs = part.some((byte, i) => byte !== whole[offset + i]);
      if (part.length !== length || differs) wrong.push(`${offset} + ${length} differ`);
    }
  } finally {
    globalThis.fetch = real;
  }
  return { wrong, requests, size: whole.length };
}

/** A layer's weights through a stream into a File, and from there onto a device: the numbers that arrive. */
export async function throughFile(
  label: DeviceLabel,
): Promise<{ name: string; stored: string; values: number[] }[]> {
  const device = await deviceOf(label);
  const state = new Map([
    [
      "weight",
      { dtype: "float32", shape: [3, 5], data: Float32Array.from({ length: 15 }, (_, i) => i / 4) } as const,
    ],
    ["bias", { dtype: "float32", shape: [3], data: Float32Array.of(-1, 0.5, 2) } as const],
  ]);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const saving = saveSafetensors(writable, state, {}, { floatType: "F16" });
  const contents = await new Response(readable as ReadableStream<Uint8Array<ArrayBuffer>>).blob();
  await saving;
  const file = await openSafetensors(new File([contents], "layer.safetensors"));
  const layer = new Linear(5, 3, { device: openMeta() });
  await layer.loadStateDict(file.tensors, { assign: device });
  const found = [];
  for (const [name, tensor] of layer.stateDict()) {
    found.push({ name, stored: file.tensors.get(name)!.stored, values: [...(await tensor.data())] });
  }
  layer.dispose();
  return found;
}
