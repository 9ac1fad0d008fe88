/**
 * Downloaded files in a browser: in the origin's private file system where handles of it can be written at any place, which is in
 * workers; elsewhere in parts in the Cache API. Both are read from everywhere. Of several tabs and workers, one writes a file.
 */
import type { ByteSource } from "../formats/byte_source.js";
import { type FileCache, NoCacheError, type PartialFile } from "./cache.js";
import { filesInSystem } from "./cache_opfs.js";
import { filesInParts } from "./cache_parts.js";
import { addressOf, cacheName, type WebStore } from "./web_store.js";

export function webCache(): FileCache {
  const stores = [filesInSystem, filesInParts];
  const opened = new Map<(typeof stores)[number], Promise<WebStore | undefined>>();
  const open = (store: (typeof stores)[number]) => {
    let opening = opened.get(store);
    if (opening === undefined) {
      // Private windows refuse either.
      opening = store().catch(() => undefined);
      opened.set(store, opening);
    }
    return opening;
  };
  async function find(key: string, size: number): Promise<ByteSource | undefined> {
    for (const store of stores) {
      const file = await (await open(store))?.find(key, size);
      if (file !== undefined) return file;
    }
    return undefined;
  }
  return {
    find,
    async begin(key, size, signal) {
      const unlock = await lock(`${cacheName}/${key}`, signal);
      try {
        // Another tab may have finished it meanwhile.
        const file = await find(key, size);
        if (file !== undefined) {
          unlock();
          return file;
        }
        persist();
        const writing = "createSyncAccessHandle" in (globalThis.FileSystemFileHandle?.prototype ?? {});
        const store = (writing ? await open(filesInSystem) : undefined) ?? (await open(filesInParts));
        if (store === undefined) throw new NoCacheError("this page may store nothing");
        return unlocked(await store.open(key), unlock);
      } catch (error) {
        unlock();
        throw error;
      }
    },
    async note(key) {
      const found = await (await notes())?.match(addressOf(key));
      return found?.text();
    },
    async setNote(key, text) {
      await (await notes())?.put(addressOf(key), new Response(text)).catch(() => {});
    },
  };
}

/** The part, whose owner ends with its commit or release. */
function unlocked(part: PartialFile, unlock: () => void): PartialFile {
  return {
    get length() {
      return part.length;
    },
    read: (offset, length) => part.read(offset, length),
    append: (bytes) => part.append(bytes),
    restart: () => part.restart(),
    async commit() {
      const file = await part.commit();
      unlock();
      return file;
    },
    release: () => part.release().finally(unlock),
  };
}

/** Waits until no other tab or worker has the lock; the browser frees those of tabs that are closed. */
function lock(name: string, signal: AbortSignal | undefined): Promise<() => void> {
  const { locks } = navigator;
  if (locks === undefined) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    const held = () => new Promise<void>((unlock) => resolve(unlock));
    locks.request(name, signal ? { signal } : {}, held).catch(reject);
  });
}

let asked = false;

/** Asks once that the browser does not clear the files when space runs short. Firefox asks its user, who need not answer. */
function persist(): void {
  if (asked) return;
  asked = true;
  // Workers cannot ask.
  navigator.storage?.persist?.().catch(() => {});
}

function notes(): Promise<Cache | undefined> {
  return globalThis.caches?.open(cacheName).catch(() => undefined) ?? Promise.resolve(undefined);
}
