/**
 * Files in the Cache API, in parts that a page can hold in memory while it writes them. An index beside the parts has their lengths,
 * and whether they are the whole file. A part is stored before the index that names it.
 */
import type { ByteSource } from "../formats/byte_source.js";
import { FileError, reasonOf } from "../formats/file.js";
import { NoCacheError, type PartialFile } from "./cache.js";
import { addressOf, cacheName, type WebStore } from "./web_store.js";

const op = "hub";
/** Bytes in memory before they become a part: little for a page, and few parts for a file of gigabytes. */
const partBytes = 16 * 2 ** 20;

interface Index {
  readonly lengths: readonly number[];
  readonly isWhole: boolean;
}

/** @throws where the browser has no Cache API, or does not let this page use it. */
export async function filesInParts(): Promise<WebStore> {
  const cache = await globalThis.caches.open(cacheName);

  async function indexOf(key: string): Promise<Index> {
    const found = await cache.match(addressOf(key, "index"));
    return found === undefined ? { lengths: [], isWhole: false } : ((await found.json()) as Index);
  }
  async function put(key: string, part: string, body: Uint8Array | string): Promise<void> {
    await cache.put(addressOf(key, part), new Response(body as BodyInit)).catch((cause: unknown) => {
      throw new NoCacheError(`cannot store ${key}: ${reasonOf(cause)}`, { op, cause });
    });
  }

  return {
    async find(key, size) {
      const { lengths, isWhole } = await indexOf(key);
      return isWhole && sum(lengths) === size ? sourceOf(key, lengths) : undefined;
    },
    async open(key) {
      const { lengths } = await indexOf(key);
      return partOf(key, [...lengths]);
    },
  };

  function sourceOf(key: string, lengths: readonly number[]): ByteSource {
    const size = sum(lengths);
    return {
      name: key,
      size,
      async read(offset, length, signal, into = new Uint8Array(length)) {
        if (offset < 0 || length < 0 || offset + length > size) {
          throw new FileError(`${key} has ${size} bytes, none from ${offset} to ${offset + length}`, { op });
        }
        let start = 0;
        for (const [i, count] of lengths.entries()) {
          const [from, to] = [Math.max(offset, start), Math.min(offset + length, start + count)];
          if (from < to) {
            signal?.throwIfAborted();
            const blob = await (await cache.match(addressOf(key, `part=${i}`)))?.blob();
            if (blob?.size !== count) throw new FileError(`part ${i} of ${key} is gone`, { op });
            const bytes = await blob.slice(from - start, to - start).arrayBuffer();
            into.set(new Uint8Array(bytes), from - offset);
          }
          start += count;
        }
        return into;
      },
      async close() {},
    };
  }

  function partOf(key: string, lengths: number[]): PartialFile {
    let stored = sum(lengths);
    let waiting: Uint8Array | undefined;
    let waits = 0;
    async function store(): Promise<void> {
      if (waiting === undefined || waits === 0) return;
      await put(key, `part=${lengths.length}`, waiting.subarray(0, waits));
      lengths.push(waits);
      stored += waits;
      waits = 0;
      await put(key, "index", JSON.stringify({ lengths, isWhole: false } satisfies Index));
    }
    const part = {
      get length() {
        return stored + waits;
      },
      async read(offset: number, count: number) {
        await store();
        return sourceOf(key, lengths).read(offset, count);
      },
      async append(bytes: Uint8Array) {
        for (let at = 0; at < bytes.length; ) {
          waiting ??= new Uint8Array(partBytes);
          const some = bytes.subarray(at, at + partBytes - waits);
          waiting.set(some, waits);
          waits += some.length;
          at += some.length;
          if (waits === partBytes) await store();
        }
      },
      async restart() {
        await cache.delete(addressOf(key, "index"));
        for (const i of lengths.keys()) await cache.delete(addressOf(key, `part=${i}`));
        lengths.length = 0;
        stored = 0;
        waits = 0;
      },
      async commit() {
        await store();
        waiting = undefined;
        await put(key, "index", JSON.stringify({ lengths, isWhole: true } satisfies Index));
        return sourceOf(key, [...lengths]);
      },
      async release() {
        // Without room for it, the next download begins where the last part ends.
        await store().catch(() => {});
        waiting = undefined;
      },
    };
    return part;
  }
}

function sum(lengths: readonly number[]): number {
  return lengths.reduce((total, length) => total + length, 0);
}
