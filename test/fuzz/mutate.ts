/** Damages inputs: as random bytes, and as JSON with changed fields. */

/** mulberry32: numbers in 0..1 by a seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Random = () => number;

const below = (random: Random, n: number) => Math.floor(random() * n);
const oneOf = <T>(random: Random, values: readonly T[]): T => values[below(random, values.length)];

const bytesOf = (text: string) => [...new TextEncoder().encode(text)];
const tokens = [
  '"__proto__":',
  '"constructor":',
  '"__metadata__":{',
  "1e999",
  "-1",
  "9007199254740993",
  "18446744073709551615",
  "NaN",
  "null",
  "[]",
  "{}",
  '""',
  "\\u0000",
  "\\ud800",
  "\u202e",
  "\u{1f600}",
  ",",
  ":",
  '"',
  "[",
  "{",
  "]",
  "}",
].map(bytesOf);
const bytes = [0, 1, 0x1f, 0x8b, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x7b];

/** Bytes of one change; more arguments than an engine takes would not be the readers' fault. */
const longest = 4096;

/** One to four changes of a copy. */
export function mutateBytes(seed: Uint8Array, random: Random): Uint8Array {
  let data = [...seed];
  for (let changes = 1 + below(random, 4); changes > 0; changes--) {
    const at = below(random, data.length + 1);
    const length = 1 + below(random, random() < 0.9 ? 8 : Math.min(longest, Math.max(1, data.length)));
    switch (below(random, 9)) {
      case 0:
        data = data.slice(0, at);
        break;
      case 1:
        if (at < data.length) data[at] ^= 1 << below(random, 8);
        break;
      case 2:
        data[at] = oneOf(random, bytes);
        break;
      case 3:
        data.splice(at, 0, ...data.slice(at, at + length));
        break;
      case 4:
        data.splice(at, length);
        break;
      case 5:
        data.splice(at, 0, ...Array.from({ length }, () => below(random, 256)));
        break;
      case 6:
        data.splice(at, random() < 0.5 ? length : 0, ...oneOf(random, tokens));
        break;
      case 7: {
        // A length or an extent, at a multiple of four as these mostly are.
        const word = oneOf(random, [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, data.length, data.length + 1]);
        const order = random() < 0.5 ? [0, 1, 2, 3] : [3, 2, 1, 0];
        order.forEach((shift, i) => {
          data[(at & ~3) + i] = (word >>> (8 * shift)) & 255;
        });
        break;
      }
      default:
        if (random() < 0.01) {
          const nested = bytesOf(oneOf(random, ["[", '{"a":', '"parts":[{']).repeat(20_000));
          data = [...data.slice(0, at), ...nested, ...data.slice(at)];
        } else data.reverse();
    }
  }
  return Uint8Array.from(data, (byte) => byte ?? 0);
}

const values: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e308,
  -0,
  2 ** 53,
  2 ** 31,
  2 ** 32,
  "",
  "NaN",
  "Infinity",
  "\u0000\u001b[2J",
  "\ud800",
  "x".repeat(3000),
  [],
  {},
  [[]],
  [null],
  { length: 3 },
  { toString: 1 },
  { toJSON: {} },
];
/** Not deeper than JSON.stringify can write. */
const nested = (): unknown => JSON.parse("[".repeat(1000) + "]".repeat(1000));
const keys = ["__proto__", "constructor", "toString", "length", "", "\u202e", "0"];

/** One to three members, anywhere inside, are replaced, removed, doubled or joined by others. */
export function mutateJson(seed: unknown, random: Random): unknown {
  const root = { value: structuredClone(seed) };
  for (let changes = 1 + below(random, 3); changes > 0; changes--) {
    let at: Record<string, unknown> = root;
    let key = "value";
    while (random() < 0.85) {
      const inner = at[key];
      if (typeof inner !== "object" || inner === null) break;
      const names = Object.keys(inner);
      if (names.length === 0) break;
      at = inner as Record<string, unknown>;
      key = oneOf(random, names);
    }
    const value = random() < 0.002 ? nested() : structuredClone(oneOf(random, values));
    const choice = random();
    if (choice < 0.6) at[key] = value;
    else if (choice < 0.75) delete at[key];
    else if (Array.isArray(at)) at.push(structuredClone(at[Number(key)]));
    // Own members of these names, as JSON.parse makes them.
    else
      Object.defineProperty(at, oneOf(random, keys), {
        value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return root.value;
}
