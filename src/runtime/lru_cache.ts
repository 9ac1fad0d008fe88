/** A map with bounds of count and bytes; the least recently used entries are evicted. */

export interface CacheEntry {
  readonly bytes: number;
  /** Set by the cache: the number of the entry's last use. */
  used: number;
}

export class LruCache<E extends CacheEntry> {
  readonly #entries = new Map<string, E>();
  readonly #maxCount: number;
  readonly #maxBytes: number;
  readonly #evicted: ((entry: E) => void) | undefined;
  #bytes = 0;
  #uses = 0;

  /** @param evicted is called with every entry that is removed or replaced. */
  constructor(maxCount: number, maxBytes: number, evicted?: (entry: E) => void) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
    this.#evicted = evicted;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): E | undefined {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.touch(entry);
    return entry;
  }

  /** Marks an entry as used now. A number instead of an order, so that a replay costs one store. */
  touch(entry: E): void {
    entry.used = ++this.#uses;
  }

  /** Adds or replaces an entry. It is not evicted by this call, even if it exceeds the bounds alone. */
  set(key: string, entry: E): void {
    this.delete(key);
    this.touch(entry);
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    while (this.#entries.size > 1 && (this.#entries.size > this.#maxCount || this.#bytes > this.#maxBytes)) {
      this.delete(this.#oldest());
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
    this.#evicted?.(entry);
  }

  clear(): void {
    for (const key of this.#entries.keys()) this.delete(key);
  }

  #oldest(): string {
    let oldest = "";
    let least = Number.POSITIVE_INFINITY;
    for (const [key, { used }] of this.#entries) {
      if (used >= least) continue;
      least = used;
      oldest = key;
    }
    return oldest;
  }
}
