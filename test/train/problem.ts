/** A small problem for the tests of training: classify points of the plane by quadrant. */
import { type Dataset, TensorDataset } from "../../src/data/index.js";
import type { Device } from "../../src/device/device.js";
import { Dropout, Linear, ReLU, Sequential } from "../../src/nn/index.js";

/** Points on a spiral around the origin, [N, 2], with their quadrants 0..3. */
export function quadrants(count: number): Dataset {
  const points = new Float32Array(2 * count);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const angle = i * 2.4;
    const radius = 0.5 + i / count;
    points[2 * i] = radius * Math.cos(angle);
    points[2 * i + 1] = radius * Math.sin(angle);
    labels[i] = (points[2 * i] > 0 ? 1 : 0) + (points[2 * i + 1] > 0 ? 2 : 0);
  }
  return new TensorDataset(
    { dtype: "float32", shape: [count, 2], data: points },
    { dtype: "int32", shape: [count], data: labels },
  );
}

export function smallNet(device: Device, dropout: number): Sequential {
  return new Sequential(
    new Linear(2, 16, { device }),
    new ReLU(),
    new Dropout(dropout),
    new Linear(16, 4, { device }),
  );
}
