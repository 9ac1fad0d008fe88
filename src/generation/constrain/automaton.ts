/**
 * Finite automata over bytes: patterns build a nondeterministic one (Thompson 1968), whose sets of states are determined when a text
 * reaches them, so that no pattern is expanded as a whole.
 */

/** Of a deterministic state: nothing can follow. */
export const dead = -1;
const unknown = -2;

/** The nondeterministic automaton while it is built. State 0 is the start. */
export class Nfa {
  readonly empty: number[][] = [];
  readonly edges: { readonly low: number; readonly high: number; readonly to: number }[][] = [];

  add(): number {
    this.empty.push([]);
    this.edges.push([]);
    return this.empty.length - 1;
  }
}

/** Adds itself to an automaton behind the state `from`, and returns the state behind it. */
export type Pattern = (nfa: Nfa, from: number) => number;

interface State {
  /** Sorted. */
  readonly members: readonly number[];
  readonly next: Int32Array;
  readonly isAccepting: boolean;
  /** The fewest bytes that complete the text. */
  readonly distance: number;
}

/** A deterministic automaton, as far as texts have reached it. */
export class Automaton {
  readonly start: number;
  /** No state is further from the end. */
  readonly maxDistance: number;
  readonly #nfa = new Nfa();
  readonly #distances: Float64Array;
  readonly #states: State[] = [];
  readonly #ids = new Map<string, number>();
  readonly #end: number;

  constructor(pattern: Pattern) {
    const first = this.#nfa.add();
    this.#end = pattern(this.#nfa, first);
    this.#distances = distancesTo(this.#nfa, this.#end);
    this.maxDistance = this.#distances.reduce((a, b) => (Number.isFinite(b) ? Math.max(a, b) : a), 0);
    this.start = this.#stateOf([first]);
  }

  isAccepting(state: number): boolean {
    return this.#states[state].isAccepting;
  }

  /** The fewest bytes from here to the end. */
  distance(state: number): number {
    return this.#states[state].distance;
  }

  /** The state after one more byte, or `dead`. */
  step(state: number, byte: number): number {
    const { next, members } = this.#states[state];
    if (next[byte] !== unknown) return next[byte];
    const targets: number[] = [];
    for (const member of members) {
      for (const { low, high, to } of this.#nfa.edges[member])
        if (low <= byte && byte <= high) targets.push(to);
    }
    next[byte] = this.#stateOf(targets);
    return next[byte];
  }

  /** The state after bytes, or `dead`. */
  walk(state: number, bytes: Uint8Array): number {
    let at = state;
    for (let i = 0; i < bytes.length && at !== dead; i++) at = this.step(at, bytes[i]);
    return at;
  }

  /** With all that is reached without a byte; states from which the end cannot be reached are left out. */
  #stateOf(starts: readonly number[]): number {
    const seen = new Set<number>();
    const stack = [...starts];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (seen.has(at) || !Number.isFinite(this.#distances[at])) continue;
      seen.add(at);
      stack.push(...this.#nfa.empty[at]);
    }
    if (seen.size === 0) return dead;
    const members = [...seen].sort((a, b) => a - b);
    const key = members.join();
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const distance = members.reduce(
      (least, at) => Math.min(least, this.#distances[at]),
      Number.POSITIVE_INFINITY,
    );
    const next = new Int32Array(256).fill(unknown);
    const id = this.#states.push({ members, next, isAccepting: seen.has(this.#end), distance }) - 1;
    this.#ids.set(key, id);
    return id;
  }
}

/** For each state the fewest bytes to `end`: breadth-first along edges turned round, those without a byte first. */
function distancesTo({ empty, edges }: Nfa, end: number): Float64Array {
  const free: number[][] = empty.map(() => []);
  const paid: number[][] = empty.map(() => []);
  empty.forEach((targets, from) => {
    for (const to of targets) free[to].push(from);
    for (const { to } of edges[from]) paid[to].push(from);
  });
  const distances = new Float64Array(empty.length).fill(Number.POSITIVE_INFINITY);
  let level = [end];
  for (let distance = 0; level.length > 0; distance++) {
    const next: number[] = [];
    for (let at = level.pop(); at !== undefined; at = level.pop()) {
      if (distances[at] <= distance) continue;
      distances[at] = distance;
      level.push(...free[at]);
      next.push(...paid[at]);
    }
    level = next;
  }
  return distances;
}
