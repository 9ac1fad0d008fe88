/**
 * The names of weights in files against those of a module's state dict. The rules are data: each family lists where its files
 * differ from its module.
 */
import { newArray, type TypedArray } from "../core/dtype.js";
import type { HostTensor, StoredTensor } from "../formats/host.js";

/** Rules that map the names in weight files to a module's state dict. */
export interface NameRules {
  /** What a file's names may lack or have in front: `transformer.` of `transformer.wte.weight`. */
  readonly prefixes?: readonly string[];
  /** Keys of files that are left out: masks and tables that the module computes. */
  readonly ignore?: readonly RegExp[];
  /** Old spellings and what replaces them, tried in turn, all of them. */
  readonly rename?: readonly (readonly [pattern: RegExp, replacement: string])[];
  /** Matrices that files have as [in, out] and the module as [out, in]. Tested on the module's names. */
  readonly transpose?: readonly RegExp[];
}

/** A tensor of a file. */
export type FileTensor = HostTensor | StoredTensor;

/** The tensors of a file under the names of a module. */
export interface NamedTensors {
  readonly tensors: Map<string, FileTensor>;
  /** Keys of the file that the rules leave out. */
  readonly ignored: readonly string[];
}

/**
 * Renames the tensors of a file for a module with the keys `wanted`. A key that fits no name of the module keeps its own.
 */
export function renamed(
  file: ReadonlyMap<string, FileTensor>,
  wanted: ReadonlySet<string>,
  { prefixes = [], ignore = [], rename = [], transpose = [] }: NameRules,
): NamedTensors {
  const tensors = new Map<string, FileTensor>();
  const ignored: string[] = [];
  for (const [key, value] of file) {
    if (ignore.some((pattern) => pattern.test(key))) {
      ignored.push(key);
      continue;
    }
    let name = key;
    for (const [pattern, replacement] of rename) name = name.replace(pattern, replacement);
    name = spellings(name, prefixes).find((spelling) => wanted.has(spelling)) ?? name;
    tensors.set(name, transpose.some((pattern) => pattern.test(name)) ? transposed(value) : value);
  }
  return { tensors, ignored };
}

/** The name itself, with each prefix, and without. */
function spellings(name: string, prefixes: readonly string[]): string[] {
  const without = prefixes
    .filter((prefix) => name.startsWith(prefix))
    .map((prefix) => name.slice(prefix.length));
  return [name, ...prefixes.map((prefix) => prefix + name), ...without];
}

/** A matrix of a file, transposed while it is read: it is in memory as a whole, twice. */
function transposed(value: FileTensor): StoredTensor {
  const [rows, columns] = value.shape;
  const data = async () => {
    const given = ArrayBuffer.isView(value.data) ? value.data : await (value as StoredTensor).data();
    return transposedValues(given, rows, columns, value.dtype);
  };
  return {
    dtype: value.dtype,
    shape: [columns, rows],
    data,
    async *pieces() {
      yield await data();
    },
  };
}

/** [rows, columns] → [columns, rows]. */
export function transposedValues(
  values: TypedArray,
  rows: number,
  columns: number,
  dtype: HostTensor["dtype"],
): TypedArray {
  const result = newArray(dtype, rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = values[i * columns + j];
  }
  return result;
}

/** A tensor as a state dict has it, and as a file is to have it. */
interface Readable {
  readonly dtype: HostTensor["dtype"];
  readonly shape: readonly number[];
  data(): Promise<TypedArray>;
}

/**
 * A model's tensors in the layout of files, for `saveSafetensors`: a tied tensor once, matrices that files have as [in, out] transposed.
 */
export function inFileLayout(
  state: ReadonlyMap<string, Readable>,
  { transpose = [] }: NameRules,
): Map<string, Readable> {
  const result = new Map<string, Readable>();
  const seen = new Set<Readable>();
  for (const [name, tensor] of state) {
    if (seen.has(tensor)) continue;
    seen.add(tensor);
    if (!transpose.some((pattern) => pattern.test(name))) {
      result.set(name, tensor);
      continue;
    }
    const { dtype, shape } = tensor;
    const data = async () => transposedValues(await tensor.data(), shape[0], shape[1], dtype);
    result.set(name, { dtype, shape: [shape[1], shape[0]], data });
  }
  return result;
}
