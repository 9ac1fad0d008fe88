/**
 * JSON schemas (draft 2020-12) as patterns of the JSON texts that they allow, as far as those are a regular language: properties come in
 * their order, a space may follow a comma or a colon, and objects have no other properties than those listed.
 */
import { ArgumentError } from "../../core/errors.js";
import type { Pattern } from "./automaton.js";
import {
  type CodeRange,
  character,
  complement,
  either,
  nothing,
  optional,
  repeat,
  sequence,
  text,
} from "./pattern.js";
import { parseRegex } from "./regex.js";

/** A JSON schema. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Keys that say nothing about texts. */
const annotations = [
  ...["title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions"],
  ...["readOnly", "writeOnly", "deprecated"],
];
/** Keys that restrict values, by the type for which they are supported. */
const supported: Readonly<Record<string, readonly string[]>> = {
  string: ["minLength", "maxLength", "pattern", "format"],
  integer: ["minimum"],
  number: ["minimum"],
  boolean: [],
  null: [],
  array: ["items", "prefixItems", "minItems", "maxItems"],
  object: ["properties", "required", "additionalProperties"],
};
const formats: Readonly<Record<string, string>> = {
  date: "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])",
  time: "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)",
  "date-time":
    "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)",
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
};

const space = optional(text(" "));
const comma = sequence(text(","), space);
const colon = sequence(text(":"), space);
const anyNumber = Number.POSITIVE_INFINITY;

const escapes: readonly (readonly [code: number, written: string])[] = [
  [0x22, '\\"'],
  [0x5c, "\\\\"],
  [8, "\\b"],
  [9, "\\t"],
  [10, "\\n"],
  [12, "\\f"],
  [13, "\\r"],
];
/** Must be escaped in a string. */
const unwritable: readonly CodeRange[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

/** A character of a JSON string; control characters without a short escape are left out. */
function written(ranges: readonly CodeRange[]): Pattern {
  const outside = complement(ranges);
  const plain = complement([...outside, ...unwritable]);
  const has = (code: number) => ranges.some(([low, high]) => low <= code && code <= high);
  const escaped = escapes.filter(([code]) => has(code)).map(([, value]) => text(value));
  return either(...(plain.length > 0 ? [character(plain)] : []), ...escaped);
}

const anyCharacter = written(complement([]));
const digits = (least: number, most: number) => repeat(character([[48, 57]]), least, most);
/** More digits than a float64 has would be no other number. */
const whole = either(text("0"), sequence(character([[49, 57]]), digits(0, 14)));
const exponent = sequence(
  character([
    [69, 69],
    [101, 101],
  ]),
  optional(
    character([
      [43, 43],
      [45, 45],
    ]),
  ),
  digits(1, 2),
);

/**
 * Texts that a schema allows.
 * @throws ArgumentError for keys that would restrict values and are not supported, and for schemas that contain themselves.
 */
export function patternOfSchema(schema: JsonSchema): Pattern {
  return new Reader(schema).valueOf(schema, "#", []);
}

function wrong(path: string, reason: string): ArgumentError {
  return new ArgumentError(`the schema at ${path}: ${reason}`, { op: "jsonSchema" });
}

function listOf(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0) return value;
  throw wrong(path, "a list is needed that is not empty");
}

/** A count that a key gives. */
function countOf(schema: JsonSchema, key: string, path: string, otherwise: number): number {
  const value = schema[key] ?? otherwise;
  if (value === otherwise || (Number.isSafeInteger(value) && Number(value) >= 0)) return Number(value);
  throw wrong(path, `${key} is a whole number, got ${String(value)}`);
}

class Reader {
  readonly #root: JsonSchema;

  constructor(root: JsonSchema) {
    this.#root = root;
  }

  /** `inside`: the schemas around this one. */
  valueOf(given: unknown, path: string, inside: readonly unknown[]): Pattern {
    if (Object(given) !== given || Array.isArray(given))
      throw wrong(path, `an object is needed, got ${String(given)}`);
    if (inside.includes(given)) throw wrong(path, "it contains itself, which no finite automaton can follow");
    const schema = given as JsonSchema;
    const within = [...inside, given];
    const keys = Object.keys(schema).filter((key) => !annotations.includes(key) && schema[key] !== undefined);
    const only = (allowed: readonly string[]) => {
      const odd = keys.find((key) => !allowed.includes(key));
      if (odd !== undefined)
        throw wrong(path, `${odd} is not supported here; supported are ${allowed.join(", ")}`);
    };
    if ("$ref" in schema) {
      only(["$ref"]);
      return this.valueOf(this.#referred(String(schema.$ref), path), path, within);
    }
    if ("const" in schema) {
      only(["const", "type"]);
      return text(JSON.stringify(schema.const));
    }
    if ("enum" in schema) {
      only(["enum", "type"]);
      return either(...listOf(schema.enum, `${path}/enum`).map((value) => text(JSON.stringify(value))));
    }
    for (const key of ["anyOf", "oneOf"]) {
      if (!(key in schema)) continue;
      only([key]);
      const choices = listOf(schema[key], `${path}/${key}`);
      return either(...choices.map((choice, i) => this.valueOf(choice, `${path}/${key}/${i}`, within)));
    }
    const guess = "properties" in schema ? "object" : "items" in schema ? "array" : undefined;
    const types = Array.isArray(schema.type) ? listOf(schema.type, `${path}/type`) : [schema.type ?? guess];
    for (const type of types) {
      if (typeof type === "string" && Object.hasOwn(supported, type)) continue;
      throw wrong(path, `a type is needed: ${Object.keys(supported).join(", ")}`);
    }
    only(["type", ...(types as string[]).flatMap((type) => supported[type])]);
    return either(...(types as string[]).map((type) => this.#ofType(type, schema, path, within)));
  }

  #referred(pointer: string, path: string): unknown {
    if (!pointer.startsWith("#")) throw wrong(path, `${pointer} is not in the schema itself`);
    let found: unknown = this.#root;
    for (const name of pointer.slice(1).split("/").slice(1)) {
      const key = decodeURIComponent(name).replaceAll("~1", "/").replaceAll("~0", "~");
      const isThere = Object(found) === found && Object.hasOwn(found as object, key);
      found = isThere ? (found as JsonSchema)[key] : undefined;
    }
    if (found === undefined) throw wrong(path, `there is no ${pointer}`);
    return found;
  }

  #ofType(type: string, schema: JsonSchema, path: string, within: readonly unknown[]): Pattern {
    switch (type) {
      case "null":
        return text("null");
      case "boolean":
        return either(text("true"), text("false"));
      case "integer":
        return sequence(this.#sign(schema, path), whole);
      case "number":
        return sequence(
          this.#sign(schema, path),
          whole,
          optional(sequence(text("."), digits(1, 15))),
          optional(exponent),
        );
      case "string":
        return sequence(text('"'), this.#string(schema, path), text('"'));
      case "array":
        return this.#array(schema, path, within);
      default:
        return this.#object(schema, path, within);
    }
  }

  #sign({ minimum }: JsonSchema, path: string): Pattern {
    if (minimum === undefined) return optional(text("-"));
    if (minimum !== 0) throw wrong(path, `of minimum only 0 is supported, got ${String(minimum)}`);
    return nothing;
  }

  #string(schema: JsonSchema, path: string): Pattern {
    const { pattern, format } = schema;
    const least = countOf(schema, "minLength", path, 0);
    const most = countOf(schema, "maxLength", path, anyNumber);
    if (pattern === undefined && format === undefined) return repeat(anyCharacter, least, most);
    if ("minLength" in schema || "maxLength" in schema || (pattern !== undefined && format !== undefined)) {
      throw wrong(path, "one of pattern, format and a length is supported, not several");
    }
    if (pattern !== undefined) return parseRegex(String(pattern), false, written);
    if (!Object.hasOwn(formats, String(format))) {
      throw wrong(
        path,
        `format ${String(format)} is not supported; supported are ${Object.keys(formats).join(", ")}`,
      );
    }
    return parseRegex(formats[String(format)], false, written);
  }

  #array(schema: JsonSchema, path: string, within: readonly unknown[]): Pattern {
    const first = (schema.prefixItems as readonly unknown[] | undefined) ?? [];
    const least = countOf(schema, "minItems", path, 0);
    const most = countOf(schema, "maxItems", path, schema.items === undefined ? first.length : anyNumber);
    if (first.length > 0 && least < first.length) {
      throw wrong(path, `prefixItems need minItems of at least ${first.length}`);
    }
    if (first.length === 0 && schema.items === undefined) throw wrong(path, "items is needed");
    const heads = first.map((item, i) => this.valueOf(item, `${path}/prefixItems/${i}`, within));
    const fixed = sequence(...heads.map((head, i) => (i === 0 ? head : sequence(comma, head))));
    if (schema.items === undefined || schema.items === false) return sequence(text("["), fixed, text("]"));
    const item = this.valueOf(schema.items, `${path}/items`, within);
    const rest = (low: number, high: number) => repeat(sequence(comma, item), low, high);
    if (heads.length > 0) {
      return sequence(text("["), fixed, rest(least - heads.length, most - heads.length), text("]"));
    }
    if (most === 0) return text("[]");
    const filled = sequence(item, rest(Math.max(0, least - 1), most - 1));
    return sequence(text("["), least === 0 ? optional(filled) : filled, text("]"));
  }

  #object(schema: JsonSchema, path: string, within: readonly unknown[]): Pattern {
    const { properties, additionalProperties: others } = schema;
    const required = new Set((schema.required as readonly string[] | undefined) ?? []);
    if (properties === undefined) {
      if (required.size > 0) throw wrong(path, "required properties are not described");
      if (Object(others) !== others) return text("{}");
      const value = this.valueOf(others, `${path}/additionalProperties`, within);
      const pair = sequence(text('"'), repeat(anyCharacter, 0, anyNumber), text('"'), colon, value);
      return sequence(
        text("{"),
        optional(sequence(pair, repeat(sequence(comma, pair), 0, anyNumber))),
        text("}"),
      );
    }
    if (Object(others) === others)
      throw wrong(path, "additionalProperties beside properties is false, or left out");
    const pairs = Object.entries(properties as JsonSchema).map(([name, value]) => {
      const pattern = this.valueOf(value, `${path}/properties/${name}`, within);
      return { name, pair: sequence(text(JSON.stringify(name)), colon, pattern) };
    });
    const missing = [...required].find((name) => pairs.every((pair) => pair.name !== name));
    if (missing !== undefined) throw wrong(path, `the required property ${missing} is not described`);
    // Behind a first property each has its comma; any may be the first up to the first that is required.
    const after = (start: number) =>
      sequence(
        ...pairs.slice(start).map(({ name, pair }) => {
          const next = sequence(comma, pair);
          return required.has(name) ? next : optional(next);
        }),
      );
    const choices: Pattern[] = [];
    for (const [i, { name, pair }] of pairs.entries()) {
      choices.push(sequence(pair, after(i + 1)));
      if (required.has(name)) break;
    }
    if (required.size === 0) choices.push(nothing);
    return sequence(text("{"), either(...choices), text("}"));
  }
}
