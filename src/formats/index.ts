/** `wattgrad/formats`: files to and from host memory, by parsers that trust nothing. */

export { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from "../core/half.js";
export { type FileContents, writeFileAtomic } from "./atomic.js";
export type { ByteSource } from "./byte_source.js";
export { FileError } from "./file.js";
export type { FileHandleLike } from "./file_source.js";
export { type GgufEntry, type GgufFile, openGguf } from "./gguf.js";
export type { GgufValue } from "./gguf_header.js";
export { undoRotaryPermutation } from "./gguf_rotary.js";
export type { HostTensor, StoredTensor } from "./host.js";
export { type IdxOptions, readIdx } from "./idx.js";
export { type NpzEntry, type NpzFile, openNpz } from "./npz.js";
export { readSafetensors, type Safetensors } from "./safetensors.js";
export {
  type OpenOptions,
  openSafetensors,
  type SafetensorsEntry,
  type SafetensorsFile,
} from "./safetensors_file.js";
export {
  type FloatType,
  type ReadableTensor,
  saveSafetensors,
  type WriteOptions,
  writeSafetensors,
} from "./safetensors_write.js";
export { openSource, type SourceInput, type SourceOptions } from "./source.js";
export { CharTokenizer } from "./text.js";
export { openTorch, type TorchEntry, type TorchFile, type TorchOptions } from "./torch.js";
