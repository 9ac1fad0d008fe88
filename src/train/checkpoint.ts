/**
 * Checkpoints: everything a training run needs to go on as if it had never stopped, in one safetensors file.
 * Tensors keep every bit (float64 of the reference device as its bytes); numbers are JSON doubles, which round-trip.
 * Files are written atomically and the newest two are kept. Node only.
 */
import { FileError, nodeFiles, readFile, reasonOf } from "../formats/file.js";
import { type HostTensor, readSafetensors, writeFileAtomic, writeSafetensors } from "../formats/index.js";
import { FormatError } from "../tensor/errors.js";

/** What is saved: named tensors as the device holds them, and plain data. */
export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, HostTensor>;
  readonly state: unknown;
}

/** Two: should the newest turn out to be damaged, there is one more. */
const kept = 2;
const format = "wattgrad-checkpoint-1";
const fileName = /^step-(\d+)\.safetensors$/;
/** Temporary files of formats/atomic.ts; a checkpoint directory belongs to one run, which writes one at a time. */
const leftover = /^\.step-\d+\.safetensors\..*\.tmp$/;
/** Bytes of a float64 element, the last extent under which one is stored as uint8. */
const float64Bytes = 8;

/** Writes `directory/step-<step>.safetensors` and removes all but the newest two. Returns the file's path. */
export async function writeCheckpoint(
  directory: string,
  step: number,
  { tensors, state }: Checkpoint,
): Promise<string> {
  await makeDirectory(directory);
  const float64: string[] = [];
  const stored = [...tensors].map(([name, tensor]): [string, HostTensor] => {
    if (!(tensor.data instanceof Float64Array)) return [name, tensor];
    float64.push(name);
    const { buffer, byteOffset, byteLength } = tensor.data;
    const data = new Uint8Array(buffer, byteOffset, byteLength);
    return [name, { dtype: "uint8", shape: [...tensor.shape, float64Bytes], data }];
  });
  const bytes = writeSafetensors(stored, {
    format,
    state: JSON.stringify(state),
    float64: JSON.stringify(float64),
  });
  const { fs, path: paths } = nodeFiles("checkpoint");
  const path = paths.join(directory, `step-${String(step).padStart(9, "0")}.safetensors`);
  await writeFileAtomic(path, bytes);
  for (const { path: old } of (await listCheckpoints(directory)).slice(kept)) {
    await fs.promises.rm(old, { force: true });
  }
  // What an earlier run left when it was killed while writing.
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
      return { ...decode(await readFile(path, "checkpoint")), path, skipped };
    } catch (error) {
      skipped.push({ path, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  if (skipped.length === 0) return undefined;
  const reasons = skipped.map(({ path, reason }) => `${path}: ${reason}`).join("; ");
  throw new FormatError(`no valid checkpoint in ${directory}: ${reasons}`, { op: "checkpoint" });
}

function decode(bytes: Uint8Array): Checkpoint {
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata.format !== format) throw new FormatError("not a checkpoint", { op: "checkpoint" });
  for (const name of JSON.parse(metadata.float64) as string[]) {
    const { shape, data } = tensors.get(name)!;
    tensors.set(name, {
      dtype: "float32",
      shape: shape.slice(0, -1),
      data: new Float64Array(data.buffer as ArrayBuffer, data.byteOffset, data.length / float64Bytes),
    });
  }
  return { tensors, state: JSON.parse(metadata.state) };
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

async function makeDirectory(directory: string): Promise<void> {
  const { fs } = nodeFiles("checkpoint");
  try {
    await fs.promises.mkdir(directory, { recursive: true });
  } catch (error) {
    throw new FileError(`cannot create ${directory}: ${reasonOf(error)}`, { op: "checkpoint", cause: error });
  }
}
