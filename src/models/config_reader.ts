/** Reads config.json of a model. A value that would change results and is not supported is an error, never ignored. */
import { describe, isPlain } from "../core/check.js";
import { WattgradError } from "../core/errors.js";

/**
 * A value in a model's configuration that is not supported.
 *
 * @example
 * new ConfigError("hidden_act", "cube", "gelu or relu").key; // "hidden_act"
 */
export class ConfigError extends WattgradError {
  /** The key: `hidden_act`, `rope_parameters.rope_type`. */
  readonly key: string;
  readonly value: unknown;
  /** What is supported, in words. */
  readonly accepted: string;

  constructor(key: string, value: unknown, accepted: string) {
    const shown = value === undefined ? "missing" : describe(value);
    super("CONFIG", `${key} is ${shown}; accepted: ${accepted}`, { op: "config.json" });
    this.key = key;
    this.value = value;
    this.accepted = accepted;
  }
}

/** The values of a JSON object. A key may have several spellings: the first that is there, and not null, is read. */
export class ConfigReader {
  readonly #values: Readonly<Record<string, unknown>>;
  /** What keys begin with in messages: `rope_parameters.`. */
  readonly #prefix: string;

  /** @throws ConfigError unless it is an object. */
  constructor(json: unknown, prefix = "") {
    if (!isPlain(json)) throw new ConfigError(prefix || "the file", json, "an object");
    this.#values = json as Readonly<Record<string, unknown>>;
    this.#prefix = prefix;
  }

  /** The value of the first spelling that is there, with that spelling. */
  #find(keys: readonly string[]): [key: string, value: unknown] {
    const key = keys.find((name) => Object.hasOwn(this.#values, name) && this.#values[name] !== null);
    return [this.#prefix + (key ?? keys[0]), key === undefined ? undefined : this.#values[key]];
  }

  #read<T>(
    keys: readonly string[],
    fallback: T | undefined,
    accepted: string,
    test: (value: unknown) => boolean,
  ): T {
    const [key, value] = this.#find(keys);
    if (value === undefined && fallback !== undefined) return fallback;
    if (!test(value)) throw new ConfigError(key, value, accepted);
    return value as T;
  }

  has(...keys: readonly string[]): boolean {
    return this.#find(keys)[1] !== undefined;
  }

  /** The value as it is; undefined for null. */
  get(...keys: readonly string[]): unknown {
    return this.#find(keys)[1];
  }

  /** An integer of at least 1. */
  count(keys: string | readonly string[], fallback?: number): number {
    return this.#read(
      list(keys),
      fallback,
      "an integer of at least 1",
      (value) => Number.isSafeInteger(value) && Number(value) >= 1,
    );
  }

  /** An integer of at least 0, such as an id. */
  index(keys: string | readonly string[], fallback?: number): number {
    return this.#read(
      list(keys),
      fallback,
      "an integer of at least 0",
      (value) => Number.isSafeInteger(value) && Number(value) >= 0,
    );
  }

  number(keys: string | readonly string[], fallback?: number): number {
    return this.#read(list(keys), fallback, "a number", Number.isFinite);
  }

  boolean(keys: string | readonly string[], fallback?: boolean): boolean {
    return this.#read(list(keys), fallback, "true or false", (value) => typeof value === "boolean");
  }

  /** One of the names of a table. */
  name<N extends string>(keys: string | readonly string[], accepted: readonly N[], fallback?: N): N {
    return this.#read(list(keys), fallback, accepted.join(", "), (value) => accepted.includes(value as N));
  }

  strings(key: string): readonly string[] | undefined {
    if (!this.has(key)) return undefined;
    return this.#read(
      [key],
      undefined,
      "an array of strings",
      (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
    );
  }

  /** An object below this one; undefined if there is none. */
  object(...keys: readonly string[]): ConfigReader | undefined {
    const [key, value] = this.#find(keys);
    return value === undefined ? undefined : new ConfigReader(value, `${key}.`);
  }

  /** @throws ConfigError if the key has another value than the only one that is supported; it may be missing. */
  only(key: string, ...supported: readonly unknown[]): void {
    const value = this.get(key);
    if (value !== undefined && !supported.includes(value)) {
      throw new ConfigError(
        this.#prefix + key,
        value,
        supported.map((item) => JSON.stringify(item)).join(", "),
      );
    }
  }

  /** The error for a value that does not fit others. */
  error(key: string, accepted: string): ConfigError {
    return new ConfigError(this.#prefix + key, this.get(key), accepted);
  }
}

const list = (keys: string | readonly string[]) => (typeof keys === "string" ? [keys] : keys);
