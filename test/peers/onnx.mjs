/** Just enough of the ONNX protobuf encoding to write models of one node. */

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

function valueInfo(name, shape) {
  const dims = shape.flatMap((extent) => bytes(1, number(1, extent)));
  const tensorType = [...number(1, 1), ...bytes(2, dims)];
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
