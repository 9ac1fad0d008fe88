/**
 * Generations of random lengths, cancelled at random places in any manner: memory and executables stay as they are. GENERATIONS=2000
 * runs as many as the project promises, instead of a few.
 */
import { expect, test } from "vitest";
import { philox } from "../../src/core/philox.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { type GenerateOptions, generate } from "../../src/generation/index.js";
import { type CausalModel, fromPretrained } from "../../src/models/index.js";
import { compileCount } from "../../src/runtime/counters.js";
import { fixtureSource } from "../models/fixture.js";
import "../../src/ops/methods.js";

const count = Number(process.env.GENERATIONS ?? 120);

const manners: readonly Partial<GenerateOptions>[] = [
  {},
  { doSample: true, seed: 3 },
  { promptLookupNumTokens: 5 },
  { numBeams: 2 },
];

test(`${count} generations, cancelled at random`, async () => {
  const device = await openWasm();
  const { model } = await fromPretrained<CausalModel>(fixtureSource("llama"), { device });
  let draws = 0;
  const below = (n: number) => philox([draws++, 0, 0, 0], [7, 7])[0] % n;

  async function once(
    manner: Partial<GenerateOptions>,
    length: number,
    tokens: number,
    end: number,
  ): Promise<string> {
    const inputIds = Array.from({ length }, () => 3 + below(50));
    const controller = new AbortController();
    const options = {
      inputIds,
      maxNewTokens: tokens,
      cacheCapacity: 64,
      signal: controller.signal,
      ...manner,
    };
    const generation = generate(model, options);
    // While a step runs, between two tokens by an abort or by leaving the loop, or never.
    const kind = ["timer", "abort", "leave", "none"][end];
    const timer =
      kind === "timer" ? setTimeout(() => controller.abort(new Error("enough")), below(8)) : undefined;
    try {
      let left = below(tokens) + 1;
      for await (const _ of generation) {
        if (--left > 0) continue;
        if (kind === "abort") controller.abort(new Error("enough"));
        if (kind === "leave") break;
      }
      return kind;
    } catch (error) {
      if ((error as Error).message !== "enough") throw error;
      return `${kind}: aborted`;
    } finally {
      clearTimeout(timer);
    }
  }

  // Each manner with all lengths of chunks: everything is compiled.
  for (const manner of manners) for (const length of [1, 5, 20, 45]) await once(manner, length, 15, 3);
  const held = () => {
    const { liveBuffers, liveBytes, executables, reservedBytes } = device.memory();
    return { liveBuffers, liveBytes, executables, reservedBytes, compiled: compileCount(device) };
  };
  const before = held();
  const outcomes = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const outcome = await once(manners[below(manners.length)], 1 + below(45), 1 + below(18), below(4));
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  expect(held()).toEqual(before);
  expect(outcomes.get("abort: aborted")).toBeGreaterThan(0);
  expect(outcomes.get("timer: aborted")).toBeGreaterThan(0);
  console.info(`${count} generations:`, Object.fromEntries(outcomes), before);
  device.close();
}, 1_800_000);
