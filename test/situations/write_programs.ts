/**
 * Partial in-place writes of tensors: their cost, their order relative to reads, and their failures. Each program returns its failed
 * expectations: none, on every device.
 */
import { IndexError, StaleTensorError } from "../../src/core/errors.js";
import type { Device } from "../../src/device/device.js";
import type { Program } from "../../src/kernels/kernel.js";
import * as ops from "../../src/ops/index.js";
import type { Tensor } from "../../src/ops/methods.js";
import { cost } from "../../src/profile/index.js";
import { commit } from "../../src/runtime/commit.js";
import { memory } from "../../src/runtime/counters.js";
import { jit } from "../../src/runtime/jit.js";

const [batch, capacity, width] = [2, 6, 4];

class Situation {
  readonly wrong: string[] = [];
  readonly device: Device;

  constructor(device: Device) {
    this.device = device;
  }

  is(what: string, got: unknown, want: unknown): void {
    const [a, b] = [got, want].map((value) =>
      JSON.stringify(ArrayBuffer.isView(value) ? [...(value as never)] : value),
    );
    if (a !== b) this.wrong.push(`${what}: ${a}, expected ${b}`);
  }

  async fails(
    what: string,
    run: () => unknown,
    kind: new (...args: never[]) => Error,
    message = "",
  ): Promise<void> {
    try {
      await run();
      this.wrong.push(`${what}: no error`);
    } catch (error) {
      if (!(error instanceof kind) || !error.message.includes(message)) this.wrong.push(`${what}: ${error}`);
    }
  }

  /** [batch, count, width] of from, from + 1, …: whole numbers that are halves. */
  rows(count: number, from: number): Tensor {
    const values = Float32Array.from({ length: batch * count * width }, (_, i) => from + i);
    return ops.tensor(values, { shape: [batch, count, width], device: this.device });
  }

  starts(...values: number[]): Tensor {
    return ops.tensor(Int32Array.from(values), { device: this.device });
  }

  cache(value = 0): Tensor {
    return ops.full([batch, capacity, width], value, { device: this.device }).realize();
  }

  /** The whole cache with `source` written at each entry's start. */
  async written(before: Tensor, source: Tensor, starts: readonly number[]): Promise<Tensor> {
    const [values, rows] = [await before.data(), await source.data()];
    const count = source.shape[1];
    const result = Float32Array.from(values);
    starts.forEach((at, n) => {
      result.set(rows.subarray(n * count * width, (n + 1) * count * width), (n * capacity + at) * width);
    });
    return ops.tensor(result, { shape: before.shape, device: this.device });
  }
}

function kernelsOf(programs: readonly { program: Program }[]): string[] {
  return programs.flatMap(({ program }) => program.calls.map(({ kernel }) => kernel));
}

export const writePrograms: Readonly<Record<string, (device: Device) => Promise<readonly string[]>>> = {
  "an assigned part is written where it is: the bytes are those of its rows": async (device) => {
    const s = new Situation(device);
    const cache = s.cache();
    const [source, starts] = [s.rows(1, 1), s.starts(0, 4)];
    const want = await s.written(cache, source, [0, 4]);
    const { programs, bytes } = await cost(device, () =>
      cache.assign(ops.sliceScatter(cache, source, 1, starts)),
    );
    s.is("kernels", kernelsOf(programs), ["map", "gather", "map", "write"]);
    // A zero is made; per start the check takes 3 words, adding it 3 and the write 1.
    const words = 1 + 7 * batch;
    const float = device.info.float32Bytes ?? 4;
    s.is("bytes", bytes, 4 * words + float * 2 * batch * width);
    s.is("cache", await cache.data(), await want.data());
    return s.wrong;
  },

  "what is computed afterwards sees it, what was computed before does not, in one Program": async (
    device,
  ) => {
    const s = new Situation(device);
    const step = jit((cache: Tensor, source: Tensor, starts: Tensor) => {
      const before = ops.sum(cache, 1);
      cache.assign(ops.sliceScatter(cache, source, 1, starts));
      const between = ops.sum(cache, 1);
      cache.assign(ops.sliceScatter(cache, ops.mul(source, 2), 1, ops.add(starts, 1)));
      return [before, between, ops.sum(cache, 1)];
    });
    for (let repeat = 0; repeat < 3; repeat++) {
      const cache = s.cache(repeat);
      const [source, starts] = [s.rows(1, 5), s.starts(1, 3)];
      const first = await s.written(cache, source, [1, 3]);
      const second = await s.written(first, ops.mul(source, 2), [2, 4]);
      const before = await ops.sum(cache, 1).data();
      const results = step(cache, source, starts);
      s.is("before", await results[0].data(), before);
      s.is("between", await results[1].data(), await ops.sum(first, 1).data());
      s.is("after", await results[2].data(), await ops.sum(second, 1).data());
      s.is("cache", await cache.data(), await second.data());
    }
    const { calls } = step.program(s.cache(), s.rows(1, 5), s.starts(1, 3))!;
    s.is("calls", calls.filter(({ kernel }) => kernel === "write").length, 2);
    // Nothing takes a copy of the cache.
    const { size } = s.cache();
    const copies = calls.filter(
      (call) => call.kernel === "map" && call.outputs[0].view.shape.join() === `${size}`,
    );
    s.is("copies", copies.length, 0);
    return s.wrong;
  },

  "a kernel that needs the old value and the new one has both": async (device) => {
    const s = new Situation(device);
    const cache = s.cache();
    const [source, starts] = [s.rows(2, 3), s.starts(4, 0)];
    const want = await (await s.written(cache, source, [4, 0])).data();
    const step = jit((cache: Tensor, source: Tensor, starts: Tensor) => {
      const before = ops.add(cache, 0.5);
      cache.assign(ops.sliceScatter(cache, source, 1, starts));
      return ops.sub(cache, before);
    });
    const difference = await step(cache, source, starts).data();
    s.is("cache", await cache.data(), want);
    s.is(
      "difference",
      difference,
      want.map((x) => x - 0.5),
    );
    return s.wrong;
  },

  "a part of a tensor moves within it": async (device) => {
    const s = new Situation(device);
    const cache = ops.add(s.cache(), s.rows(capacity, 0)).realize();
    const moved = ops.narrow(cache, 1, 0, capacity - 1);
    const want = await s.written(cache, ops.mul(moved, 1), [1, 1]);
    cache.assign(ops.sliceScatter(cache, moved, 1, 1));
    s.is("cache", await cache.data(), await want.data());
    return s.wrong;
  },

  "parts of texels leave the rest of them alone": async (device) => {
    const s = new Situation(device);
    const narrow = ops.full([2, 5, 3], 1, { device }).realize();
    const source = ops.tensor(
      Float32Array.from({ length: 12 }, (_, i) => i + 2),
      { shape: [2, 2, 3], device },
    );
    narrow.assign(ops.sliceScatter(narrow, source, 1, s.starts(1, 3)));
    const ones = [1, 1, 1];
    const want = [
      ...ones,
      2,
      3,
      4,
      5,
      6,
      7,
      ...ones,
      ...ones,
      ...ones,
      ...ones,
      ...ones,
      8,
      9,
      10,
      11,
      12,
      13,
    ];
    s.is("values", await narrow.data(), want);
    return s.wrong;
  },

  "whatever reads a value that needs it writes it, without a step": async (device) => {
    const s = new Situation(device);
    const cache = s.cache();
    for (let t = 0; t < capacity; t++) {
      const row = ops.full([batch, 1, width], t + 1, { device });
      cache.assign(ops.sliceScatter(cache, row, 1, s.starts(t, t)));
      const total = ops.sum(cache);
      const { programs } = await cost(device, () => total);
      s.is("kernels", kernelsOf(programs).includes("write"), true);
      s.is("waits", cache.pending === undefined, true);
      s.is("total", await total.item(), (((t + 1) * (t + 2)) / 2) * batch * width);
    }
    return s.wrong;
  },

  "a loop that reads nothing keeps memory flat": async (device) => {
    const s = new Situation(device);
    const cache = s.cache();
    const one = s.rows(1, 7);
    const loop = (count: number) => {
      for (let t = 0; t < count; t++) {
        cache.assign(ops.sliceScatter(cache, one, 1, s.starts(t % capacity, (t + 1) % capacity)));
      }
      commit(device);
    };
    loop(20);
    const before = memory(device).executables;
    loop(200);
    s.is("executables", memory(device).executables, before);
    s.is("rows", await ops.sum(ops.ne(cache, one)).item(), 0);
    return s.wrong;
  },

  "a start out of range is an error of what depends on it, and changes nothing at all": async (device) => {
    const s = new Situation(device);
    for (const starts of [
      [-1, 0],
      [0, capacity],
      [capacity - 1, 0],
    ]) {
      const cache = s.cache(1);
      const other = ops.zeros([3], { device }).realize();
      const step = jit((source: Tensor, starts: Tensor) => {
        other.assign(ops.add(other, 1));
        cache.assign(ops.sliceScatter(cache, source, 1, starts));
        return [ops.sum(cache), ops.sum(source)];
      });
      const [sum, fine] = step(s.rows(2, 1), s.starts(...starts));
      const outside = starts.find((x) => x < 0 || x > capacity - 2);
      const message = `start ${outside} of ${capacity - 1} places for 2 along dim 1`;
      for (let time = 0; time < 2; time++) await s.fails("the sum", () => sum.data(), IndexError, message);
      s.is("what does not depend on it", await fine.item(), 136);
      s.is("cache", await cache.data(), await s.cache(1).data());
      s.is("other", await other.data(), [0, 0, 0]);
      const [again] = step(s.rows(2, 1), s.starts(0, 4));
      s.is("the next sum", await again.item(), 136 + batch * (capacity - 2) * width);
      s.is("the next other", await other.data(), [1, 1, 1]);
    }
    return s.wrong;
  },

  "what was built on the old value is stale": async (device) => {
    const s = new Situation(device);
    const cache = s.cache();
    const before = ops.add(cache, 1);
    cache.assign(ops.sliceScatter(cache, s.rows(1, 1), 1, 0));
    await cache.data();
    await s.fails("a lazy tensor", () => before.data(), StaleTensorError);
    const weight = ops.ones([width], { device }).realize();
    weight.requiresGrad = true;
    const loss = ops.sum(ops.mul(cache, weight));
    await loss.data();
    cache.assign(ops.sliceScatter(cache, s.rows(1, 1), 1, 1));
    await cache.data();
    await s.fails("a gradient", () => loss.backward(), StaleTensorError);
    return s.wrong;
  },
};
