/** Composite ops keep their name in profiles: forward and backward, fused, eager and with jit, compiled before or not. */
import { beforeAll, describe, expect, test } from "vitest";
import { ArgumentError } from "../../src/core/errors.js";
import { openReference } from "../../src/device/reference/reference.js";
import { openDevice } from "../../src/device/select.js";
import { composite, type Device, jit, noGrad, randint, randn, type Tensor } from "../../src/index.js";
import { CharGpt, CifarResNet } from "../../src/models/index.js";
import { crossEntropy, Linear } from "../../src/nn/index.js";
import { AdamW } from "../../src/optim/index.js";
import { formatProfile, type NamedModules, type Profile, profile } from "../../src/profile/index.js";

const once = { repetitions: 1 };

/** The ops of all calls, each once. */
function opsOf({ calls }: Profile): string[] {
  return [...new Set(calls.map(({ op }) => op))].sort();
}

describe.each(["wasm", "reference"])("%s", (name) => {
  let device: Device;
  beforeAll(async () => {
    device = name === "wasm" ? await openDevice("wasm") : openReference();
  });

  function gpt() {
    const model = new CharGpt({
      vocabulary: 11,
      context: 6,
      width: 8,
      numLayers: 1,
      numHeads: 2,
      dropout: 0.1,
      device,
    });
    const optimizer = new AdamW(model.parameters(), { lr: 1e-3 });
    const step = (x: Tensor, y: Tensor) => {
      const loss = crossEntropy(model.forward(x).reshape([-1, 11]), y.reshape([-1]));
      loss.backward();
      optimizer.step();
      return loss;
    };
    const [x, y] = [randint(0, 11, [2, 6], { device }), randint(0, 11, [2, 6], { device })];
    return { model, step, x, y };
  }

  /** The ops of a training step of a GPT; products have what reads them as epilogue. */
  function expectOpsOfGpt(report: Profile): void {
    const ops = opsOf(report);
    const contained = new Set(ops.flatMap((op) => op.split(" + ")));
    for (const op of ["embedding", "layerNorm", "linear", "gelu", "crossEntropy", "dropout"]) {
      expect(contained).toContain(op);
      expect(contained).toContain(`${op} (gradient)`);
    }
    expect(contained).toContain("scaledDotProductAttention");
    expect(contained).toContain("scaledDotProductAttention (gradient)");
    expect(ops).toContain("AdamW");
    // What composites are made of has no rows of its own.
    for (const part of ["exp", "max", "sub", "square", "rsqrt", "sqrt", "erf", "log"]) {
      expect(contained).not.toContain(part);
      expect(contained).not.toContain(`${part} (gradient)`);
    }
    for (const { op, name, module } of report.calls) {
      expect(name.startsWith(`${op}: `)).toBe(true);
      if (op === "AdamW") expect(module).toBe("AdamW");
      if (op === "layerNorm") expect(module).toMatch(/ln1$|ln2$|norm$/);
      if (op === "layerNorm (gradient)") expect(module).toMatch(/(ln1|ln2|norm) \(gradient\)$/);
    }
    const share = report.ops.reduce((sum, op) => sum + op.share, 0);
    expect(share).toBeCloseTo(1, 9);
    expect(report.ops.reduce((sum, { calls }) => sum + calls, 0)).toBe(report.calls.length);
  }

  test("a GPT's training step, eager, and the same again", async () => {
    const { model, step, x, y } = gpt();
    await Promise.all([x.data(), y.data()]);
    await step(x, y).data();
    for (let i = 0; i < 2; i++) expectOpsOfGpt(await profile(device, () => step(x, y), { ...once, model }));
  });

  test("a GPT's training step that jit had compiled before, with and without names of modules", async () => {
    const { model, step, x, y } = gpt();
    const compiled = jit(step);
    await compiled(x, y).data();
    expect(compiled.program(x, y)!.provenance).toBeUndefined();
    const ofModel = await profile(device, () => compiled(x, y), { ...once, model });
    expectOpsOfGpt(ofModel);
    const { calls, modules } = await profile(device, () => compiled(x, y), once);
    expect(calls.map(({ op }) => op)).toEqual(ofModel.calls.map(({ op }) => op));
    const outside = "(outside of modules)";
    const names = modules.map((row) => row.name).sort();
    expect(names).toEqual([outside, `${outside} (gradient)`, "AdamW"]);
    // Calls without a profile run what they ran before.
    await compiled(x, y).data();
    expect(compiled.program(x, y)!.provenance).toBeUndefined();
  });

  test("ResNet: a batch norm is one op, and so is what follows in its kernel", async () => {
    const model = new CifarResNet({ depth: 8, device });
    model.eval();
    const x = randn([1, 3, 8, 8], { device });
    await x.data();
    const forward = jit((input: Tensor) => noGrad(() => model.forward(input)));
    await forward(x).data();
    for (const run of [() => forward(x), () => noGrad(() => model.forward(x))]) {
      const report = await profile(device, run, { ...once, model });
      const contained = new Set(opsOf(report).flatMap((op) => op.split(" + ")));
      for (const op of ["conv2d", "batchNorm", "relu", "add", "adaptiveAvgPool2d", "linear"]) {
        expect(contained).toContain(op);
      }
      for (const part of ["mul", "sub", "rsqrt", "sum", "div"]) expect(contained).not.toContain(part);
      const convolutions = report.calls.filter(({ kernel }) => kernel === "conv");
      for (const { op } of convolutions) expect(op).toMatch(/^conv2d/);
    }
  });

  test("methods, functions, nested composites and names of the user's own", async () => {
    const x = randn([4, 6], { device });
    x.requiresGrad = true;
    await x.data();
    const ops = async (fn: () => unknown, model?: NamedModules) =>
      opsOf(await profile(device, fn, { ...once, ...(model && { model }) }));
    expect(await ops(() => x.softmax(1))).toEqual(["softmax"]);
    expect(await ops(() => x.logsumexp(1).square())).toEqual(["logsumexp", "logsumexp + mul"]);
    // Smoothing uses logSoftmax, which is a part of the loss here.
    const labels = randint(0, 6, [4], { device });
    await labels.data();
    expect(await ops(() => crossEntropy(x, labels, { labelSmoothing: 0.1 }))).toEqual(["crossEntropy"]);

    const rmsNorm = (t: Tensor) =>
      composite("rmsNorm", () => t.mul(t.square().mean(-1, { keepdim: true }).add(1e-6).rsqrt()));
    expect(await ops(() => rmsNorm(x))).toEqual(["rmsNorm"]);
    const withGradient = async () => {
      rmsNorm(x).sum().backward();
      const gradient = x.grad;
      x.grad = undefined;
      return gradient;
    };
    expect(await ops(withGradient)).toEqual([
      "copy",
      "rmsNorm",
      "rmsNorm (gradient)",
      "rmsNorm (gradient) + add",
      "rmsNorm + sum",
    ]);

    // Modules in a composite have its name, and are modules still.
    const layer = new Linear(6, 3, { device });
    const inside = await profile(device, () => composite("projection", () => layer.forward(x).softmax(-1)), {
      ...once,
      model: layer,
    });
    expect(opsOf(inside)).toEqual(["projection"]);
    expect(inside.modules.map((row) => row.name).sort()).toEqual(["(model)", "(outside of modules)"]);
  });

  test("many ops in one kernel: the composites are named", async () => {
    const x = randn([4, 6], { device });
    await x.data();
    const report = await profile(device, () => x.add(1).mul(x).sin().abs().sub(2).gelu(), once);
    expect(opsOf(report)).toEqual(["gelu + …"]);
    const plain = await profile(device, () => x.add(1).mul(x).sin().abs().sub(2), once);
    expect(opsOf(plain)).toEqual(["add + mul + sin + abs + …"]);
    const few = await profile(device, () => x.add(1).gelu(), once);
    expect(opsOf(few)).toEqual(["add + gelu"]);
    const moved = await profile(device, () => x.transpose(0, 1), once);
    expect(opsOf(moved)).toEqual(["copy"]);
  });

  test("the table has them", async () => {
    const x = randn([4, 6], { device });
    await x.data();
    const text = formatProfile(await profile(device, () => x.softmax(1), once));
    expect(text).toMatch(/^op +calls +ms +share/m);
    expect(text).toMatch(/^softmax +\d+ /m);
    expect(text).toMatch(/^softmax: reduce max \[4, 6\] over 1 +1 /m);
    expect(text).not.toMatch(/exp|sub/);
  });
});

test("a composite is synchronous, and has a name", () => {
  expect(composite("three", () => 3)).toBe(3);
  expect(() => composite("later", async () => {})).toThrow(ArgumentError);
  expect(() => composite(3 as never, () => {})).toThrow(/^composite: the name/);
  expect(() => composite("none", undefined as never)).toThrow(/^composite: the second argument/);
});
