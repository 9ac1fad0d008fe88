/** Patterns of texts in UTF-8. */
import type { Pattern } from "./automaton.js";

/** Code points from the first to the second. */
export type CodeRange = readonly [low: number, high: number];

const lastCodePoint = 0x10ffff;
const encoder = new TextEncoder();

export const nothing: Pattern = (_, from) => from;

export function text(value: string): Pattern {
  const bytes = encoder.encode(value);
  return (nfa, from) => {
    let at = from;
    for (const byte of bytes) {
      const to = nfa.add();
      nfa.edges[at].push({ low: byte, high: byte, to });
      at = to;
    }
    return at;
  };
}

export function sequence(...patterns: readonly Pattern[]): Pattern {
  return (nfa, from) => patterns.reduce((at, pattern) => pattern(nfa, at), from);
}

export function either(...patterns: readonly Pattern[]): Pattern {
  return (nfa, from) => {
    const end = nfa.add();
    for (const pattern of patterns) {
      const start = nfa.add();
      nfa.empty[from].push(start);
      nfa.empty[pattern(nfa, start)].push(end);
    }
    return end;
  };
}

/** From `least` to `most` times; Infinity for any number. */
export function repeat(pattern: Pattern, least: number, most: number): Pattern {
  return (nfa, from) => {
    let at = from;
    for (let i = 0; i < least; i++) at = pattern(nfa, at);
    if (most === Number.POSITIVE_INFINITY) {
      const loop = nfa.add();
      nfa.empty[at].push(loop);
      nfa.empty[pattern(nfa, loop)].push(loop);
      const end = nfa.add();
      nfa.empty[loop].push(end);
      return end;
    }
    const end = nfa.add();
    for (let i = least; i < most; i++) {
      nfa.empty[at].push(end);
      const start = nfa.add();
      nfa.empty[at].push(start);
      at = pattern(nfa, start);
    }
    nfa.empty[at].push(end);
    return end;
  };
}

export const optional = (pattern: Pattern) => repeat(pattern, 0, 1);

/** One character of the ranges. */
export function character(ranges: readonly CodeRange[]): Pattern {
  const byteRanges = ranges.flatMap(([low, high]) => [...utf8Ranges(low, high)]);
  return (nfa, from) => {
    const end = nfa.add();
    for (const bytes of byteRanges) {
      let at = from;
      bytes.forEach(([low, high], i) => {
        const to = i === bytes.length - 1 ? end : nfa.add();
        nfa.edges[at].push({ low, high, to });
        at = to;
      });
    }
    return end;
  };
}

/** Sorted, without overlaps and surrogates, which UTF-8 does not have. */
export function normalized(ranges: readonly CodeRange[]): CodeRange[] {
  const result: [number, number][] = [];
  for (const [low, high] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = result[result.length - 1];
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else result.push([low, high]);
  }
  return result;
}

/** All characters but those of the ranges. */
export function complement(ranges: readonly CodeRange[]): CodeRange[] {
  const result: CodeRange[] = [];
  let next = 0;
  for (const [low, high] of normalized(ranges)) {
    if (low > next) result.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= lastCodePoint) result.push([next, lastCodePoint]);
  return result;
}

/** Sequences of byte ranges that are the encodings of code points: each of them has one length, and free bytes behind fixed ones (Cox 2010). */
function* utf8Ranges(low: number, high: number): Generator<CodeRange[]> {
  if (low > high) return;
  if (low < 0xd800 && high > 0xdfff) {
    yield* utf8Ranges(low, 0xd7ff);
    yield* utf8Ranges(0xe000, high);
    return;
  }
  if (low >= 0xd800 && low <= 0xdfff) return yield* utf8Ranges(0xe000, high);
  if (high >= 0xd800 && high <= 0xdfff) return yield* utf8Ranges(low, 0xd7ff);
  for (const most of [0x7f, 0x7ff, 0xffff]) {
    if (low > most || high <= most) continue;
    yield* utf8Ranges(low, most);
    yield* utf8Ranges(most + 1, high);
    return;
  }
  if (high > 0x7f) {
    for (let i = 1; i < 4; i++) {
      const mask = (1 << (6 * i)) - 1;
      if ((low & ~mask) === (high & ~mask)) continue;
      const cut = (low & mask) !== 0 ? low | mask : (high & mask) !== mask ? (high & ~mask) - 1 : undefined;
      if (cut === undefined) continue;
      yield* utf8Ranges(low, cut);
      yield* utf8Ranges(cut + 1, high);
      return;
    }
  }
  const last = encoder.encode(String.fromCodePoint(high));
  yield Array.from(encoder.encode(String.fromCodePoint(low)), (byte, i): CodeRange => [byte, last[i]]);
}
