/** Tiny models of each family and the original library's results for them: see ../fixtures/make_language_models.py. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readSafetensors } from "../../src/formats/safetensors.js";
import type { FileSource } from "../../src/hub/source.js";

const root = fileURLToPath(new URL("../fixtures/models/", import.meta.url));

/** Files of a fixture; `changes` replaces some, or removes those that are undefined. */
export function fixtureSource(
  name: string,
  changes: Readonly<Record<string, string | Uint8Array | undefined>> = {},
): FileSource {
  const read = (path: string) => {
    if (!(path in changes)) return new Uint8Array(readFileSync(`${root}${name}/${path}`));
    const change = changes[path]!;
    return typeof change === "string" ? new TextEncoder().encode(change) : change;
  };
  const has = (path: string) =>
    path in changes ? changes[path] !== undefined : existsSync(`${root}${name}/${path}`);
  return {
    label: name,
    has: async (path) => has(path),
    size: async (path) => (path in changes ? read(path).length : statSync(`${root}${name}/${path}`).size),
    read: async (path, range, signal) => {
      signal?.throwIfAborted();
      return range ? read(path).subarray(range.start, range.end) : read(path);
    },
  };
}

export function fixtureConfig(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(`${root}${name}/config.json`, "utf8"));
}

export interface Generated {
  readonly options: Readonly<Record<string, unknown>>;
  /** Of each prompt the sequences that are returned. */
  readonly ids: readonly (readonly (readonly number[])[])[];
  readonly scores?: readonly (readonly number[])[];
}

export interface Facts {
  readonly tokens: readonly (readonly number[])[];
  readonly lengths: readonly number[];
  readonly tokenTypes?: readonly (readonly number[])[];
  readonly loss: number;
  readonly greedy: Generated;
  readonly beams: readonly Generated[];
}

/** The numbers by name, and the rest. */
export function expectedOf<F = Facts>(name: string) {
  const { tensors } = readSafetensors(new Uint8Array(readFileSync(`${root}${name}/expected.safetensors`)));
  const facts: F = JSON.parse(readFileSync(`${root}${name}/expected.json`, "utf8"));
  return { tensors, facts };
}
