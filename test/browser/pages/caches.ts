/** In a page or a worker: files of a server through the browser's cache. */
import { hub } from "../../../src/hub/index.js";

export interface FetchOptions {
  readonly endpoint: string;
  readonly path: string;
  /** Bytes at which the download is ended. */
  readonly stopAt?: number;
  /** Whether the file is read as a whole, in pieces, afterwards. Default true. */
  readonly read?: boolean;
}

export interface Fetched {
  /** Of what was read. */
  readonly digest: string | null;
  readonly error: string | null;
  readonly warnings: readonly string[];
  /** Bytes that were there when the download began. */
  readonly resumedAt: number;
}

const pieceBytes = 3 * 2 ** 20 + 17;

export async function fetchThrough({ endpoint, path, stopAt, read = true }: FetchOptions): Promise<Fetched> {
  const source = hub("org/model", { endpoint });
  const controller = new AbortController();
  const warnings: string[] = [];
  const { warn } = console;
  console.warn = (message: string) => warnings.push(message);
  let resumedAt = -1;
  const facts = () => ({ warnings, resumedAt });
  try {
    await source.prepare!(path, {
      signal: controller.signal,
      onProgress({ status, loaded }) {
        if (status === "download" && resumedAt < 0) resumedAt = loaded;
        if (status === "progress" && stopAt !== undefined && loaded >= stopAt) {
          controller.abort(new Error("enough"));
        }
      },
    });
    if (!read) return { digest: null, error: null, ...facts() };
    const size = await source.size(path);
    const whole = new Uint8Array(size);
    for (let start = 0; start < size; start += pieceBytes) {
      const end = Math.min(size, start + pieceBytes);
      whole.set(await source.read(path, { start, end }), start);
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return { digest: hex, error: null, ...facts() };
  } catch (error) {
    return { digest: null, error: `${(error as Error).name}: ${(error as Error).message}`, ...facts() };
  } finally {
    console.warn = warn;
  }
}

export async function clearStored(): Promise<void> {
  for (const name of await caches.keys()) await caches.delete(name);
  const root = await navigator.storage.getDirectory();
  await root.removeEntry("wattgrad", { recursive: true }).catch(() => {});
}
