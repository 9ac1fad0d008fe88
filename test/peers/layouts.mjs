/** Converts PyTorch's weights to the layouts of other libraries; all as { shape, data }. */

/** A weight [rows, columns] transposed: libraries that multiply x · w want [in, out]. */
export function transposed({ shape: [rows, columns], data }) {
  const result = new Float32Array(data.length);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j];
  return { shape: [columns, rows], data: result };
}

/** Filters [out, in, h, w] to [h, w, in, out]. */
export function filterLast({ shape: [o, c, h, w], data }) {
  const result = new Float32Array(data.length);
  for (let i = 0; i < o; i++)
    for (let j = 0; j < c; j++)
      for (let p = 0; p < h * w; p++) result[(p * c + j) * o + i] = data[(i * c + j) * h * w + p];
  return { shape: [h, w, c, o], data: result };
}

/** A linear layer behind flattened [C, H, W] images, for images flattened as [H, W, C]. */
export function rowsLast({ shape: [out, inputs], data }, channels) {
  const area = inputs / channels;
  const result = new Float32Array(data.length);
  for (let o = 0; o < out; o++)
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < area; p++) result[o * inputs + p * channels + c] = data[o * inputs + c * area + p];
  return { shape: [out, inputs], data: result };
}

/** int32 values as rows of a one-hot matrix. */
export function oneHot(values, depth) {
  const result = new Float32Array(values.length * depth);
  values.forEach((value, i) => {
    result[i * depth + value] = 1;
  });
  return { shape: [values.length, depth], data: result };
}

/** Whether a parameter is the weight of a linear layer (and not an embedding's or a convolution's). */
export const isLinear = (name, { shape }) => shape.length === 2 && !/^(tok|pos)\./.test(name);
