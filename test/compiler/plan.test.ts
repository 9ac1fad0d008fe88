/** The memory plan of real networks' training steps, and that its check notices plans that are wrong. */
import { describe, expect, it } from "vitest";
import { jit } from "../../src/compiler/jit.js";
import type { Device } from "../../src/device/device.js";
import type { Program, SlotInfo } from "../../src/device/kernel.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { CharGpt, Cnn, Mlp } from "../../src/models/index.js";
import { crossEntropy, type Module } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { AdamW, clipGradNorm } from "../../src/optim/index.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { checkProgram, checkPrograms } from "./program_check.js";

const networks: Record<string, { make(device: Device): Module; input(device: Device): Tensor }> = {
  mlp: {
    make: (device) => new Mlp({ sizes: [12, 8, 4], device }),
    input: (device) => ops.ones([5, 12], { device }),
  },
  cnn: {
    make: (device) => new Cnn({ device, dropout: 0.1 }),
    input: (device) => ops.rand([2, 1, 28, 28], { device }),
  },
  charGpt: {
    make: (device) =>
      new CharGpt({ vocabulary: 7, context: 6, width: 8, numHeads: 2, numLayers: 2, dropout: 0.1, device }),
    input: (device) => ops.randint(0, 7, [2, 6], { device }),
  },
};

for (const [name, { make, input }] of Object.entries(networks)) {
  for (const open of [openReference, openWasm]) {
    it(`${name}, ${open === openWasm ? "wasm" : "reference"}: every Program of a training step is sound`, async () => {
      const device = await open();
      const checked = checkPrograms(device);
      const model = make(device);
      const optimizer = new AdamW(model.parameters());
      const plain = (x: Tensor) => {
        const logits = model.forward(x);
        const rows = logits.reshape([-1, logits.shape[logits.rank - 1]]);
        const loss = crossEntropy(rows, ops.zeros([rows.shape[0]], { device, dtype: "int32" }));
        loss.backward();
        clipGradNorm(model.parameters(), 1);
        optimizer.step();
        return loss;
      };
      const step = jit(plain);
      const x = input(device).realize();
      const losses: number[] = [];
      for (let i = 0; i < 4; i++) losses.push(await (i < 2 ? plain : step)(x).item());
      expect(losses[3]).toBeLessThan(losses[0]);
      // The step itself, and what made parameters and moments.
      expect(checked.count).toBeGreaterThan(3);
      device.close();
    });
  }
}

describe("the check", () => {
  /** A sound Program with several temporaries: gradients of two layers. */
  async function sample(): Promise<Program> {
    const device = openReference();
    const programs: Program[] = [];
    const { prepare } = device;
    device.prepare = (program) => {
      programs.push(program);
      return prepare.call(device, program);
    };
    const x = ops.tensor(new Float32Array(64), { device, shape: [8, 8], requiresGrad: true });
    x.matmul(x).softmax(1).matmul(x).softmax(0).sum().backward();
    await x.grad!.data();
    return programs.at(-1)!;
  }

  const withSlots = (program: Program, change: (slot: SlotInfo, i: number) => SlotInfo): Program => ({
    ...program,
    slots: program.slots.map(change),
  });

  it("passes a plan of the compiler's", async () => {
    expect(() => sample().then(checkProgram)).not.toThrow();
    checkProgram(await sample());
  });

  it("notices temporaries in one place", async () => {
    const program = await sample();
    expect(() =>
      checkProgram(withSlots(program, (slot) => (slot.offset < 0 ? slot : { ...slot, offset: 0 }))),
    ).toThrow(/in the same memory|share bytes|collide/);
  });

  it("notices a slot that is too small, beyond the arena or not aligned", async () => {
    const program = await sample();
    const last = program.slots.findLastIndex(({ offset }) => offset >= 0);
    const changed = (part: Partial<SlotInfo>) =>
      withSlots(program, (slot, i) => (i === last ? { ...slot, ...part } : slot));
    expect(() => checkProgram(changed({ size: program.slots[last].size - 1 }))).toThrow(/touched at/);
    expect(() => checkProgram(changed({ offset: program.arenaBytes }))).toThrow(/in an arena of/);
    expect(() => checkProgram(changed({ offset: 4 }))).toThrow(/lies at 4|in the same memory|share bytes/);
  });

  it("notices calls in the wrong order and calls that are missing", async () => {
    const program = await sample();
    expect(() => checkProgram({ ...program, calls: program.calls.toReversed() })).toThrow();
    expect(() => checkProgram({ ...program, calls: program.calls.slice(1) })).toThrow(/never written/);
  });
});
