/** In a page: devices that compile their shaders without blocking the page. */
import { DataLoader } from "../../../src/data/index.js";
import { openWebgl } from "../../../src/device/webgl/webgl.js";
import { backward, jit, manualSeed, type Tensor, tensor, warmup as warmUp } from "../../../src/index.js";
import { crossEntropy } from "../../../src/nn/index.js";
import { AdamW } from "../../../src/optim/index.js";
import { fit as train } from "../../../src/train/index.js";
import { quadrants, smallNet } from "../../train/problem.js";
import { fragileContext } from "./contexts.js";

/** Programs given to the driver so far. */
function countLinks(gl: WebGL2RenderingContext): () => number {
  const link = gl.linkProgram.bind(gl);
  let links = 0;
  gl.linkProgram = (program) => {
    links++;
    link(program);
  };
  return () => links;
}

/** The losses of a few steps, after a warm-up or without one, and what happened meanwhile. */
async function steps(isWarm: boolean) {
  manualSeed(3);
  const { gl } = fragileContext(new OffscreenCanvas(1, 1));
  const links = countLinks(gl);
  const device = await openWebgl({ gl });
  const model = smallNet(device, 0.2);
  const optimizer = new AdamW(model.parameters(), { lr: 0.02 });
  const step = jit((x: Tensor, y: Tensor) => {
    const loss = crossEntropy(model.forward(x), y);
    backward(loss);
    optimizer.step();
    return loss;
  });
  const [x, y] = quadrants(16)
    .batch(Int32Array.from({ length: 16 }, (_, i) => i))
    .map(({ data, dtype, shape }) => tensor(data, { dtype, shape, device }));
  const told: (readonly [number, number])[] = [];
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  if (isWarm) await step.warmup([x, y], (done, all) => told.push([done, all]));
  clearInterval(timer);
  const before = links();
  const losses: number[] = [];
  for (let i = 0; i < 4; i++) losses.push(await step(x, y).item());
  const late = links() - before;

  const output = model.forward(x).softmax(-1).sum();
  if (isWarm) await warmUp([output]);
  const beforeReading = links();
  const sum = await output.item();
  const lateReading = links() - beforeReading;
  const parallel = device.info.details.parallelCompile;
  device.close();
  return { losses, told, turns, before, late, sum, lateReading, parallel };
}

/** Trains with fit; the context is lost while shaders are compiled, where `isDisturbed`. */
async function fitThroughLoss(isDisturbed: boolean) {
  manualSeed(3);
  const { gl, lose, restore } = fragileContext(new OffscreenCanvas(1, 1));
  const device = await openWebgl({ gl });
  const model = smallNet(device, 0.2);
  const losses: number[] = [];
  let warmups = 0;
  let restored = 0;
  await train({
    model,
    optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
    train: new DataLoader(quadrants(40), { device, batchSize: 16, shuffle: { seed: 1 } }),
    loss: crossEntropy,
    epochs: 2,
    snapshot: { everySteps: 1 },
    callbacks: [
      {
        onWarmup({ done }) {
          if (done > 0) return;
          // The short last batch needs no other shaders: the second is that of the context that came back.
          warmups++;
          if (!isDisturbed || warmups > 2) return;
          lose();
          restore();
        },
        onStep({ step, loss }) {
          losses[step - 1] = loss;
        },
        onRestore: () => void restored++,
      },
    ],
  });
  device.close();
  return { losses, warmups, restored };
}

export const warmup = { steps, fitThroughLoss };
