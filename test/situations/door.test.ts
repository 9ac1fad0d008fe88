/** Wrong arguments of public functions: the message names the function, the argument and the way out. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as wg from "../../src/index.js";
import * as nn from "../../src/nn/index.js";
import { devices, reference } from "../devices.js";

/** For calls that TypeScript forbids and JavaScript does not. */
const js = <T>(value: unknown): T => value as T;

/** The message of the WattgradError that `fn` throws. */
function refusal(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(wg.WattgradError);
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

describe("the default device", () => {
  afterAll(() => wg.setDefaultDevice(undefined));

  it("is missed with the way out", () => {
    wg.setDefaultDevice(undefined);
    const way = "there is no default device (setDefaultDevice(await openDevice()) once, or give { device })";
    expect(refusal(() => wg.tensor([1, 2]))).toBe(`tensor: ${way}`);
    expect(refusal(() => wg.zeros([2]))).toBe(`zeros: ${way}`);
    expect(refusal(() => wg.randn([2]))).toBe(`randn: ${way}`);
    expect(refusal(() => wg.arange(3))).toBe(`arange: ${way}`);
    expect(refusal(() => wg.defaultDevice())).toBe(`defaultDevice: ${way}`);
  });

  it("is no name, promise or model", () => {
    expect(refusal(() => wg.setDefaultDevice(js("wasm")))).toContain(
      'the device is a device, got "wasm" (await openDevice("wasm") opens one)',
    );
    expect(refusal(() => wg.setDefaultDevice(js(wg.openDevice("reference"))))).toContain("await it first");
    expect(refusal(() => wg.setDefaultDevice(js(new nn.ReLU())))).toContain("got a ReLU");
    expect(refusal(() => wg.zeros([2], { device: js("wasm") }))).toContain('await openDevice("wasm")');
  });

  describe.each(devices)("$label", ({ device }) => {
    beforeAll(() => wg.setDefaultDevice(device));

    it("holds tensors, layers and random numbers", async () => {
      expect(nn.defaultDevice()).toBe(device);
      const matrix = [
        [1, 2],
        [3, 4],
      ];
      expect(await wg.tensor(matrix).sum(0).tolist()).toEqual([4, 6]);
      expect(
        await wg
          .zeros([2])
          .add(wg.ones([2]))
          .add(wg.full([2], 5))
          .tolist(),
      ).toEqual([6, 6]);
      expect(await wg.arange(3).tolist()).toEqual([0, 1, 2]);
      expect(await wg.arange(1, 7, 2).tolist()).toEqual([1, 3, 5]);
      expect(await wg.arange(0, 1, 0.5, { dtype: "float32" }).tolist()).toEqual([0, 0.5]);
      const made = [wg.rand([2]), wg.randn([2]), wg.randint(0, 3, [2]), new nn.Linear(2, 2).weight];
      for (const x of [...made, wg.scalar(new wg.RuntimeScalar(1)), nn.kaimingNormal([2, 2])]) {
        expect(x.device).toBe(device);
      }
      expect(wg.tensor(3, { device: reference }).device).toBe(reference);
    });
  });
});

describe("options", () => {
  beforeAll(() => wg.setDefaultDevice(reference));
  afterAll(() => wg.setDefaultDevice(undefined));
  const x = () => wg.ones([1, 1, 4, 4]);
  const weight = () => wg.ones([1, 1, 3, 3]);

  it("that are unknown are refused with the nearest name", () => {
    expect(refusal(() => new nn.Conv2d(1, 8, 3, js({ pading: 1 })))).toBe(
      'Conv2d: there is no option "pading" (did you mean padding? It takes stride, padding, dilation, groups, device, bias)',
    );
    expect(refusal(() => wg.conv2d(x(), weight(), js<object>({ Stride: 2 })))).toContain(
      "did you mean stride?",
    );
    expect(refusal(() => x().sum(1, js({ keepDims: true })))).toContain("did you mean keepdim?");
    expect(refusal(() => new nn.LayerNorm(4, js({ epsilon: 1 })))).toContain("did you mean eps?");
    expect(refusal(() => x().clamp(js({ minimum: 1 })))).toContain("did you mean min?");
    expect(refusal(() => new nn.Linear(1, 1, js({ zzz: 1 })))).toContain('"zzz" (device, bias)');
    for (const name of ["__proto__x", "constructor", "toString", "hasOwnProperty"]) {
      expect(refusal(() => new nn.Linear(1, 1, js({ [name]: 1 })))).toContain(name);
    }
  });

  it("that are positional are refused", () => {
    expect(refusal(() => new nn.Conv2d(1, 8, 3, js(1)))).toBe(
      "Conv2d: the last argument is one object of options { stride, padding, dilation, groups, device, bias }, got 1",
    );
    expect(refusal(() => Reflect.apply(wg.clamp, undefined, [x(), 0, 1]))).toContain("{ min, max }, got 0");
    expect(refusal(() => new nn.Linear(2, 2, js(false)))).toContain("got false");
    expect(refusal(() => x().sum(1, js(true)))).toContain("{ keepdim }, got true");
    expect(refusal(() => wg.zeros([2], js("float32")))).toContain('{ device, dtype }, got "float32"');
    expect(refusal(() => wg.zeros([2], js(reference)))).toContain("got a ReferenceDevice");
    expect(refusal(() => wg.gelu(x(), js("tanh")))).toContain("{ approximate }");
    expect(refusal(() => wg.zeros([2], js(null)))).toContain("got null");
  });

  it("of another kind are refused", () => {
    expect(refusal(() => wg.conv2d(x(), weight(), { padding: js("same") }))).toBe(
      'conv2d: padding is a number or a pair of numbers, got "same"',
    );
    expect(refusal(() => x().sum(1, { keepdim: js(1) }))).toContain("keepdim is true or false, got 1");
    expect(refusal(() => wg.mseLoss(x(), x(), { reduction: js("avg") }))).toContain(
      'reduction is one of mean, sum, none, got "avg"',
    );
    expect(refusal(() => wg.zeros([2], { dtype: js("float64") }))).toContain(
      'dtype is one of float32, float16, bfloat16, int32, uint8, int8, bool, got "float64"',
    );
    expect(refusal(() => x().cast(js("float8")))).toContain("the dtype is one of float32");
    expect(refusal(() => x().clamp({ min: Number.NaN }))).toContain("min is a number, got NaN");
  });

  it("stand in the place of a convolution's bias", async () => {
    const [input, filter] = [x(), weight()];
    const expected = await wg.conv2d(input, filter, undefined, { padding: 1 }).tolist();
    expect(await wg.conv2d(input, filter, { padding: 1 }).tolist()).toEqual(expected);
    expect(wg.conv1d(wg.ones([1, 1, 4]), wg.ones([1, 1, 3]), { padding: 1 }).shape).toEqual([1, 1, 4]);
    expect(wg.convTranspose2d(input, filter, { stride: 2 }).shape).toEqual([1, 1, 9, 9]);
    expect(refusal(() => wg.linear(js(1), wg.ones([1, 1])))).toBe(
      "linear: the input is a tensor, got 1 (tensor(…) makes one)",
    );
    expect(refusal(() => wg.linear(x(), wg.ones([1, 4]), js({ bias: 1 })))).toBe(
      "linear: the bias is a tensor, got { bias } (options come after all tensors)",
    );
  });
});

describe("arguments", () => {
  beforeAll(() => wg.setDefaultDevice(reference));
  afterAll(() => wg.setDefaultDevice(undefined));

  it("that are no tensors", () => {
    const promise = Promise.resolve(wg.ones([2]));
    expect(refusal(() => wg.add(js(promise), 1))).toBe(
      "add: the input is a tensor, got a Promise (await it first)",
    );
    expect(refusal(() => wg.relu(js(undefined)))).toContain("relu: the input is a tensor, got undefined");
    expect(refusal(() => new nn.Linear(2, 2).forward(js([1, 2])))).toContain("got an array (tensor(…)");
    expect(refusal(() => wg.matmul(wg.ones([2, 2]), js(new nn.ReLU())))).toContain("got a ReLU");
    expect(refusal(() => wg.stack(js(wg.ones([2]))))).toContain("an array of tensors, got a Tensor");
    expect(refusal(() => new nn.Sequential(js(nn.ReLU)))).toContain(
      "module 0 is a module, got a function (make it",
    );
  });

  it("that are no shapes, numbers or data", () => {
    expect(refusal(() => wg.zeros(js(3)))).toBe("zeros: the shape is an array of integers, got 3");
    expect(refusal(() => wg.ones([2]).reshape(js(2)))).toContain("the shape is an array of integers, got 2");
    expect(refusal(() => new nn.Linear(js("2"), 2))).toBe(
      'Linear: inFeatures is an integer of at least 0, got "2"',
    );
    expect(refusal(() => wg.tensor(js({ length: 2 })))).toContain(
      "tensor: the data is numbers in nested arrays",
    );
    expect(refusal(() => wg.softmax(wg.ones([2]), js({ dim: 0 })))).toContain(
      "dim is an integer, got { dim }",
    );
    expect(refusal(() => wg.ones([2]).sum(js({ keepdim: true })))).toContain("dims is an array of integers");
  });
});
