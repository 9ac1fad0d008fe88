/** The predictions of a trained model for the test images. */
import { DataLoader, ImageDataset, type Mnist } from "../../data/index.js";
import { openDevice } from "../../device/select.js";
import { noGrad } from "../../graph/tensor.js";
import { loadTrained } from "../../inference/model.js";
import { argmax } from "../../ops/index.js";
import type { Predictions, WrongImage } from "../../tour/data.js";

const batchSize = 100;
const classes = 10;
/** As many as a page shows in a few rows. */
const mostWrong = 48;

/** @param file The model, safetensors as `wattgrad train` writes them; `source` is how errors name it. */
export async function predictionsOf(
  file: Uint8Array,
  source: string,
  { images, labels }: Mnist,
): Promise<Predictions> {
  const device = await openDevice();
  try {
    const { model, normalization } = await loadTrained(file, device, source);
    model.eval();
    const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
    const wrong: WrongImage[] = [];
    const [, , height, width] = images.shape;
    let index = 0;
    for await (const [x] of new DataLoader(new ImageDataset(images, labels, normalization), {
      device,
      batchSize,
    })) {
      for (const predicted of await noGrad(() => argmax(model.forward(x), -1)).data()) {
        const label = labels.data[index];
        confusion[label][predicted]++;
        if (predicted !== label && wrong.length < mostWrong) {
          const pixels = images.data.subarray(index * height * width, (index + 1) * height * width);
          wrong.push({ index, label, predicted, pixels: Buffer.from(pixels).toString("base64") });
        }
        index++;
      }
    }
    return { confusion, wrong, height, width };
  } finally {
    device.close();
  }
}
