/** Pipelines against those of the original library, on tiny models and tokenizers (test/fixtures/make_pipelines.py). */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FileSource, folder } from "../../src/hub/index.js";
import { type Device, openDevice } from "../../src/index.js";
import { type Answer, pipeline, type Question, type TaskName } from "../../src/pipeline/index.js";

const here = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

interface Case {
  readonly task: TaskName;
  readonly model: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly inputs: unknown;
  readonly options: Readonly<Record<string, unknown>>;
  readonly expected: unknown;
}

const cases: readonly Case[] = JSON.parse(readFileSync(here("pipelines/expected.json"), "utf8"));

/** A folder with some keys of config.json changed. */
function changed(source: FileSource, config: Case["config"]): FileSource {
  if (Object.keys(config).length === 0) return source;
  const bytes = async () => {
    const own = JSON.parse(new TextDecoder().decode(await source.read("config.json")));
    return new TextEncoder().encode(JSON.stringify({ ...own, ...config }));
  };
  return {
    ...source,
    size: async (path) => (path === "config.json" ? (await bytes()).length : source.size(path)),
    read: async (path, range, signal) =>
      path === "config.json"
        ? (await bytes()).slice(range?.start, range?.end)
        : source.read(path, range, signal),
  };
}

/** Numbers within the rounding of float32 behind several layers, everything else equal. */
function close(actual: unknown, expected: unknown, path = "result"): void {
  if (typeof expected === "number" && !Number.isInteger(expected)) {
    expect(actual, path).toBeTypeOf("number");
    expect(Math.abs(Number(actual) - expected), path).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected)));
  } else if (Array.isArray(expected)) {
    const list = ArrayBuffer.isView(actual) ? Array.from(actual as Float32Array) : actual;
    expect(list, path).toHaveLength(expected.length);
    expected.forEach((each, i) => {
      close((list as unknown[])[i], each, `${path}[${i}]`);
    });
  } else if (typeof expected === "object" && expected !== null) {
    expect(Object.keys(actual as object).sort(), path).toEqual(Object.keys(expected).sort());
    for (const [key, each] of Object.entries(expected)) {
      close((actual as Record<string, unknown>)[key], each, `${path}.${key}`);
    }
  } else expect(actual, path).toEqual(expected);
}

/** The result of a case; where the original has one form for several numbers of results, that form. */
async function resultOf({ task, model, config, inputs, options, expected }: Case, device: Device) {
  const source = changed(folder(here(`models/${model}`)), config);
  const run = await pipeline(task, source, { device, onTruncate: () => {} });
  const call = run as unknown as (...given: unknown[]) => Promise<unknown>;
  try {
    if (task === "zero-shot-classification") {
      const { candidateLabels, ...others } = options;
      return await call(inputs, candidateLabels, others);
    }
    if (task !== "question-answering") return await call(inputs, options);
    const { question, context } = inputs as Question;
    const answers = (await call(question, context, options)) as Answer | Answer[];
    return Array.isArray(answers) && !Array.isArray(expected) ? answers[0] : answers;
  } finally {
    run.dispose();
  }
}

describe("as the original library", () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice("wasm");
  });
  afterAll(() => device.close());

  test("there are cases of every task", () => {
    expect(new Set(cases.map(({ task }) => task)).size).toBe(7);
  });

  test.each(
    cases.map((each, i) => ({
      ...each,
      title: `${i}: ${each.task}, ${each.model}, ${JSON.stringify(each.options)}`,
    })),
  )("$title", async (each) => close(await resultOf(each, device), each.expected));

  test("nothing is left in memory", () => {
    expect(device.memory().liveBytes).toBe(0);
  });
});
