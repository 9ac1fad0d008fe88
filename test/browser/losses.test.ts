/**
 * A lost WebGL context is detected before any invalid result is used, and training resumes from the last snapshot with the same bits as
 * without the loss (src/device/recovery.ts).
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBrowser } from "./open.js";
import type { LossPoint, LossyTraining } from "./pages/losses.js";

/** Milliseconds for a training with twenty losses: after each, all shaders are compiled anew. */
const longest = 300_000;
const lossCount = 20;

/** Where a training of 60 steps is struck; the same for the same seed (the generator of Park and Miller). */
function randomPoints(seed: number): LossPoint[] {
  let state = seed;
  const draw = (limit: number) => {
    state = (state * 48271) % 2147483647;
    return state % limit;
  };
  // A step has some 30 draws, a validation as many: losses fall into any of them, or into coming back from another.
  return Array.from({ length: lossCount }, () => ({ step: draw(58), draws: draw(60) }));
}

const browser = await openBrowser("swiftshader");
if (typeof browser === "string") {
  it.skip(`lost contexts: ${browser}`);
} else {
  afterAll(() => browser.close());
  const page = await browser.openPage();

  const trainings = {
    "fit in a worker": (storage: "rgba32f" | "rgba32ui", loseAt: readonly LossPoint[]) =>
      page.evaluate((options) => globalThis.wattgradPage.fitInWorker(options), { storage, loseAt }),
    fit: (storage: "rgba32f" | "rgba32ui", loseAt: readonly LossPoint[]) =>
      page.evaluate((options) => globalThis.wattgradPage.losses.fitThrough(options), { storage, loseAt }),
    "a loop": (storage: "rgba32f" | "rgba32ui", loseAt: readonly LossPoint[]) =>
      page.evaluate((options) => globalThis.wattgradPage.losses.loopThrough(options, false), {
        storage,
        loseAt,
      }),
    "a loop through jit": (storage: "rgba32f" | "rgba32ui", loseAt: readonly LossPoint[]) =>
      page.evaluate((options) => globalThis.wattgradPage.losses.loopThrough(options, true), {
        storage,
        loseAt,
      }),
  };
  const runs = [
    ["fit", "rgba32f", 1],
    ["fit", "rgba32ui", 2],
    ["a loop", "rgba32f", 3],
    ["a loop through jit", "rgba32ui", 4],
    ["fit in a worker", "rgba32f", 5],
  ] as const;

  for (const [name, storage, seed] of runs) {
    describe(`${lossCount} losses in a training with ${name}, floats in ${storage}`, () => {
      let undisturbed: LossyTraining;
      let disturbed: LossyTraining;
      beforeAll(async () => {
        undisturbed = await trainings[name](storage, []);
        disturbed = await trainings[name](storage, randomPoints(seed));
      }, longest);

      it("learns, without a loss", () => {
        expect(undisturbed.restored).toEqual([]);
        const [first, last] = [undisturbed.losses[0], undisturbed.losses.at(-1)!];
        expect(last).toBeLessThan(first / 2);
      });

      it("goes back to snapshots, of different steps", () => {
        // Losses that come while the device is coming back are dealt with together.
        expect(disturbed.restored.length).toBeGreaterThan(lossCount / 2);
        expect(new Set(disturbed.restored).size).toBeGreaterThan(5);
        expect(disturbed.draws).toBeGreaterThan(undisturbed.draws);
      });

      it("ends with the same weights, bit for bit, and has seen the same losses", () => {
        expect(disturbed.weights).toEqual(undisturbed.weights);
        expect(disturbed.losses).toEqual(undisturbed.losses);
      });
    });
  }

  it("a lost device says so at every use, until it is restored", async () => {
    const found = await page.evaluate(() => globalThis.wattgradPage.losses.useWhileLost());
    const lost = "DEVICE_LOST";
    const every = { allocate: lost, write: lost, read: lost, run: lost, snapshot: lost };
    expect(found.whileLost).toEqual(every);
    expect(found.untilRestored).toEqual(every);
    expect(found.readUnderWay).toBe(lost);
    expect(found.reason).toMatch(/context/);
    expect(found.after).toEqual({
      old: [1, 2, 3],
      young: "STALE_TENSOR",
      usesYoung: "STALE_TENSOR",
      builtBefore: [2, 3, 4],
      ofMoved: "STALE_TENSOR",
      moved: [1, 2, 3],
      lazyInput: [
        [2, 4, 6],
        [3, 5, 7],
      ],
      sum: [2, 3, 4],
      restoreAgain: "nothing",
    });
    expect(found.second).toBe("told");
  });

  it("an update that was lost before it ran leaves nothing behind", async () => {
    const { code, weights, undisturbed } = await page.evaluate(() =>
      globalThis.wattgradPage.losses.loseBeforeUpdate(),
    );
    expect(code).toBe("DEVICE_LOST");
    expect(weights).toEqual(undisturbed);
  });

  it("without a snapshot a loss is a typed error", async () => {
    const codes = await page.evaluate(() => globalThis.wattgradPage.losses.loseWithoutSnapshot());
    expect(codes).toEqual({ use: "DEVICE_LOST", restore: "DEVICE_LOST" });
  });

  for (const storage of ["rgba32f", "rgba32ui", "rgba16f"] as const) {
    it(`a snapshot has every bit of every dtype, floats in ${storage}`, async () => {
      const { dtypes, differing } = await page.evaluate(
        (kind) => globalThis.wattgradPage.losses.restoreEveryDtype(kind),
        storage,
      );
      expect(dtypes.length).toBe(7);
      expect(differing).toEqual([]);
    });
  }

  it("snapshots at an interval, which read only what has changed", async () => {
    const { readsPerSnapshot, restored } = await page.evaluate(() =>
      globalThis.wattgradPage.losses.snapshotsByThemselves(),
    );
    expect(restored).toEqual(Array.from({ length: 30 }, (_, i) => i));
    // The running sum, and what was made of it in the same moment; not the thirty constants.
    expect(readsPerSnapshot).toBeLessThan(5);
  });

  it("lost contexts: no error but those of the tests", () => {
    expect(browser.problems).toEqual([]);
  });
}
