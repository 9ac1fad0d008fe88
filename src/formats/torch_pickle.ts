/** What PyTorch's pickles may name, and the tensors that come of it. */
import { quote } from "./excerpt.js";
import { PickleGlobal, type PickleOptions, type PickleValue, readPickle } from "./pickle.js";

/** Types of storages by the name of their class, as safetensors names them. */
const storageTypes: Readonly<Record<string, string>> = {
  "torch.FloatStorage": "F32",
  "torch.DoubleStorage": "F64",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
};

/** Memory that tensors are views of. */
export class TorchStorage {
  constructor(
    readonly key: string,
    readonly stored: string,
    readonly elements: number,
    /** Elements in front of it, of a storage that is a part of another. */
    readonly offset: number,
  ) {}
}

/** A view of a storage, in elements. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** Values that a file of weights may hold beside tensors, and of which nothing is needed. */
const opaque = /^torch\.(?:device|Size|(?:b?float|u?int|complex|q?u?int)\d+|bool|strided|float8_\w+)$/;
const callable = [
  "collections.OrderedDict",
  "torch._utils._rebuild_tensor",
  "torch._utils._rebuild_tensor_v2",
  "torch._utils._rebuild_parameter",
];

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) &&
  value.length <= 64 &&
  value.every((each) => Number.isSafeInteger(each) && each >= 0);

/** Reads the pickle at `start`. `fail` and `ended` throw. */
export function readTorchPickle(
  bytes: Uint8Array,
  start: number,
  { fail, ended }: Pick<PickleOptions, "fail" | "ended">,
): { value: PickleValue; end: number } {
  return readPickle(bytes, start, {
    fail,
    ended,
    allow(name) {
      if (callable.includes(name) || Object.hasOwn(storageTypes, name) || opaque.test(name)) return;
      fail(`it asks for ${quote(name)}; only tensors are read. Save model.state_dict() alone`);
    },
    call: (name, args) => call(name, args, fail),
    persistent: (id) => storageOf(id, fail),
  });
}

function call(name: string, args: readonly PickleValue[], fail: (reason: string) => never): PickleValue {
  if (name === "collections.OrderedDict") {
    // Protocol 0 gives the items as a list of pairs.
    const [items = []] = args;
    if (!Array.isArray(items) || !items.every(Array.isArray)) return fail("an OrderedDict is damaged");
    return new Map(
      items.map((pair) => [(pair as PickleValue[])[0] ?? null, (pair as PickleValue[])[1] ?? null]),
    );
  }
  if (name === "torch._utils._rebuild_parameter") {
    return args[0] instanceof TorchTensor ? args[0] : fail("a parameter without a tensor");
  }
  if (name.startsWith("torch._utils._rebuild_tensor")) {
    const [storage, offset, shape, strides] = args;
    const isTensor =
      storage instanceof TorchStorage && isCounts([offset]) && isCounts(shape) && isCounts(strides);
    if (!isTensor || shape.length !== strides.length) return fail("a tensor is damaged");
    return new TorchTensor(storage, Number(offset), shape, strides);
  }
  // A dtype, a device or a shape.
  return new PickleGlobal(name);
}

/** `("storage", class, key, device, elements)`, in old files with `(key, offset, elements)` of the part that it is. */
function storageOf(id: PickleValue, fail: (reason: string) => never): TorchStorage {
  if (!Array.isArray(id)) return fail("a storage is damaged");
  const [kind, type, key, , elements, part] = id;
  const isStorage =
    kind === "storage" && type instanceof PickleGlobal && typeof key === "string" && isCounts([elements]);
  if (!isStorage) return fail("a storage is damaged");
  const stored = Object.hasOwn(storageTypes, type.name)
    ? storageTypes[type.name]
    : fail(`a storage of ${type.name}`);
  const [offset, size] = Array.isArray(part) ? part.slice(1) : [0, elements];
  if (!isCounts([offset, size])) return fail("a storage is damaged");
  return new TorchStorage(key, stored, Number(size), Number(offset));
}
