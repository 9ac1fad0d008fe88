/** `wattgrad/formats`: files to and from host memory, by parsers that trust nothing. */

export { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from "../core/half.js";
export { writeFileAtomic } from "./atomic.js";
export { FileError } from "./file.js";
export type { HostTensor } from "./host.js";
export { type IdxOptions, readIdx } from "./idx.js";
export {
  type FloatType,
  readSafetensors,
  type Safetensors,
  type WriteOptions,
  writeSafetensors,
} from "./safetensors.js";
export { CharTokenizer } from "./text.js";
