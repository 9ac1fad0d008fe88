/** Labelled images on their way into a page: as one safetensors file. */

import { FormatError } from "../core/errors.js";
import type { Mnist } from "../data/index.js";
import { readSafetensors, writeSafetensors } from "../formats/index.js";

export function packImages({ images, labels }: Mnist): Uint8Array {
  return writeSafetensors(new Map(Object.entries({ images, labels })));
}

/** @throws FormatError if `packImages` did not make it. */
export function unpackImages(bytes: Uint8Array): Mnist {
  const { tensors } = readSafetensors(bytes);
  const [images, labels] = [tensors.get("images"), tensors.get("labels")];
  if (images === undefined || labels === undefined) throw new FormatError("there are no images with labels");
  return { images, labels };
}
