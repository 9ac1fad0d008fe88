/** The ONNX models of the benchmark, decoded again by a reader of protobuf's wire format. */
import { describe, expect, test } from "vitest";
import { onnxModel } from "../../src/bench/peers/onnx.js";
import { fedGraphOf } from "../../src/bench/peers/onnx_graphs.js";

type Value = number | Uint8Array;
type Message = Map<number, Value[]>;

function decode(bytes: Uint8Array): Message {
  const fields: Message = new Map();
  let at = 0;
  const varint = () => {
    let [value, scale] = [0, 1];
    for (; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    let value: Value;
    if ((tag & 7) === 0) value = varint();
    else {
      const length = (tag & 7) === 5 ? 4 : varint();
      value = bytes.subarray(at, at + length);
      at += length;
    }
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  expect(at).toBe(bytes.length);
  return fields;
}

const messages = (message: Message, field: number) =>
  (message.get(field) ?? []).map((value) => decode(value as Uint8Array));
const texts = (message: Message, field: number) =>
  (message.get(field) ?? []).map((value) => new TextDecoder().decode(value as Uint8Array));

const modelOf = (problem: Parameters<typeof fedGraphOf>[0]) => decode(onnxModel(fedGraphOf(problem).graph));

test("a chain of products: nodes in order, shapes, versions", () => {
  const model = modelOf({ kind: "dispatch", ops: 3 });
  expect(model.get(1)).toEqual([9]);
  expect(messages(model, 8).map((each) => each.get(2))).toEqual([[13]]);
  const [graph] = messages(model, 7);
  const nodes = messages(graph, 1);
  expect(nodes.map((node) => [texts(node, 4), texts(node, 1), texts(node, 2)])).toEqual([
    [["MatMul"], ["A", "B"], ["product1"]],
    [["MatMul"], ["product1", "B"], ["product2"]],
    [["MatMul"], ["product2", "B"], ["Y"]],
  ]);
  for (const [field, names] of [
    [11, ["A", "B"]],
    [12, ["Y"]],
  ] as const) {
    const values = messages(graph, field);
    expect(values.flatMap((value) => texts(value, 1))).toEqual(names);
    const [tensor] = messages(messages(values[0], 2)[0], 1);
    expect(tensor.get(1)).toEqual([1]);
    expect(messages(messages(tensor, 2)[0], 1).map((dim) => dim.get(1))).toEqual([[4], [4]]);
  }
});

describe("a product of whole numbers", () => {
  const [graph] = messages(modelOf({ kind: "qmatmul", m: 2, k: 32, n: 300, bits: 8 }), 7);

  test("is of onnxruntime's own operators, its weights are constants with all their bytes", () => {
    const [product] = messages(graph, 1);
    expect([texts(product, 4), texts(product, 7)]).toEqual([["MatMulIntegerToFloat"], ["com.microsoft"]]);
    const weights = messages(graph, 5).find((tensor) => texts(tensor, 8)[0] === "B")!;
    expect([weights.get(1), weights.get(2)]).toEqual([[32, 300], [3]]);
    const raw = weights.get(9)![0] as Uint8Array;
    expect(raw).toHaveLength(32 * 300);
    expect(new Set(new Int8Array(raw).map((value) => Math.abs(value))).size).toBeGreaterThan(100);
  });
});

test("attributes: whole numbers, lists of them, texts, and floats", () => {
  const value = { type: "float32", shape: [1] } as const;
  const attributes = {
    a: { int: 300 },
    b: { ints: [1, 200] },
    c: { string: "tanh" },
    d: { float: 0.5 },
  };
  const node = { op: "Op", inputs: ["A"], output: "Y", attributes };
  const bytes = onnxModel({ inputs: { A: value }, nodes: [node], outputs: { Y: value }, opset: 20 });
  const [found] = messages(messages(decode(bytes), 7)[0], 1);
  const [a, b, c, d] = messages(found, 5);
  expect([a.get(3), a.get(20)]).toEqual([[300], [2]]);
  expect([b.get(8), b.get(20)]).toEqual([[1, 200], [7]]);
  expect([texts(c, 4), c.get(20)]).toEqual([["tanh"], [3]]);
  expect([new DataView((d.get(2)![0] as Uint8Array).slice().buffer).getFloat32(0, true), d.get(20)]).toEqual([
    0.5,
    [1],
  ]);
});
