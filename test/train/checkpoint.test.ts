/** Checkpoints on failing disks or with damaged files: the saved state, or a typed error. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FormatError, WattgradError } from "../../src/core/errors.js";
import { DataLoader } from "../../src/data/index.js";
import { openReference } from "../../src/device/reference/reference.js";
import { type HostTensor, readSafetensors } from "../../src/formats/index.js";
import { crossEntropy } from "../../src/nn/index.js";
import { manualSeed } from "../../src/ops/index.js";
import { AdamW, cosine } from "../../src/optim/index.js";
import {
  type Checkpoint,
  decode,
  readNewestCheckpoint,
  writeCheckpoint,
} from "../../src/train/checkpoint.js";
import { accuracy, fit as trainModel } from "../../src/train/index.js";
import { quadrants, smallNet } from "./problem.js";

let directory = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-checkpoint-"));
});

afterAll(() => rm(directory, { recursive: true }));

const original: Checkpoint = {
  tensors: new Map<string, HostTensor>([
    ["model.weight", { dtype: "float32", shape: [2, 2], data: Float32Array.of(1, -0, Number.NaN, 4) }],
    ["exact", { dtype: "float32", shape: [3], data: Float64Array.of(0.1, 1e300, Number.NEGATIVE_INFINITY) }],
    ["count", { dtype: "int32", shape: [], data: Int32Array.of(-7) }],
  ]),
  state: { step: 3, rate: 0.1, nested: { list: [1, 2, "three"] } },
};

describe("the bytes of a checkpoint", () => {
  let bytes: Uint8Array;

  beforeAll(async () => {
    bytes = await readFile(await writeCheckpoint(join(directory, "bytes"), 3, original));
  });

  test("hold everything, float64 included", () => {
    expect(decode(readSafetensors(bytes))).toEqual(original);
  });

  /** The digest covers all that counts; what is left are the order of keys and the spaces of the header. */
  function expectOriginalOrFormatError(damaged: Uint8Array): void {
    let found: Checkpoint;
    try {
      found = decode(readSafetensors(damaged));
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      return;
    }
    expect(found).toEqual(original);
  }

  test("cut anywhere are refused", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decode(readSafetensors(bytes.subarray(0, length)))).toThrow(FormatError);
    }
  });

  test("with any bit changed are refused or mean the same", () => {
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const damaged = bytes.slice();
      damaged[bit >> 3] ^= 1 << (bit & 7);
      expectOriginalOrFormatError(damaged);
    }
  });

  test("edited at random are refused or mean the same", () => {
    const edit = fc.tuple(fc.nat(), fc.nat({ max: 9 }), fc.uint8Array({ maxLength: 9 }));
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 5 }), (edits) => {
        let damaged = [...bytes];
        for (const [at, removed, added] of edits) {
          damaged = damaged.toSpliced(at % damaged.length, removed, ...added);
        }
        expectOriginalOrFormatError(Uint8Array.from(damaged));
      }),
      { numRuns: 500 },
    );
  });
});

test("a checkpoint that another file has replaced is passed over", async () => {
  const runs = join(directory, "replaced");
  await writeCheckpoint(runs, 1, original);
  await writeFile(await writeCheckpoint(runs, 2, original), "something else");
  const found = await readNewestCheckpoint(runs);
  expect(found?.path).toContain("step-000000001");
  expect(found?.skipped.map(({ path }) => path)).toEqual([join(runs, "step-000000002.safetensors")]);
});

describe("a state that fit did not write, in an intact file", () => {
  const device = openReference();
  let written: Checkpoint;

  const runs = () => join(directory, "states");

  function training(resume: boolean) {
    manualSeed(1);
    const model = smallNet(device, 0.1);
    return trainModel({
      model,
      optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
      train: new DataLoader(quadrants(8), { device, batchSize: 4, shuffle: { seed: 3 } }),
      loss: crossEntropy,
      metrics: { accuracy },
      schedule: cosine({ steps: 4 }),
      epochs: 2,
      checkpoint: { directory: runs(), resume },
    });
  }

  beforeEach(async () => {
    await rm(runs(), { recursive: true, force: true });
    await training(false);
    written = (await readNewestCheckpoint(runs()))!;
    for (const name of await readdir(runs())) await rm(join(runs(), name));
  });

  /** Every path to a value inside, the whole included. */
  function paths(value: unknown, prefix: readonly string[] = []): (readonly string[])[] {
    const inner = typeof value === "object" && value !== null ? Object.entries(value) : [];
    return [prefix, ...inner.flatMap(([key, part]) => paths(part, [...prefix, key]))];
  }

  function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
    if (key === undefined) return by;
    const old = (value as Record<string, unknown>)[key];
    const part = replaced(old, rest, by);
    if (Array.isArray(value)) return value.with(Number(key), part);
    return { ...(value as object), [key]: part };
  }

  test("resumes or ends with a typed error", async () => {
    const places = paths(written.state);
    const odd = fc.constantFrom(
      null,
      undefined,
      -1,
      0.5,
      1e308,
      "",
      "x",
      true,
      [],
      {},
      [[]],
      [null],
      2 ** 53,
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), odd, async (path, value) => {
        // JSON can leave out a member, but not everything.
        fc.pre(path.length > 0 || value !== undefined);
        await writeCheckpoint(runs(), 4, { ...written, state: replaced(written.state, path, value) });
        await training(true).catch((error) => expect(error).toBeInstanceOf(WattgradError));
      }),
      { numRuns: 300 },
    );
  });
});
