/** Values, shapes, dtypes and errors of the ops, on the reference device. */
import { beforeAll, describe, expect, it } from "vitest";
import { ArgumentError, DTypeError, ShapeError, StaleTensorError } from "../../src/core/errors.js";
import type { Device } from "../../src/device/device.js";
import { openReference } from "../../src/device/reference/reference.js";
import { RuntimeScalar } from "../../src/graph/op.js";
import * as ops from "../../src/ops/index.js";
import { type NestedValues, Tensor } from "../../src/ops/methods.js";
import { commit } from "../../src/runtime/commit.js";

let device: Device;
beforeAll(async () => {
  device = await openReference();
});

const t = (data: Parameters<typeof ops.tensor>[0]) => ops.tensor(data, { device });
const i32 = (...values: number[]) => t(Int32Array.from(values));
const u8 = (...values: number[]) => t(Uint8Array.from(values));

async function near(tensor: Tensor, expected: NestedValues) {
  const flat = (x: NestedValues): number[] => (Array.isArray(x) ? x.flatMap(flat) : [Number(x)]);
  const values = flat(await tensor.tolist());
  const wanted = flat(expected);
  expect(values.length).toBe(wanted.length);
  values.forEach((value, i) => {
    if (Number.isFinite(wanted[i])) expect(value).toBeCloseTo(wanted[i], 5);
    else expect(value).toBe(wanted[i]);
  });
}

describe("creation", () => {
  it("infers shape and dtype", async () => {
    const x = t([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect([x.shape, x.dtype]).toEqual([[2, 3], "float32"]);
    expect(await x.tolist()).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(t([true, false]).dtype).toBe("bool");
    expect(t(5).shape).toEqual([]);
    expect(i32(1, 2).dtype).toBe("int32");
    expect(() => t([[1, 2], [3]])).toThrow(ShapeError);
    expect(() => ops.tensor([1, 2], { device, shape: [3] })).toThrow(/2 elements given for shape \[3\]/);
    expect(() => ops.tensor([1], { device, dtype: "int32", requiresGrad: true })).toThrow(DTypeError);
  });

  it("fills and counts", async () => {
    await near(ops.full([2, 2], 3, { device }), [3, 3, 3, 3]);
    await near(ops.onesLike(i32(4, 5)), [1, 1]);
    const counted = ops.arange(5, { device });
    expect(counted.dtype).toBe("int32");
    await near(counted, [0, 1, 2, 3, 4]);
    await near(ops.arange(5, 0, -2, { device }), [5, 3, 1]);
    await near(ops.arange(0, 1, 0.25, { device }), [0, 0.25, 0.5, 0.75]);
  });

  it("reads runtime scalars at each run", async () => {
    const rate = new RuntimeScalar(2);
    const twice = () => ops.mul(t([1, 2]), ops.scalar(rate, device));
    await near(twice(), [2, 4]);
    rate.value = 10;
    await near(twice(), [10, 20]);
  });
});

describe("elementwise", () => {
  it("promotes dtypes as PyTorch", async () => {
    expect(i32(1).add(2).dtype).toBe("int32");
    expect(i32(1).add(0.5).dtype).toBe("float32");
    expect(i32(1).add(t([1])).dtype).toBe("float32");
    expect(i32(7).div(2).dtype).toBe("float32");
    await near(i32(7).div(2), [3.5]);
    expect(u8(1).eq(1).dtype).toBe("bool");
    expect(() => u8(1).add(1)).toThrow(DTypeError);
    expect(() => t([true]).mul(2)).toThrow(/cast/);
  });

  it("broadcasts, and names both shapes where it cannot", async () => {
    await near(t([[1], [2]]).add(t([10, 20])), [
      [11, 21],
      [12, 22],
    ]);
    expect(() => t([1, 2]).add(t([1, 2, 3]))).toThrow("add: shapes do not broadcast, [2] and [3]");
  });

  it("computes", async () => {
    await near(t([-1, 0, 2]).relu(), [0, 0, 2]);
    await near(t([5, -5]).mod(3), [2, 1]);
    await near(t([2, 3]).pow(t([3, 2])), [8, 9]);
    await near(ops.where(t([1, -1]).gt(0), 1, -1), [1, -1]);
    await near(t([-3, 0, 3]).clamp({ min: -1, max: 2 }), [-1, 0, 2]);
    await near(t([0, 1]).gelu(), [0, 0.8413447]);
    await near(t([1]).gelu({ approximate: "tanh" }), [0.841192]);
    await near(t([100, 0, -100]).softplus(), [100, Math.LN2, 0]);
    await near(t([-2, 2]).leakyRelu(0.1), [-0.2, 2]);
    await near(t([0.5, 1.5, -1.5]).round(), [0, 2, -2]);
    await near(t([1, 0]).logicalAnd(t([1, 1])), [true, false]);
  });
});

describe("reductions", () => {
  const x = () =>
    t([
      [3, 1, 2],
      [6, 5, 4],
    ]);

  it("reduce over dims", async () => {
    await near(x().sum(), 21);
    await near(x().sum(0), [9, 6, 6]);
    await near(x().mean(1, { keepdim: true }), [[2], [5]]);
    await near(x().max([0, 1]), 6);
    await near(x().min(-1), [1, 4]);
    await near(x().prod(1), [6, 120]);
    await near(x().argmax(1), [0, 0]);
    await near(x().argmin(), 1);
    await near(x().variance(1), [1, 1]);
    await near(x().std(0, { correction: 0 }), [1.5, 2, 1]);
    await near(x().logsumexp(1), [3.407606, 6.407606]);
    await near(t([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]).logsumexp(), Number.NEGATIVE_INFINITY);
    expect(t([true, true]).sum().dtype).toBe("int32");
    await near(t([0, 1]).any(), true);
    await near(t([0, 1]).all(), false);
    expect(() => x().sum(2)).toThrow(ArgumentError);
  });

  it("softmax neither overflows nor takes the logarithm of zero", async () => {
    await near(t([1000, 1000, 0]).softmax(0), [0.5, 0.5, 0]);
    await near(t([1000, 0]).logSoftmax(0), [0, -1000]);
  });
});

describe("shapes", () => {
  const x = () => ops.arange(6, { device }).reshape([2, 3]);

  it("views", async () => {
    await near(x().reshape([3, -1]), [
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    await near(x().transpose(0, 1).flatten(), [0, 3, 1, 4, 2, 5]);
    expect(x().unsqueeze(-1).squeeze().shape).toEqual([2, 3]);
    await near(x().slice(1, 0, undefined, 2), [
      [0, 2],
      [3, 5],
    ]);
    await near(x().slice(1, undefined, undefined, -1), [
      [2, 1, 0],
      [5, 4, 3],
    ]);
    expect(x().slice(1, 5).shape).toEqual([2, 0]);
    await near(x().flip(0).narrow(1, 1, 1), [[4], [1]]);
    await near(t([[1], [2]]).expand([2, 2]), [
      [1, 1],
      [2, 2],
    ]);
    expect(() => x().reshape([4, -1])).toThrow("reshape: [2, 3] cannot take the shape [4, -1]");
    expect(() => x().narrow(0, 1, 2)).toThrow(ArgumentError);
  });

  it("joins and pads", async () => {
    await near(ops.concat([x(), x().slice(1, 0, 1)], 1), [
      [0, 1, 2, 0],
      [3, 4, 5, 3],
    ]);
    await near(ops.stack([t([1, 2]), t([3, 4])], 1), [
      [1, 3],
      [2, 4],
    ]);
    await near(t([1, 2]).pad([[1, 2]], 9), [9, 1, 2, 9, 9]);
    const [a, b] = x().split([1, 2], 1);
    await near(a, [[0], [3]]);
    await near(b, [
      [1, 2],
      [4, 5],
    ]);
    expect(() => ops.concat([x(), t([[1, 2, 3]])], 0)).toThrow(DTypeError);
    expect(() => ops.concat([x(), x().transpose(0, 1)], 0)).toThrow("[2, 3] and [3, 2]");
  });
});

describe("products", () => {
  it("matmul follows torch.matmul", async () => {
    const a = t([
      [1, 2],
      [3, 4],
    ]);
    await near(a.matmul(a), [
      [7, 10],
      [15, 22],
    ]);
    await near(a.matmul(t([1, 1])), [3, 7]);
    await near(t([1, 1]).matmul(a), [4, 6]);
    expect(ops.zeros([5, 1, 2, 3], { device }).matmul(ops.zeros([4, 3, 6], { device })).shape).toEqual([
      5, 4, 2, 6,
    ]);
    expect(() => a.matmul(t([1, 2, 3]))).toThrow("matmul: inner sizes differ, [2, 2] × [3]");
    expect(() => a.matmul(a.cast("int32"))).toThrow(DTypeError);
  });

  it("linear adds its bias", async () => {
    const weight = t([
      [1, 0],
      [0, 2],
      [1, 1],
    ]);
    await near(ops.linear(t([[1, 2]]), weight, t([10, 20, 30])), [[11, 24, 33]]);
    expect(() => ops.linear(t([1, 2, 3]), weight)).toThrow("linear: an input of shape [3] does not fit");
  });

  it("attention averages the values that the mask allows", async () => {
    const q = ops.zeros([3, 2], { device });
    const v = t([[1], [2], [6]]);
    await near(ops.scaledDotProductAttention(q, q, v), [[3], [3], [3]]);
    await near(ops.scaledDotProductAttention(q, q, v, { causal: true }), [[1], [1.5], [3]]);
    await near(ops.scaledDotProductAttention(q, q, v, { mask: t([true, false, true]) }), [
      [3.5],
      [3.5],
      [3.5],
    ]);
  });

  it("convolutions and pools", async () => {
    const x = ops.arange(9, { device }).cast("float32").reshape([1, 1, 3, 3]);
    const ones = ops.ones([1, 1, 2, 2], { device });
    await near(ops.conv2d(x, ones, t([100])), [
      [
        [
          [108, 112],
          [120, 124],
        ],
      ],
    ]);
    await near(ops.conv2d(x, ones, undefined, { stride: 2, padding: 1 }), [
      [
        [
          [0, 3],
          [9, 24],
        ],
      ],
    ]);
    await near(ops.maxPool2d(x, 2, { stride: 1 }), [
      [
        [
          [4, 5],
          [7, 8],
        ],
      ],
    ]);
    await near(ops.avgPool2d(x, 2, { stride: 1 }), [
      [
        [
          [2, 3],
          [5, 6],
        ],
      ],
    ]);
    await near(ops.adaptiveAvgPool2d(x, 1), [[[[4]]]]);
    expect(ops.convTranspose2d(x, ones, undefined, { stride: 2 }).shape).toEqual([1, 1, 6, 6]);
    expect(() => ops.conv2d(x, ops.ones([1, 2, 2, 2], { device }))).toThrow(ShapeError);
    expect(() => ops.maxPool2d(x, 2, { padding: 2 })).toThrow(ArgumentError);
  });
});

describe("indexing", () => {
  it("gathers and scatters", async () => {
    const x = t([
      [1, 2],
      [3, 4],
    ]);
    await near(x.gather(1, i32(1, 0).reshape([2, 1])), [[2], [3]]);
    await near(x.indexSelect(0, i32(1, 1, 0)), [
      [3, 4],
      [3, 4],
      [1, 2],
    ]);
    await near(ops.embedding(x, i32(1, 0).reshape([2, 1])), [[[3, 4]], [[1, 2]]]);
    await near(ops.zeros([3], { device }).scatterAdd(0, i32(2, 0, 2), t([1, 2, 3])), [2, 0, 4]);
    await near(ops.oneHot(u8(2, 0), 3), [
      [0, 0, 1],
      [1, 0, 0],
    ]);
    expect(() => x.gather(0, t([[1]]))).toThrow(DTypeError);
    expect(() => x.gather(0, i32(1))).toThrow(ShapeError);
  });
});

describe("losses", () => {
  const logits = () =>
    t([
      [1, 2, 3],
      [1, 2, 5],
    ]);
  const losses = [2.4076059, 0.0658839];

  it("crossEntropy", async () => {
    await near(ops.crossEntropy(logits(), i32(0, 2), { reduction: "none" }), losses);
    await near(ops.crossEntropy(logits(), u8(0, 2)), (losses[0] + losses[1]) / 2);
    await near(ops.crossEntropy(logits(), i32(0, -100), { ignoreIndex: -100 }), losses[0]);
    await near(
      ops.crossEntropy(logits(), i32(0, 2), { weight: t([3, 1, 1]) }),
      (3 * losses[0] + losses[1]) / 4,
    );
    // By hand: 0.9 of the hard loss and 0.1 of the mean over the classes.
    const smooth = 0.9 * losses[0] + 0.1 * (losses[0] - 1);
    await near(
      ops.crossEntropy(logits(), i32(0, 2), { labelSmoothing: 0.1, reduction: "none" }).slice(0, 0, 1),
      [smooth],
    );
    expect(() => ops.crossEntropy(logits(), i32(0))).toThrow("[1] does not fit [2, 3]");
  });

  it("the others", async () => {
    await near(ops.mseLoss(t([1, 2]), t([3, 2])), 2);
    await near(ops.l1Loss(t([1, 2]), t([3, 2]), { reduction: "sum" }), 2);
    await near(ops.binaryCrossEntropyWithLogits(t([0, 100]), t([1, 0])), (Math.LN2 + 100) / 2);
    await near(ops.nllLoss(ops.logSoftmax(logits(), 1), i32(0, 2)), (losses[0] + losses[1]) / 2);
  });
});

describe("normalization", () => {
  it("layerNorm and batchNorm", async () => {
    const x = t([
      [1, 3],
      [3, 5],
    ]);
    await near(ops.layerNorm(x, 2, t([1, 2]), undefined, 0), [
      [-1, 2],
      [-1, 2],
    ]);
    const [mean, variance] = [t([0, 0]), t([1, 1])];
    const y = ops.batchNorm(x, mean, variance, undefined, undefined, { training: true, eps: 0 });
    await near(y, [
      [-1, -1],
      [1, 1],
    ]);
    await near(mean, [0.2, 0.4]);
    await near(variance, [1.1, 1.1]);
    expect(() => ops.layerNorm(x, 3)).toThrow("[2, 2] does not end with the shape [3]");
  });
});

describe("methods", () => {
  it("values, copies, disposal", async () => {
    const x = t([1, 2]);
    expect(x).toBeInstanceOf(Tensor);
    expect(await x.sum().item()).toBe(3);
    await expect(x.item()).rejects.toThrow(ShapeError);
    const copy = x.clone();
    x.assign(t([5, 6]));
    await near(x, [5, 6]);
    await near(copy, [1, 2]);
    x.assign(t([7, 8]));
    x.dispose();
    commit(device);
    await expect(x.data()).rejects.toThrow(StaleTensorError);
    await near(copy, [1, 2]);
    expect(x.toString()).toContain("[2]");
    const other = await copy.to(await openReference());
    await near(other, [1, 2]);
    expect(copy.to("int32").dtype).toBe("int32");
  });
});
