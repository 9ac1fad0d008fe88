/** The cache of this platform. */
import { ArgumentError } from "../core/errors.js";
import type { FileCache } from "./cache.js";
import { defaultDirectory, nodeCache } from "./cache_node.js";
import { webCache } from "./cache_web.js";

/** @throws ArgumentError for a folder where there is no file system. */
export function cacheOf(option: boolean | string | undefined): FileCache | undefined {
  if (option === false) return undefined;
  if (globalThis.process?.getBuiltinModule !== undefined) {
    return nodeCache(typeof option === "string" ? option : defaultDirectory());
  }
  if (typeof option === "string") {
    throw new ArgumentError("cache is a folder in Node only", {
      op: "cache",
      hint: "true or false in a page",
    });
  }
  // Pages without TLS have none.
  return globalThis.caches === undefined ? undefined : webCache();
}
