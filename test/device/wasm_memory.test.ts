import { describe, expect, it } from "vitest";
import { itemSize } from "../../src/core/dtype.js";
import { DeviceError, OutOfMemoryError } from "../../src/core/errors.js";
import { rowMajor } from "../../src/core/view.js";
import { openWasm, type WasmDevice } from "../../src/device/wasm/wasm.js";
import type { Expression, KernelCall, Program } from "../../src/kernels/kernel.js";
import { load, operand } from "./wasm_check.js";

/** leaf 1 = leaf 0 + 1, through a temporary of `size` elements. */
function throughArena(size: number): Program {
  const whole = rowMajor([size]);
  const addOne: Expression = {
    instructions: [
      load(0, "float32"),
      { op: "constant", dtype: "float32", args: [], value: 0.5 },
      { op: "add", dtype: "float32", args: [0, 1] },
    ],
    results: [2],
  };
  const step = (from: number, to: number): KernelCall => ({
    kernel: "map",
    shape: [size],
    inputs: [operand(from, "float32", whole)],
    outputs: [operand(to, "float32", whole)],
    expression: addOne,
  });
  const slot = (offset: number) => ({ dtype: "float32" as const, size, offset });
  return {
    calls: [step(0, 2), step(2, 1)],
    slots: [slot(-1), slot(-1), slot(0)],
    leafCount: 2,
    scalars: [],
    arenaBytes: size * itemSize.float32,
  };
}

describe("wasm memory", () => {
  const steps = async (device: WasmDevice, size: number, executable = device.prepare(throughArena(size))) => {
    const [from, to] = [device.allocate("float32", size), device.allocate("float32", size)];
    device.write(from, new Float32Array(size).fill(2));
    device.run(executable, [from, to], []);
    expect((await device.read(to)).every((x) => x === 3)).toBe(true);
    device.free(from);
    device.free(to);
    return executable;
  };

  it("repatches executables when the arena and leaves move", async () => {
    const device = await openWasm();
    const small = await steps(device, 100);
    const middle = await steps(device, 10_000);
    await steps(device, 100, small);
    await steps(device, 1_000_000);
    await steps(device, 10_000, middle);
    await steps(device, 100, small);
    device.release(small);
    expect(device.memory().executables).toBe(2);
    expect(() => device.run(small, [], [])).toThrow(DeviceError);
  });

  it("does not grow in a steady state", async () => {
    const device = await openWasm();
    const executable = await steps(device, 5000);
    const { reservedBytes, peakBytes, liveBytes } = device.memory();
    for (let i = 0; i < 200; i++) {
      const extra = device.allocate("int8", 10 + i);
      await steps(device, 5000, executable);
      device.free(extra);
      device.free(extra);
    }
    expect(device.memory()).toMatchObject({ reservedBytes, liveBuffers: 0, liveBytes });
    expect(device.memory().peakBytes).toBeLessThan(peakBytes + 1024);
  });

  it("merges free blocks before it grows", async () => {
    const device = await openWasm();
    const large = 1 << 20;
    for (let round = 0; round < 3; round++) {
      const parts = Array.from({ length: 64 }, () => device.allocate("uint8", large / 64));
      for (const part of parts) device.free(part);
      device.free(device.allocate("uint8", large));
    }
    expect(device.memory().reservedBytes).toBeLessThan(4 * large);
  });

  it("throws a typed error when memory is exhausted, and goes on", async () => {
    const device = await openWasm({ maximumBytes: 8 << 20 });
    const executable = await steps(device, 1000);
    expect(() => device.allocate("float32", 10_000_000)).toThrow(OutOfMemoryError);
    expect(() => device.prepare(throughArena(10_000_000))).toThrow(OutOfMemoryError);
    const held = [];
    try {
      for (;;) held.push(device.allocate("float32", 100_000));
    } catch (error) {
      expect(error).toBeInstanceOf(OutOfMemoryError);
    }
    expect(held.length).toBeGreaterThan(5);
    device.free(held.pop()!);
    await steps(device, 1000, executable);
  });

  it("refuses use after close and after free", async () => {
    const device = await openWasm();
    const buffer = device.allocate("float32", 4);
    device.free(buffer);
    expect(() => device.write(buffer, new Float32Array(4))).toThrow(DeviceError);
    device.close();
    expect(() => device.allocate("float32", 4)).toThrow(DeviceError);
    expect(device.info.convLayout).toBe("channels-last");
  });
});
