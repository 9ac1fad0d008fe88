/** Small data sets in MNIST's file format, optionally with faults. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface ImageSet {
  readonly count?: number;
  readonly size?: number;
  /** Of image i; default i % 10. */
  readonly label?: (i: number) => number;
}

/** An IDX file of unsigned bytes. */
export function idx(shape: readonly number[], data: Uint8Array): Uint8Array {
  const header = new Uint8Array(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  const view = new DataView(header.buffer);
  shape.forEach((extent, i) => {
    view.setUint32(4 + 4 * i, extent);
  });
  return Buffer.concat([header, data]);
}

/** Writes the four files; each class is bright in one of ten regions, so that there is something to learn. */
export async function writeImages(directory: string, options: ImageSet = {}): Promise<void> {
  const { count = 96, size = 28, label = (i: number) => i % 10 } = options;
  const labels = Uint8Array.from({ length: count }, (_, i) => label(i));
  const images = new Uint8Array(count * size * size);
  let at = 0;
  for (const digit of labels) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const region = Math.floor((5 * x) / size) + 5 * Math.floor((2 * y) / size);
        images[at] = (region === digit ? 128 : 0) + ((at * 37) % 97);
        at++;
      }
    }
  }
  await mkdir(directory, { recursive: true });
  for (const stem of ["train", "t10k"]) {
    await writeFile(join(directory, `${stem}-images-idx3-ubyte`), idx([count, size, size], images));
    await writeFile(join(directory, `${stem}-labels-idx1-ubyte`), idx([count], labels));
  }
}
