/** Just enough of the ONNX protobuf encoding to write a one-node MatMul model. */

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

/** C[m, n] = A[m, k] · B[k, n], float32, opset 13. */
export function matmulModel(m, k, n) {
  const node = [...text(1, "A"), ...text(1, "B"), ...text(2, "C"), ...text(4, "MatMul")];
  const graph = [
    ...bytes(1, node),
    ...text(2, "gemm"),
    ...bytes(11, valueInfo("A", [m, k])),
    ...bytes(11, valueInfo("B", [k, n])),
    ...bytes(12, valueInfo("C", [m, n])),
  ];
  return new Uint8Array([...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 13))]);
}
