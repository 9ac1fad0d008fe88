/** What the stores of a browser share. */
import type { ByteSource } from "../formats/byte_source.js";
import type { PartialFile } from "./cache.js";

/** Where files are stored; one at a time writes a file. */
export interface WebStore {
  find(key: string, size: number): Promise<ByteSource | undefined>;
  /** What is there of a file, to be written. @throws NoCacheError */
  open(key: string): Promise<PartialFile>;
}

/** Name of the Cache that holds notes and parts of files, and of the folder with whole files. */
export const cacheName = "wattgrad";

/** The Cache API has URLs for keys; nothing is fetched from this one. */
export function addressOf(key: string, part = ""): string {
  return `https://wattgrad.invalid/${key.split("/").map(encodeURIComponent).join("/")}${part && `?${part}`}`;
}
