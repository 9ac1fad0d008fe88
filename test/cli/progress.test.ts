/** The progress display of a training, with and without a terminal at stderr. */
import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type ProgressDisplay, showProgress } from "../../src/cli/progress.js";

afterEach(() => vi.useRealTimers());

function start(isTTY: boolean): { display: ProgressDisplay; shown: () => string } {
  const stream = new PassThrough();
  // What the bar asks of a terminal.
  Object.assign(stream, { isTTY, columns: 100, cursorTo() {}, clearLine() {}, moveCursor() {} });
  const parts: string[] = [];
  stream.on("data", (part) => parts.push(String(part)));
  const display = showProgress(stream as unknown as NodeJS.WriteStream);
  const state = { epoch: 1, step: 0, samples: 0, seconds: 0, history: [], epochEnded: false };
  display.onStart!({ epochs: 1, stepsPerEpoch: 10, state });
  return { display, shown: () => parts.join("") };
}

describe("progress of a training", () => {
  it("in lines: one every few seconds, of shaders until there are steps", () => {
    vi.useFakeTimers();
    const { display, shown } = start(false);
    display.onWarmup!({ done: 1, all: 40 });
    expect(shown()).toBe("");
    vi.advanceTimersByTime(6000);
    display.onWarmup!({ done: 17, all: 40 });
    display.onWarmup!({ done: 18, all: 40 });
    vi.advanceTimersByTime(6000);
    display.onStep!({ step: 1, epoch: 1, samples: 8, loss: 0.5, metrics: { accuracy: 0.25 } });
    display.onStep!({ step: 2, epoch: 1, samples: 8, loss: 0.5, metrics: { accuracy: 0.25 } });
    display.end();
    const lines = shown().trimEnd().split("\n");
    expect(lines[0]).toBe("compiling shaders 17/40");
    expect(lines[1]).toMatch(/^step 1\/10, epoch 1\/1 \| loss 0\.5000 \| accuracy 25\.0 % /);
    expect(lines.length).toBe(2);
  });

  it("in a bar", async () => {
    const { display, shown } = start(true);
    display.onWarmup!({ done: 3, all: 40 });
    await vi.waitFor(() => expect(shown()).toContain("compiling shaders 3/40"));
    display.onStep!({ step: 4, epoch: 1, samples: 8, loss: 0.5, metrics: { accuracy: 0.25 } });
    await vi.waitFor(() => expect(shown()).toContain("loss 0.5000"));
    display.end();
    expect(shown()).toContain("40%");
  });
});
