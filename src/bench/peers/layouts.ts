/** Converts arrays in PyTorch's layouts, labels and masks to the layouts of other libraries. */

export interface HostArray<T extends Float32Array | Int8Array | Int32Array = Float32Array> {
  readonly shape: readonly number[];
  readonly data: T;
}

/** [rows, columns] transposed: libraries that multiply x · w want linear layers' weights as [in, out]. */
export function transposed<T extends Float32Array | Int8Array>({ shape, data }: HostArray<T>): HostArray<T> {
  const [rows, columns] = shape;
  const result = data.slice() as T;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = data[i * columns + j];
  }
  return { shape: [columns, rows], data: result };
}

/** [N, C, H, W] to [N, H, W, C]. */
export function channelsLast({ shape: [n, c, h, w], data }: HostArray): HostArray {
  const [area, result] = [h * w, new Float32Array(data.length)];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < c; j++) {
      for (let p = 0; p < area; p++) result[(i * area + p) * c + j] = data[(i * c + j) * area + p];
    }
  }
  return { shape: [n, h, w, c], data: result };
}

/** Converts the sizes [N, H, W, C] to [N, C, H, W]. */
export function channelsFirst(data: ArrayLike<number>, n: number, c: number): Float32Array {
  const [area, result] = [data.length / (n * c), new Float32Array(data.length)];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < c; j++) {
      for (let p = 0; p < area; p++) result[(i * c + j) * area + p] = data[(i * area + p) * c + j];
    }
  }
  return result;
}

/** Filters [out, in, h, w] to [h, w, in, out]. */
export function filtersLast({ shape: [o, c, h, w], data }: HostArray): HostArray {
  const [area, result] = [h * w, new Float32Array(data.length)];
  for (let i = 0; i < o; i++) {
    for (let j = 0; j < c; j++) {
      for (let p = 0; p < area; p++) result[(p * c + j) * o + i] = data[(i * c + j) * area + p];
    }
  }
  return { shape: [h, w, c, o], data: result };
}

/** The weight of a linear layer behind flattened [C, H, W] images, for images flattened as [H, W, C]. */
export function columnsLast({ shape, data }: HostArray, channels: number): HostArray {
  const [out, inputs] = shape;
  const [area, result] = [inputs / channels, new Float32Array(data.length)];
  for (let o = 0; o < out; o++) {
    for (let c = 0; c < channels; c++) {
      for (let p = 0; p < area; p++) {
        result[o * inputs + p * channels + c] = data[o * inputs + c * area + p];
      }
    }
  }
  return { shape, data: result };
}

/** Integers as rows of a one-hot matrix. */
export function oneHot(values: Int32Array, depth: number): HostArray {
  const data = new Float32Array(values.length * depth);
  for (const [i, value] of values.entries()) data[i * depth + value] = 1;
  return { shape: [values.length, depth], data };
}

/** Added to the scores of later positions; their softmax weight becomes 0. */
const blockedScore = -1e9;

/** Additive causal mask [length, length]: 0 at visible positions. */
export function causalMask(length: number): Float32Array {
  return Float32Array.from({ length: length * length }, (_, i) =>
    i % length > Math.floor(i / length) ? blockedScore : 0,
  );
}
