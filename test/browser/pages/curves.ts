/** In a page: the loss curves of curves.ts. */
import { loadMnist, type Mnist } from "../../../src/data/index.js";
import { type CurveFixture, type CurveName, largestBufferDeviation, trainCurve } from "../../curves.js";
import fixture from "../../fixtures/curves.json";
import { type DeviceLabel, deviceOf } from "./devices.js";

const { text, curves } = fixture as unknown as CurveFixture;

/** Read once per page, from where build.ts puts it. */
let mnist: Promise<Mnist> | undefined;

export interface CurveOutcome {
  readonly losses: readonly number[];
  readonly bufferDeviation: number;
}

export async function followCurve(
  label: DeviceLabel,
  name: CurveName,
  captured: boolean,
): Promise<CurveOutcome> {
  mnist ??= loadMnist({ images: "mnist-images.gz", labels: "mnist-labels.gz" });
  const curve = curves.find((candidate) => candidate.name === name)!;
  const device = await deviceOf(label);
  const { model, losses } = await trainCurve(curve, { text, mnist: await mnist }, device, { captured });
  return { losses, bufferDeviation: await largestBufferDeviation(model, curve) };
}
