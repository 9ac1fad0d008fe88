/** A minimal encoder of ONNX protobuf, for models of one node. */

function varint(value) {
  const bytes = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}
const number = (field, value) => [...varint(field * 8), ...varint(value)];
const bytes = (field, content) => [...varint(field * 8 + 2), ...varint(content.length), ...content];
const text = (field, value) => bytes(field, [...new TextEncoder().encode(value)]);

/** Element types (TensorProto.DataType). */
const types = { float: 1, uint8: 2, int8: 3, int32: 6 };

function valueInfo(name, shape, type = types.float) {
  const dims = shape.flatMap((extent) => bytes(1, number(1, extent)));
  const tensorType = [...number(1, type), ...bytes(2, dims)];
  return [...text(1, name), ...bytes(2, bytes(1, tensorType))];
}

/** A model of one node; `inputs` is the shapes of its inputs by name, `output` the shape of its output Y. */
function singleNodeModel(operator, inputs, output, attributes = []) {
  const node = [
    ...Object.keys(inputs).flatMap((name) => text(1, name)),
    ...text(2, "Y"),
    ...text(4, operator),
    ...attributes.flatMap((attribute) => bytes(5, attribute)),
  ];
  const graph = [
    ...bytes(1, node),
    ...text(2, operator),
    ...Object.entries(inputs).flatMap(([name, shape]) => bytes(11, valueInfo(name, shape))),
    ...bytes(12, valueInfo("Y", output)),
  ];
  return new Uint8Array([...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 13))]);
}

/** An attribute that is a list of integers (AttributeProto.type 7). */
const integers = (name, values) => [
  ...text(1, name),
  ...values.flatMap((value) => number(8, value)),
  ...number(20, 7),
];

/** Y[m, n] = A[m, k] · B[k, n], float32, opset 13. */
export const matmulModel = (m, k, n) => singleNodeModel("MatMul", { A: [m, k], B: [k, n] }, [m, n]);

/** Y[n, o, h, w] = 3 × 3 convolution of X[n, c, h, w] with W[o, c, 3, 3], padding 1, float32, opset 13. */
export const convModel = (n, c, h, w, o) =>
  singleNodeModel(
    "Conv",
    { X: [n, c, h, w], W: [o, c, 3, 3] },
    [n, o, h, w],
    [integers("kernel_shape", [3, 3]), integers("pads", [1, 1, 1, 1])],
  );

/** bytes() for long contents, which do not fit an argument list: header and content as arrays. */
const longBytes = (field, parts) => {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return [Uint8Array.from([...varint(field * 8 + 2), ...varint(length)]), ...parts];
};

/** Y[m, n] (int32) = A[m, k] (uint8) · B[k, n] (int8), B a constant of the model, opset 13. */
export function matmulIntegerModel(m, k, n, b) {
  const node = [...text(1, "A"), ...text(1, "B"), ...text(2, "Y"), ...text(4, "MatMulInteger")];
  const tensorHead = [...number(1, k), ...number(1, n), ...number(2, types.int8), ...text(8, "B")];
  const raw = new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
  const graph = [
    Uint8Array.from([...bytes(1, node), ...text(2, "MatMulInteger")]),
    ...longBytes(5, [Uint8Array.from(tensorHead), ...longBytes(9, [raw])]),
    Uint8Array.from(bytes(11, valueInfo("A", [m, k], types.uint8))),
    Uint8Array.from(bytes(12, valueInfo("Y", [m, n], types.int32))),
  ];
  const model = [
    Uint8Array.from(number(1, 8)),
    ...longBytes(7, graph),
    Uint8Array.from(bytes(8, number(2, 13))),
  ];
  return new Uint8Array(Buffer.concat(model));
}
