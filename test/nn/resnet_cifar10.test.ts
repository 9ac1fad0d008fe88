/**
 * The pretrained ResNet-20 (akamaster/pytorch_resnet_cifar10, BSD-2-Clause) on 500 test images of CIFAR-10. Weights and
 * images lie outside the repository: CIFAR-10 has no licence that would let them be committed.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { ImageDataset, imageNetNormalization, loadCifar10 } from "../../src/data/index.js";
import { openWasm } from "../../src/device/wasm/wasm.js";
import { readSafetensors } from "../../src/formats/index.js";
import { CifarResNet } from "../../src/models/index.js";
import * as ops from "../../src/ops/index.js";
import { expectClose, tolerance } from "../tolerance.js";

const data = new URL("../../../shared/data/", import.meta.url);
const weights = fileURLToPath(new URL("models/cifar-resnet/resnet20.safetensors", data));
const images = fileURLToPath(new URL("cifar10/test500.bin.gz", data));
const missing = [weights, images].filter((path) => !existsSync(path));
const why =
  missing.length === 0 ? "" : " (skipped: weights and images are outside the repository and not here)";
if (why !== "") console.warn(`left out: the pretrained ResNet-20 on CIFAR-10${why}`);

/** Of the 500 images, with PyTorch 2.15; the two largest logits are nowhere nearer than 0.034, so it is exact. */
const correctInPyTorch = 399;
/** PyTorch's logits of the first two images, in float64. */
const firstLogits = [
  [
    7.8901044, -1.0876581, 2.6342308, -1.012539, -2.8370086, -6.9533379, -3.3481061, -6.4984477, 6.9737868,
    4.2097539,
  ],
  [
    -3.8490053, 14.1366341, -4.0798245, 5.5761741, -2.6720551, -1.591662, -2.1957754, -4.0936021, -3.3872606,
    2.0977747,
  ],
].flat();
/** The longest sum of the network: 64 channels of 3 × 3 pixels. */
const reductionLength = 64 * 9;

test.skipIf(why !== "")(`the pretrained ResNet-20 classifies CIFAR-10 as in PyTorch${why}`, async () => {
  const device = await openWasm();
  const model = new CifarResNet({ depth: 20, device });
  // Strictly: the file is older than num_batches_tracked and lacks it, everything else has to be there.
  await model.loadStateDict(readSafetensors(await readFile(weights)).tensors);
  const loaded = await loadCifar10(images);
  const dataset = new ImageDataset(loaded.images, loaded.labels, imageNetNormalization);
  expect(dataset.length).toBe(500);
  const [x, y] = dataset.batch(Int32Array.from({ length: 500 }, (_, i) => i));
  const input = ops.tensor(x.data as Float32Array, { device }).reshape(x.shape);
  const logits = model.eval().forward(input);
  const answers = await ops.argmax(logits, 1).data();
  const correct = Array.from(answers).filter((answer, i) => answer === y.data[i]).length;
  expect(correct).toBe(correctInPyTorch);
  const first = (await ops.narrow(logits, 0, 0, 2).data()) as Float32Array;
  const absolute = tolerance(firstLogits, { reductionLength });
  expectClose("logits", first, firstLogits, { absolute, rounded: false });
});
