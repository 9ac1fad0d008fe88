/** `wattgrad/hub`: the files of models, by name and range, from a folder, a user, a URL or the Hugging Face Hub. */

export { ChecksumError, DownloadError } from "./errors.js";
export { type FilesInput, files } from "./files.js";
export { folder } from "./folder.js";
export { type HubOptions, hub } from "./hub.js";
export { modelSource } from "./named.js";
export {
  type ByteRange,
  type FileProgress,
  type FileSource,
  openFileOf,
  type PrepareOptions,
  type ProgressEvent,
} from "./source.js";
export { type RemoteOptions, type UrlOptions, url } from "./url.js";
