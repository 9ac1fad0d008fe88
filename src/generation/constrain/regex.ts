/** Regular expressions, in JavaScript's syntax, as patterns. Only what finite automata can do: no references and no look-around. */
import { ArgumentError } from "../../core/errors.js";
import type { Pattern } from "./automaton.js";
import {
  type CodeRange,
  character,
  complement,
  either,
  normalized,
  nothing,
  repeat,
  sequence,
} from "./pattern.js";

const digits: readonly CodeRange[] = [[48, 57]];
const wordCharacters: readonly CodeRange[] = [...digits, [65, 90], [95, 95], [97, 122]];
const spaces: readonly CodeRange[] = [
  [9, 13],
  [32, 32],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const lineEnds: readonly CodeRange[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
const classes: Readonly<Record<string, readonly CodeRange[]>> = {
  d: digits,
  D: complement(digits),
  w: wordCharacters,
  W: complement(wordCharacters),
  s: spaces,
  S: complement(spaces),
};
const controls: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };

/** How characters of a text are written: as they are, or escaped as in a JSON string. */
export type Writing = (ranges: readonly CodeRange[]) => Pattern;

/**
 * The whole text is a match.
 * @throws ArgumentError for syntax that is wrong or not supported, with its place.
 */
export function parseRegex(source: string, isDotAll = false, written: Writing = character): Pattern {
  const input = Array.from(source);
  let at = 0;
  const result = alternatives();
  if (at < input.length) throw wrong(`"${input[at]}" is not expected`);
  return result;

  function wrong(reason: string): ArgumentError {
    return new ArgumentError(`/${source}/ at ${at}: ${reason}`, {
      op: "regex",
      hint: "supported are literals, classes, groups, alternatives and quantifiers",
    });
  }

  function take(expected: string): boolean {
    if (input[at] !== expected) return false;
    at++;
    return true;
  }

  function alternatives(): Pattern {
    const list = [terms()];
    while (take("|")) list.push(terms());
    return list.length === 1 ? list[0] : either(...list);
  }

  function terms(): Pattern {
    const list: Pattern[] = [];
    const begin = at;
    while (at < input.length && input[at] !== "|" && input[at] !== ")") {
      // The whole text matches: anchors at its ends change nothing.
      if (input[at] === "^" && at === begin) at++;
      else if (input[at] === "$" && (at + 1 === input.length || /[|)]/.test(input[at + 1]))) at++;
      else list.push(quantified(atom()));
    }
    return list.length === 0 ? nothing : sequence(...list);
  }

  function quantified(pattern: Pattern): Pattern {
    let bounds: readonly [number, number] | undefined;
    if (take("*")) bounds = [0, Number.POSITIVE_INFINITY];
    else if (take("+")) bounds = [1, Number.POSITIVE_INFINITY];
    else if (take("?")) bounds = [0, 1];
    else {
      const count = /^\{(\d+)(,(\d*))?\}/.exec(input.slice(at).join(""));
      if (count === null) return pattern;
      at += count[0].length;
      const least = Number(count[1]);
      const most =
        count[2] === undefined ? least : count[3] === "" ? Number.POSITIVE_INFINITY : Number(count[3]);
      if (most < least || (most !== Number.POSITIVE_INFINITY && most > 10_000))
        throw wrong(`${count[0]} has no meaning`);
      bounds = [least, most];
    }
    // Of all matches a lazy quantifier only prefers others.
    take("?");
    if (/[*+?]/.test(input[at] ?? "")) throw wrong(`"${input[at]}" follows a quantifier`);
    return repeat(pattern, ...bounds);
  }

  function atom(): Pattern {
    const first = input[at];
    if (take("(")) {
      if (take("?")) {
        const name = /^<[A-Za-z_]\w*>/.exec(input.slice(at).join(""));
        if (name) at += name[0].length;
        else if (!take(":")) throw wrong("look-around and modifiers are not supported");
      }
      const inner = alternatives();
      if (!take(")")) throw wrong('")" is missing');
      return inner;
    }
    if (take("[")) return written(set());
    if (take(".")) return written(isDotAll ? complement([]) : complement(lineEnds));
    if (first === "\\") return written(escaped(false));
    if (/[*+?{}^$\]]/.test(first)) throw wrong(`"${first}" is not expected`);
    at++;
    const code = first.codePointAt(0)!;
    return written([[code, code]]);
  }

  function set(): CodeRange[] {
    const isNegated = take("^");
    const ranges: CodeRange[] = [];
    while (!take("]")) {
      if (at >= input.length) throw wrong('"]" is missing');
      const low = member();
      if (input[at] === "-" && input[at + 1] !== "]" && low.length === 1 && low[0][0] === low[0][1]) {
        at++;
        const high = member();
        if (high.length !== 1 || high[0][0] !== high[0][1] || high[0][0] < low[0][0])
          throw wrong("a range is wrong");
        ranges.push([low[0][0], high[0][0]]);
      } else {
        ranges.push(...low);
      }
    }
    const result = isNegated ? complement(ranges) : normalized(ranges);
    if (result.length === 0) throw wrong("a class is empty");
    return result;
  }

  function member(): readonly CodeRange[] {
    if (input[at] === "\\") return escaped(true);
    const code = input[at++]?.codePointAt(0);
    if (code === undefined) throw wrong('"]" is missing');
    return [[code, code]];
  }

  function escaped(isInSet: boolean): readonly CodeRange[] {
    at++;
    const name = input[at++];
    if (name === undefined) throw wrong("nothing follows \\");
    if (Object.hasOwn(classes, name)) return classes[name];
    if (Object.hasOwn(controls, name)) return [[controls[name], controls[name]]];
    if (isInSet && name === "b") return [[8, 8]];
    const hex = { x: /^[\da-f]{2}/i, u: /^(\{[\da-f]+\}|[\da-f]{4})/i }[name];
    if (hex) {
      const found = hex.exec(input.slice(at).join(""));
      if (found === null) throw wrong(`\\${name} needs digits`);
      at += found[0].length;
      const code = Number.parseInt(found[0].replace(/[{}]/g, ""), 16);
      if (code > 0x10ffff) throw wrong("there is no such character");
      return [[code, code]];
    }
    if (/[\p{L}\d]/u.test(name)) throw wrong(`\\${name} is not supported`);
    const code = name.codePointAt(0)!;
    return [[code, code]];
  }
}
