/** profile, its table and its Chrome trace, and the roofline. */
import { describe, expect, test } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openDevice } from "../../src/device/select.js";
import {
  backward,
  type Device,
  jit,
  leaf,
  noGrad,
  randn,
  type Tensor,
  totalCost,
  zeros,
} from "../../src/index.js";
import { crossEntropy, Linear, ReLU, Sequential } from "../../src/nn/index.js";
import { Adam } from "../../src/optim/index.js";
import {
  attainable,
  chromeTrace,
  cost,
  formatProfile,
  openDry,
  profile,
  programCost,
  roofline,
} from "../../src/profile/index.js";

async function training() {
  const device = await openDevice("wasm");
  const model = new Sequential(new Linear(20, 32, { device }), new ReLU(), new Linear(32, 5, { device }));
  const optimizer = new Adam(model.parameters(), { lr: 1e-3 });
  const step = jit((x: Tensor, y: Tensor) => {
    const loss = crossEntropy(model.forward(x), y);
    backward(loss);
    optimizer.step();
    return loss;
  });
  const x = randn([16, 20], { device });
  const y = zeros([16], { device, dtype: "int32" });
  return { device, model, optimizer, step, x, y };
}

describe("a training step", () => {
  test("every call has its kernel, its module, its time and its cost", async () => {
    const { device, model, step, x, y } = await training();
    step(x, y);
    const report = await profile(device, () => step(x, y), { model, repetitions: 3 });
    const { flops, bytes } = programCost(device, step.program(x, y)!);
    expect(report.total).toMatchObject({ flops, bytes, share: 1 });
    expect(report.calls).toHaveLength(step.program(x, y)!.calls.length);
    for (const rows of [report.kernels, report.modules]) {
      expect(rows.reduce((sum, row) => sum + row.flops, 0)).toBe(flops);
      expect(rows.reduce((sum, row) => sum + row.bytes, 0)).toBe(bytes);
      expect(rows.reduce((sum, row) => sum + row.share, 0)).toBeCloseTo(1, 9);
      const times = rows.map(({ seconds }) => seconds);
      expect(times).toEqual([...times].sort((a, b) => b - a));
    }
    expect(report.total.seconds).toBeGreaterThan(0);

    const byName = new Map(report.modules.map((row) => [row.name, row]));
    const [n, first, second] = [16, 20 * 32, 32 * 5];
    // With the bias and the ReLU of module 1, its epilogue.
    expect(byName.get("0")!.flops).toBe(2 * n * first + 2 * n * 32);
    expect(byName.get("2")!.flops).toBe(2 * n * second + n * 5);
    // Weights, biases; the input of the second layer.
    expect(byName.get("0 (gradient)")!.flops).toBe(2 * n * first + n * 32);
    // With the mask of the ReLU, an epilogue of the product for the input of the second layer.
    expect(byName.get("2 (gradient)")!.flops).toBe(2 * 2 * n * second + n * 5 + n * 32);
    expect(byName.get("Adam")!.flops).toBe(13 * model.parameterCount());
    expect([...byName.keys()].filter((name) => name.startsWith("(outside"))).toHaveLength(2);
    expect(report.kernels.map(({ name }) => name)).toContain("linear + relu: matmul [16, 20] × [20, 32]");
  });

  test("the step itself is done once, and the model is as it was", async () => {
    const { device, model, step, x, y } = await training();
    const twin = await training();
    await twin.model.loadStateDict(await stateOf(model));
    await profile(device, () => step(x, y), { model, repetitions: 1 });
    twin.step(await copyOf(x, twin.device), await copyOf(y, twin.device));
    expect(await stateOf(model)).toEqual(await stateOf(twin.model));
    expect(Object.keys(model)).not.toContain("forward");
    expect(Object.hasOwn(model, "forward")).toBe(false);
    // And later calls replay what was recorded without a profile.
    const { liveBuffers } = device.memory();
    for (let i = 0; i < 3; i++) step(x, y).dispose();
    expect(device.memory().liveBuffers).toBe(liveBuffers);
  });

  test("tables have a row for each kernel and module, and a sum", async () => {
    const { device, model, step, x, y } = await training();
    const text = formatProfile(await profile(device, () => step(x, y), { model, repetitions: 1 }));
    expect(text).toMatch(/^kernel +calls +ms +share +MFLOP +MB +GFLOP\/s +FLOP\/byte$/m);
    expect(text).toMatch(/^linear \+ relu: matmul \[16, 20\] × \[20, 32\] +1 /m);
    expect(text).toMatch(/^module +calls/m);
    expect(text).toMatch(/^2 \(gradient\) +3 /m);
    expect(text.match(/^all .* 100\.0 %/gm)).toHaveLength(3);
    expect(text).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("the trace has its calls one after another, under their modules", async () => {
    const { device, model, step, x, y } = await training();
    const report = await profile(device, () => step(x, y), { model, repetitions: 1 });
    const trace = JSON.parse(JSON.stringify(chromeTrace(report))) as ReturnType<typeof chromeTrace>;
    const events = trace.traceEvents.filter(({ ph }) => ph === "X");
    const kernels = events.filter(({ cat }) => cat !== "module");
    const modules = events.filter(({ cat }) => cat === "module");
    expect(kernels).toHaveLength(report.calls.length);
    let now = 0;
    for (const { ts, dur } of kernels) {
      expect(ts).toBeCloseTo(now, 6);
      now += dur!;
    }
    expect(now).toBeCloseTo(report.total.seconds * 1e6, 6);
    expect(modules.reduce((sum, { dur }) => sum + dur!, 0)).toBeCloseTo(now, 6);
    for (const { ts, dur, args } of kernels) {
      const above = modules
        .filter((m) => m.ts! <= ts! + 1e-6 && ts! + dur! <= m.ts! + m.dur! + 1e-6)
        .map(({ name }) => name);
      // A call that the clock saw take no time lies in two where one module ends and the next begins.
      if (dur! > 3e-6) expect(above).toEqual([args!.module]);
      else expect(above).toContain(args!.module);
    }
    expect(trace.traceEvents.filter(({ ph }) => ph === "M").map(({ args }) => args!.name)).toEqual([
      device.info.description,
      "modules",
      "kernels",
    ]);
  });
});

test("functions without a model, lazy results, several Programs", async () => {
  const device = openReference();
  const x = randn([4, 4], { device });
  await x.data();
  const report = await profile(
    device,
    async () => {
      const y = noGrad(() => x.matmul(x));
      await y.data();
      return [y.add(1), y.sum(0)];
    },
    { repetitions: 1 },
  );
  expect(report.modules).toHaveLength(1);
  expect(report.total.flops).toBe(2 * 4 ** 3 + 16 + 16);
  await expect(profile(device, () => {}, { repetitions: 0 })).rejects.toThrow(ArgumentError);
});

test("an error in the function leaves no trace of the profile", async () => {
  const { device, model, step, x, y } = await training();
  const fail = () => {
    throw new RangeError("no");
  };
  await expect(profile(device, fail, { model })).rejects.toThrow("no");
  expect(Object.hasOwn(model, "forward")).toBe(false);
  step(x, y);
  expect(step.program(x, y)!.provenance).toBeUndefined();
});

test("cost counts what is run, on a device that computes nothing as well", async () => {
  const [wasm, dry] = [await openDevice("wasm"), openDry()];
  const counted = await Promise.all(
    [wasm, dry].map(async (device) => {
      const [a, b] = [zeros([8, 3], { device }), zeros([3, 5], { device })];
      await Promise.all([a.data(), b.data()]);
      return cost(device, () => a.matmul(b));
    }),
  );
  for (const { flops, bytes, programs } of counted) {
    expect({ flops, bytes }).toEqual({ flops: 2 * 8 * 3 * 5, bytes: 4 * (24 + 15 + 40) });
    expect(programs).toHaveLength(1);
  }
  // Far more than this machine has: 6.4 GB a matrix.
  const huge = zeros([40_000, 40_000], { device: dry });
  expect((await cost(dry, () => huge.matmul(huge))).flops).toBe(2 * 40_000 ** 3);
  expect(dry.memory().peakBytes).toBeGreaterThan(4 * 40_000 ** 2);
  dry.close();
  expect(() => zeros([2], { device: dry }).realize()).toThrow(/closed/);
});

test("the total of a device, from the first question on", async () => {
  const device = openReference();
  const product = jit((a: Tensor, b: Tensor) => a.matmul(b));
  const [a, b] = [zeros([8, 3], { device }), zeros([3, 5], { device })];
  await product(a, b).data();
  expect(totalCost(device)).toEqual({ flops: 0, bytes: 0, runs: 0 });
  for (let i = 0; i < 3; i++) await product(a, b).data();
  const { flops, bytes } = programCost(device, product.program(a, b)!);
  expect({ flops, bytes }).toEqual({ flops: 2 * 8 * 3 * 5, bytes: 4 * (24 + 15 + 40) });
  const before = totalCost(device);
  expect(before).toEqual({ flops: 3 * flops, bytes: 3 * bytes, runs: 3 });
  await a.add(1).data();
  expect(totalCost(device)).toEqual({ flops: 3 * flops + 24, bytes: 3 * bytes + 2 * 4 * 24, runs: 4 });
  expect(before.runs).toBe(3);
});

test("the roofline: two measured peaks, and what lies under them", async () => {
  const device = await openDevice("wasm");
  const roof = await roofline(device);
  expect(roof.ridge).toBeCloseTo(roof.peakFlops / roof.peakBandwidth, 9);
  for (const { size, seconds, rate } of roof.products) expect(rate).toBeCloseTo((2 * size ** 3) / seconds, 0);
  for (const { size, seconds, rate } of roof.copies) expect(rate).toBeCloseTo((8 * size) / seconds, 0);
  expect(roof.peakFlops).toBeGreaterThan(1e8);
  expect(roof.peakBandwidth).toBeGreaterThan(1e8);
  expect(attainable(roof, roof.ridge / 4)).toBeCloseTo(roof.peakFlops / 4, 0);
  expect(attainable(roof, roof.ridge * 4)).toBe(roof.peakFlops);
});

async function stateOf(model: Sequential) {
  const entries = [...model.stateDict()].map(async ([name, tensor]) => {
    const { dtype, shape } = tensor;
    return [name, { dtype, shape, data: await tensor.data() }] as const;
  });
  return new Map(await Promise.all(entries));
}

async function copyOf(source: Tensor, device: Device): Promise<Tensor> {
  return leaf(device, source.dtype, source.shape, await source.data());
}
