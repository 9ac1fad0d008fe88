/** A training small enough for every page: classifies points of the plane by quadrant. */
import type { Device } from "../../../src/device/device.js";
import { backward, crossEntropy, manualSeed, tensor } from "../../../src/index.js";
import { Linear, ReLU, Sequential } from "../../../src/nn/index.js";
import { AdamW } from "../../../src/optim/index.js";

const steps = 40;
const points = 64;

/** The losses of all steps. */
export async function trainMlp(device: Device): Promise<number[]> {
  manualSeed(7);
  const inputs = Array.from({ length: points }, (_, i) => [
    Math.fround(Math.sin(i * i)),
    Math.fround(Math.cos(3 * i)),
  ]);
  const x = tensor(inputs, { device });
  const y = tensor(
    inputs.map(([a, b]) => Number(a > 0) + 2 * Number(b > 0)),
    { device, dtype: "int32" },
  );
  const model = new Sequential(new Linear(2, 16, { device }), new ReLU(), new Linear(16, 4, { device }));
  const optimizer = new AdamW(model.parameters(), { lr: 0.05 });
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = crossEntropy(model.forward(x), y);
    backward(loss);
    optimizer.step();
    losses.push(await loss.item());
  }
  return losses;
}
