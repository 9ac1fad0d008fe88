/** Constraints of generated texts, and the tokens that they allow. */
import { anObject, aString, check, either as oneKind } from "../../core/check.js";
import { ArgumentError } from "../../core/errors.js";
import type { LogitsProcessor } from "../processor.js";
import { Automaton, dead, type Pattern } from "./automaton.js";
import { type JsonSchema, patternOfSchema } from "./json_schema.js";
import { parseRegex } from "./regex.js";
import { type TokenBytes, Vocabulary } from "./vocabulary.js";

/** Lists of allowed tokens that are kept, of the states of a text. */
const maxMasks = 512;

/**
 * A form that generated texts have: the option `constraint` of `generate`. Made by `regex` and `jsonSchema`.
 *
 * @example
 * const constraint: Constraint = regex(/yes|no/);
 * constraint.accepts("no"); // true
 */
export class Constraint {
  /** @internal */
  readonly automaton: Automaton;
  readonly #masks = new WeakMap<Vocabulary, Map<number, Int32Array>>();

  /** @internal */
  constructor(pattern: Pattern) {
    this.automaton = new Automaton(pattern);
  }

  /** Whether a whole text has this form. */
  accepts(text: string): boolean {
    const state = this.automaton.walk(
      this.automaton.start,
      new TextEncoder().encode(check("accepts", "the text", text, aString)),
    );
    return state !== dead && this.automaton.isAccepting(state);
  }

  /** @internal Of a state; found once for each vocabulary. */
  allowed(vocabulary: Vocabulary, state: number): Int32Array {
    let masks = this.#masks.get(vocabulary);
    if (masks === undefined) {
      masks = new Map();
      this.#masks.set(vocabulary, masks);
    }
    let found = masks.get(state);
    if (found === undefined) {
      found = vocabulary.after(this.automaton, state);
      if (masks.size >= maxMasks) masks.delete(masks.keys().next().value!);
      masks.set(state, found);
    }
    return found;
  }
}

/**
 * Texts that match a regular expression as a whole, in JavaScript's syntax: literals, classes, groups, alternatives and quantifiers.
 *
 * @throws ArgumentError for what finite automata cannot do (references, look-around, \b) and for flags other than s, u and v.
 * @example
 * const iso = regex(/\d{4}-\d{2}-\d{2}/);
 * iso.accepts("2026-11-30"); // true
 * iso.accepts("30.11.2026"); // false
 */
export function regex(pattern: string | RegExp): Constraint {
  check("regex", "the pattern", pattern, oneKind(aString, ["a RegExp", (value) => value instanceof RegExp]));
  if (typeof pattern === "string") return new Constraint(parseRegex(pattern));
  const odd = [...pattern.flags].find((flag) => !"suvgyd".includes(flag));
  if (odd !== undefined)
    throw new ArgumentError(`the flag ${odd} of ${pattern} is not supported`, { op: "regex" });
  return new Constraint(parseRegex(pattern.source, pattern.dotAll));
}

/**
 * JSON texts of a schema: type, properties, required, items, prefixItems, minItems, maxItems, enum, const, anyOf, oneOf, $ref within the
 * schema, pattern, format (date, time, date-time, uuid), minLength, maxLength, minimum 0. Properties come in their order; a space may follow
 * a comma or a colon; objects have no other properties.
 *
 * @throws ArgumentError for other keys that restrict values, naming them, and for schemas that contain themselves.
 * @example
 * const person = jsonSchema({ type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name"] });
 * person.accepts('{"name": "Ada", "age": 36}'); // true
 * person.accepts('{"age": 36}'); // false
 */
export function jsonSchema(schema: JsonSchema): Constraint {
  return new Constraint(patternOfSchema(check("jsonSchema", "the schema", schema, anObject) as JsonSchema));
}

const vocabularies = new WeakMap<TokenBytes, Vocabulary>();

function vocabularyOf(tokenizer: TokenBytes): Vocabulary {
  let found = vocabularies.get(tokenizer);
  if (found === undefined) {
    found = new Vocabulary(tokenizer);
    vocabularies.set(tokenizer, found);
  }
  return found;
}

/** How a constraint works in a generation. */
export interface Constrained {
  readonly process: LogitsProcessor;
  /** Whether the new tokens are a whole text that nothing can follow. */
  isComplete(ids: readonly number[]): boolean;
}

/**
 * Forbids tokens that lead away from the constraint; the end is allowed where the text may end. Where few tokens are left, those are
 * allowed with which the text can still be completed, each of its bytes by a token.
 */
export function constrained(
  constraint: Constraint,
  tokenizer: TokenBytes,
  { eosTokenId, maxNewTokens }: { readonly eosTokenId: readonly number[]; readonly maxNewTokens: number },
): Constrained {
  const { automaton } = constraint;
  const vocabulary = vocabularyOf(tokenizer);
  const stateAfter = (ids: readonly number[]) =>
    ids.reduce(
      (at, id) => (at === dead ? at : automaton.walk(at, tokenizer.bytes(id) ?? new Uint8Array())),
      automaton.start,
    );
  function tokensAfter(state: number, left: number): Int32Array {
    // With room for an end token.
    const farthest = left - 1 - Math.min(1, eosTokenId.length);
    if (farthest >= automaton.maxDistance) return constraint.allowed(vocabulary, state);
    const found = vocabulary.after(automaton, state, farthest);
    return found.length > 0 || automaton.isAccepting(state) ? found : constraint.allowed(vocabulary, state);
  }
  return {
    process(scores, { ids, promptLength }) {
      const given = ids.slice(promptLength);
      const state = stateAfter(given);
      if (state === dead) throw new ArgumentError("the tokens have left the constraint", { op: "generate" });
      const allowed = tokensAfter(state, maxNewTokens - given.length);
      const isEnd = automaton.isAccepting(state);
      if (allowed.length === 0 && !isEnd) {
        throw new ArgumentError(
          "no token of the vocabulary goes on with the text that the constraint wants",
          {
            op: "generate",
            hint: "a vocabulary that has all bytes or characters can",
          },
        );
      }
      const kept = isEnd ? [...allowed, ...eosTokenId] : allowed;
      const values = Float32Array.from(kept, (id) => scores[id]);
      // Other processors may have forbidden all of them: the constraint is the stronger one.
      const isAnyLeft = values.some((value) => value > Number.NEGATIVE_INFINITY);
      scores.fill(Number.NEGATIVE_INFINITY);
      kept.forEach((id, i) => {
        scores[id] = isAnyLeft ? values[i] : 0;
      });
    },
    isComplete(ids) {
      const state = stateAfter(ids);
      return (
        state !== dead && automaton.isAccepting(state) && constraint.allowed(vocabulary, state).length === 0
      );
    },
  };
}
