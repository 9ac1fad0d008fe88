/**
 * The other libraries as contenders: stub packages that fail in every way, and, if the packages of test/peers are installed
 * (`npm ci --prefix test/peers`), the real ones, whose results must equal wattgrad's.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { requireSame, sketchOf } from "../../src/bench/check.js";
import type { Contender } from "../../src/bench/contender.js";
import { openOurs } from "../../src/bench/ours.js";
import { peersOf } from "../../src/bench/peers/index.js";
import type { Problem } from "../../src/bench/problem.js";
import { peerSummaries, speedup } from "../../src/bench/ratio.js";
import { type RunResult, runCases } from "../../src/bench/run.js";
import { nodeLibraries } from "../../src/cli/bench/peers/node.js";

const versions = { tfjs: "1.2.3", "onnxruntime-web": "4.5.6", "jax-js": "7.8.9" };

const failing = {
  "@tensorflow/tfjs/index.js": `
    exports.enableProdMode = () => {};
    exports.env = () => ({ set() {} });
    exports.setBackend = async () => false;`,
  "@tensorflow/tfjs-backend-wasm/index.js": `
    exports.setWasmPaths = exports.setThreadsCount = () => {};
    exports.getThreadsCount = () => 1;`,
  "onnxruntime-web/dist/ort.node.min.mjs": `
    export const env = { wasm: {}, webgl: {} };
    export class Tensor {}
    let runs = 0;
    export const InferenceSession = {
      create: async () => ({
        async run() {
          // Right at first, and broken in the turns.
          if (runs++ > 4) throw new Error("out of memory\\nat somewhere");
          return { Y: { data: globalThis.expectedOfTest } };
        },
        release: async () => {},
      }),
    };`,
  "@jax-js/jax/dist/index.js": `
    const made = { reshape: () => made, dispose() {}, data: async () => new Float32Array(16).fill(7) };
    made.ref = made;
    export const init = async () => ["wasm"];
    export const defaultDevice = () => "wasm";
    export const numpy = { array: () => made };
    export const jit = () => Object.assign(() => made, { dispose() {} });
    export const blockUntilReady = async (x) => x;`,
};

describe("packages that fail", () => {
  let directory = "";
  let result: RunResult;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "wattgrad-peers-"));
    for (const [path, text] of Object.entries(failing)) {
      const file = join(directory, "node_modules", path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
    await writeFile(join(directory, "node_modules", "@jax-js", "jax", "package.json"), '{"type":"module"}');
    const ours = await openOurs("wasm");
    const work = await ours.build({ kind: "dispatch", ops: 64 });
    Object.assign(globalThis, { expectedOfTest: await work.result() });
    work.close();
    ours.close();
    const peers = peersOf(nodeLibraries(directory, versions, 1), ["wasm"]);
    const options = { suites: ["dispatch"], devices: ["wasm"], repeat: 3, turn: 1 } as const;
    result = await runCases(options, "node", { peers });
  });

  afterAll(() => rm(directory, { recursive: true }));

  test("one that has no such backend is told as not there", () => {
    expect(result.unavailable).toEqual([
      { device: "tfjs wasm", where: "node", reason: "tfjs has no wasm backend here" },
    ]);
  });

  test("one that breaks down in its turns has a row with the first line of its error", () => {
    const row = result.rows.find(({ peer }) => peer === "onnxruntime-web")!;
    expect(row).toMatchObject({ error: "out of memory", medianMs: null, times: [], threads: 1 });
  });

  test("one that computes something else has a row that says so", () => {
    const row = result.rows.find(({ peer }) => peer === "jax-js")!;
    expect(row).toMatchObject({ error: expect.stringMatching(/^the result differs from that of wasm by /) });
  });

  test("wattgrad's own row is whole, and there is no ratio to what has no time", () => {
    const own = result.rows.find(({ peer }) => peer === null)!;
    expect(own.times).toHaveLength(3);
    expect(result.rows.map((row) => speedup(row, result.rows))).toEqual([null, null, null]);
    const theirs = { ...own, peer: "tfjs", medianMs: 3 * own.medianMs! };
    expect(peerSummaries([own, theirs])).toEqual([
      { side: "tfjs wasm, node", speedup: expect.closeTo(3, 9), cases: 1, failed: 0 },
    ]);
  });
});

const here = fileURLToPath(new URL("../peers", import.meta.url));
const isInstalled = existsSync(join(here, "node_modules", "@jax-js", "jax"));
if (!isInstalled) {
  console.warn("LEFT OUT: tests with the other libraries; `npm ci --prefix test/peers` installs those");
}

/** Small ones of all kinds. */
const problems: readonly Problem[] = [
  { kind: "matmul", m: 9, k: 17, n: 21 },
  { kind: "matmul", m: 9, k: 17, n: 21, transposed: "a" },
  { kind: "matmul", m: 9, k: 17, n: 21, transposed: "b" },
  { kind: "matmul", batch: 3, m: 9, k: 17, n: 21 },
  { kind: "qmatmul", m: 5, k: 64, n: 24, bits: 8 },
  { kind: "qmatmul", m: 5, k: 64, n: 24, bits: 7 },
  { kind: "qmatmul", m: 5, k: 64, n: 24, bits: 4 },
  { kind: "conv", n: 2, c: 4, size: 9, o: 6, kernel: 3, padding: 1 },
  { kind: "conv", n: 2, c: 3, size: 13, o: 5, kernel: 5, padding: 2, stride: 2 },
  { kind: "conv", n: 1, c: 8, size: 9, o: 8, kernel: 3, padding: 1, groups: 8 },
  { kind: "conv", n: 1, c: 8, size: 9, o: 8, kernel: 3, padding: 1, int8: true },
  { kind: "attention", n: 2, heads: 3, length: 12, headDim: 8, causal: true },
  { kind: "attention", n: 2, heads: 3, length: 12, headDim: 8, causal: false },
  { kind: "attention", n: 2, heads: 3, length: 1, headDim: 8, keys: 12, causal: false },
  { kind: "elementwise", name: "add", rows: 8, columns: 40 },
  { kind: "elementwise", name: "chain", rows: 8, columns: 40 },
  { kind: "elementwise", name: "gelu", rows: 8, columns: 40 },
  { kind: "elementwise", name: "softmax", rows: 8, columns: 40 },
  { kind: "dispatch", ops: 8 },
];

/** What a library has no operations for. */
function lacks(peer: string, problem: Problem): RegExp | undefined {
  if (peer === "onnxruntime-web") return undefined;
  if (problem.kind === "qmatmul" || (problem.kind === "conv" && problem.int8)) return /whole numbers|int8/;
  return undefined;
}

describe.skipIf(!isInstalled).each(["tfjs", "onnxruntime-web", "jax-js"])(
  "%s computes what wattgrad does",
  (name) => {
    let ours: Contender;
    let peer: Contender;

    beforeAll(async () => {
      ours = await openOurs("wasm");
      const openers = peersOf(nodeLibraries(here, versions, 1), ["wasm"]);
      peer = await openers.find((each) => each.peer === name)!.open();
      expect(peer.details).toMatchObject({ threads: 1 });
    });

    afterAll(() => {
      ours.close();
      peer.close();
    });

    test.each(problems.map((problem) => [JSON.stringify(problem), problem] as const))(
      "%s",
      async (_, problem) => {
        const missing = lacks(name, problem);
        if (missing !== undefined) {
          await expect(peer.build(problem)).rejects.toThrow(missing);
          return;
        }
        const [own, theirs] = [await ours.build(problem), await peer.build(problem)];
        const expected = sketchOf(await own.result());
        for (let i = 0; i < 2; i++) {
          requireSame(sketchOf(await theirs.result()), expected, "wattgrad", theirs.step);
          await theirs.run();
          await theirs.finish();
        }
        own.close();
        theirs.close();
      },
    );

    test("the first losses of the MLP, or that it does not train", async () => {
      const problem = { kind: "train", model: "mlp" } as const;
      if (name === "onnxruntime-web") {
        await expect(peer.build(problem)).rejects.toThrow("does not train");
        return;
      }
      const [own, theirs] = [await ours.build(problem), await peer.build(problem)];
      for (let i = 0; i < 5; i++) {
        const [expected, loss] = [(await own.result())[0], (await theirs.result())[0]];
        expect(Math.abs(loss - expected)).toBeLessThan(1e-3 * expected);
      }
      own.close();
      theirs.close();
    });
  },
);
