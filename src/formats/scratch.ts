/**
 * Memory for pieces of tensors that is used again: a model has hundreds of tensors, whose pieces would wait for the garbage collector
 * beside the weights that are on the device already.
 */

/** Weak: what nobody asks for goes with the next collection. */
let spare: WeakRef<ArrayBuffer>[] = [];

/** At least `bytes`; the contents are arbitrary. */
export function takeScratch(bytes: number): ArrayBuffer {
  for (const reference of spare) {
    const buffer = reference.deref();
    if (buffer === undefined || buffer.byteLength < bytes) continue;
    spare = spare.filter((other) => other !== reference);
    return buffer;
  }
  return new ArrayBuffer(bytes);
}

/** Gives memory back that nothing reads any more. */
export function giveScratch(buffer: ArrayBuffer): void {
  spare = spare.filter((reference) => reference.deref() !== undefined);
  spare.push(new WeakRef(buffer));
}
