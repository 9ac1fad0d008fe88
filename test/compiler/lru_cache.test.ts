/** The cache of Programs and recordings: which entries are evicted, and in which order. */
import { describe, expect, it } from "vitest";
import { type CacheEntry, LruCache } from "../../src/runtime/lru_cache.js";

interface Named extends CacheEntry {
  readonly name: string;
}

function cacheOf(maxCount: number, maxBytes: number) {
  const evicted: string[] = [];
  const cache = new LruCache<Named>(maxCount, maxBytes, ({ name }) => evicted.push(name));
  const add = (name: string, bytes = 1) => {
    const entry = { name, bytes, used: 0 };
    cache.set(name, entry);
    return entry;
  };
  return { cache, evicted, add };
}

describe("LruCache", () => {
  it("evicts the least recently used: by get, by touch, by set", () => {
    const { cache, evicted, add } = cacheOf(3, 100);
    const a = add("a");
    add("b");
    add("c");
    cache.touch(a);
    expect(cache.get("b")!.name).toBe("b");
    add("d");
    expect(evicted).toEqual(["c"]);
    add("e");
    expect(evicted).toEqual(["c", "a"]);
    expect([cache.get("a"), cache.get("b")?.name, cache.size]).toEqual([undefined, "b", 3]);
  });

  it("is bounded by bytes, and the newest entry stays however large it is", () => {
    const { cache, evicted, add } = cacheOf(10, 100);
    add("a", 40);
    add("b", 40);
    add("c", 30);
    expect(evicted).toEqual(["a"]);
    add("huge", 1000);
    expect(evicted).toEqual(["a", "b", "c"]);
    add("d", 60);
    expect(evicted).toEqual(["a", "b", "c", "huge"]);
    add("e", 40);
    expect(cache.size).toBe(2);
  });

  it("a replaced entry counts once", () => {
    const { cache, evicted, add } = cacheOf(10, 100);
    for (let i = 0; i < 5; i++) add("a", 60);
    expect([cache.size, evicted.length]).toEqual([1, 4]);
    add("b", 40);
    expect(cache.size).toBe(2);
    cache.clear();
    expect([cache.size, evicted.length]).toEqual([0, 6]);
    add("c", 100);
    expect(cache.size).toBe(1);
  });
});
