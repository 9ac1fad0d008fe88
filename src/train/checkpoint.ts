/**
 * Checkpoints: everything a training run needs to go on as if it had never stopped, in one safetensors file.
 * Tensors keep every bit (float64 of the reference device as its bytes); numbers are JSON doubles, which round-trip.
 * A digest finds bits that the disk has lost. Files are written atomically and the newest two are kept. Node only.
 */

import { FormatError, WattgradError } from "../core/errors.js";
import { excerpt } from "../formats/excerpt.js";
import { FileError, makeDirectory, nodeFiles, reasonOf } from "../formats/file.js";
import { type HostTensor, openSafetensors, type Safetensors, saveSafetensors } from "../formats/index.js";
import { stringifyState } from "./checkpoint_state.js";

/** The contents of a checkpoint: named tensors in the device's precision, and plain data. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, HostTensor>;
  readonly state: unknown;
}

/** Two: should the newest turn out to be damaged, there is one more. */
const keptCheckpoints = 2;
const format = "wattgrad-checkpoint-1";
const fileName = /^step-(\d+)\.safetensors$/;
/** Temporary files of formats/atomic.ts; a run locks its directory, and writes one at a time. */
const leftover = /^\.step-\d+\.safetensors\..*\.tmp$/;
/** Bytes of a float64 element, the last extent under which one is stored as uint8. */
const float64Bytes = 8;

/** Writes `directory/step-<step>.safetensors` and removes all but the newest two. Returns the file's path. */
export async function writeCheckpoint(
  directory: string,
  step: number,
  { tensors, state }: Checkpoint,
): Promise<string> {
  await makeDirectory(directory, "checkpoint");
  const float64: string[] = [];
  const stored = [...tensors].map(([name, tensor]): [string, HostTensor] => {
    if (!(tensor.data instanceof Float64Array)) return [name, tensor];
    float64.push(name);
    const { buffer, byteOffset, byteLength } = tensor.data;
    const data = new Uint8Array(buffer, byteOffset, byteLength);
    return [name, { dtype: "uint8", shape: [...tensor.shape, float64Bytes], data }];
  });
  const texts = { format, state: stringifyState(state), float64: JSON.stringify(float64) };
  const { fs, path: paths } = nodeFiles("checkpoint");
  const path = paths.join(directory, `step-${String(step).padStart(9, "0")}.safetensors`);
  await saveSafetensors(path, stored, { ...texts, sha256: digest(stored, texts) });
  for (const { path: old } of (await listCheckpoints(directory)).slice(keptCheckpoints)) {
    await fs.promises.rm(old, { force: true });
  }
  // Temporary files of an earlier run that was killed while writing.
  for (const name of await fs.promises.readdir(directory)) {
    if (leftover.test(name)) await fs.promises.rm(paths.join(directory, name), { force: true });
  }
  return path;
}

/** A checkpoint that was found, and the damaged newer ones that were passed over. */
export interface FoundCheckpoint extends Checkpoint {
  readonly path: string;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/**
 * The newest valid checkpoint of a directory, undefined if it has none at all. Temporary files of interrupted writes
 * are never considered.
 *
 * @throws FormatError if there are checkpoints but none is valid.
 */
export async function readNewestCheckpoint(directory: string): Promise<FoundCheckpoint | undefined> {
  const skipped: { path: string; reason: string }[] = [];
  for (const { path } of await listCheckpoints(directory)) {
    try {
      return { ...decode(await readTensors(path)), path, skipped };
    } catch (error) {
      if (!(error instanceof WattgradError)) throw error;
      skipped.push({ path, reason: error.message });
    }
  }
  if (skipped.length === 0) return undefined;
  const reasons = skipped.map(({ path, reason }) => `${path}: ${reason}`).join("; ");
  throw new FormatError(`no valid checkpoint in ${directory}: ${reasons}`, { op: "checkpoint" });
}

/** The contents of a file, of which memory holds no copy besides. */
async function readTensors(path: string): Promise<Safetensors> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, HostTensor>();
    for (const name of file.tensors.keys()) tensors.set(name, await file.tensor(name));
    return { tensors, metadata: file.metadata };
  } finally {
    await file.close();
  }
}

/** @throws FormatError if the file is not a checkpoint or is damaged. */
export function decode({ tensors, metadata }: Safetensors): Checkpoint {
  const { sha256, format: found, state, float64 } = metadata;
  const fail = (reason: string): never => {
    throw new FormatError(reason, { op: "checkpoint" });
  };
  if (found !== format || state === undefined || float64 === undefined) return fail("not a checkpoint");
  if (sha256 !== digest(tensors, { format, state, float64 })) {
    return fail("it is damaged, its digest does not match");
  }
  const names = parseJson(float64);
  if (!Array.isArray(names)) return fail("the list of float64 tensors is no list");
  for (const name of names) {
    const stored = tensors.get(name);
    if (stored?.dtype !== "uint8" || stored.shape.at(-1) !== float64Bytes) {
      return fail(`${excerpt(name)} is no tensor with the bytes of float64`);
    }
    const data = new Float64Array(stored.data.slice().buffer as ArrayBuffer);
    tensors.set(name, { dtype: "float32", shape: stored.shape.slice(0, -1), data });
  }
  return { tensors, state: parseJson(state) };
}

/** The metadata that the digest covers. */
interface Texts {
  readonly format: string;
  readonly state: string;
  readonly float64: string;
}

/** SHA-256 over the metadata and over each tensor's name, dtype, shape and bytes, ordered by name. */
function digest(tensors: Iterable<readonly [string, HostTensor]>, { format, state, float64 }: Texts): string {
  const hash = globalThis.process.getBuiltinModule("node:crypto").createHash("sha256");
  hash.update(JSON.stringify([format, state, float64]));
  for (const [name, { dtype, shape, data }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(JSON.stringify([name, dtype, shape]));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError("its state is not JSON", { op: "checkpoint", cause: error });
  }
}

/** Newest first; none if the directory does not exist. */
export async function listCheckpoints(directory: string): Promise<{ path: string; step: number }[]> {
  const { fs, path: paths } = nodeFiles("checkpoint");
  const names = await fs.promises.readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new FileError(`cannot read ${directory}: ${reasonOf(error)}`, { op: "checkpoint", cause: error });
  });
  return names
    .flatMap((name) => {
      const match = fileName.exec(name);
      return match === null ? [] : [{ path: paths.join(directory, name), step: Number(match[1]) }];
    })
    .sort((a, b) => b.step - a.step);
}
