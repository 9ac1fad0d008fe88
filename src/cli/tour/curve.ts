/** The curve of a training, with no more points than a plot has pixels. */

import type { TrainingCurve } from "../../tour/data.js";
import type { Callback } from "../../train/index.js";

interface Step {
  /** Seen up to here. */
  readonly images: number;
  readonly loss: number;
  readonly accuracy: number;
}

/** About one per pixel of a plot. */
const mostPoints = 400;

/** Told of a training's steps as its callback. */
export class CurveRecorder implements Callback {
  readonly #steps: Step[] = [];

  onStep({ samples, loss, metrics: { accuracy } }: Parameters<NonNullable<Callback["onStep"]>>[0]): void {
    this.#steps.push({ images: (this.#steps.at(-1)?.images ?? 0) + samples, loss, accuracy });
  }

  /** Steps that follow each other are one point, the same number for each but the last. */
  curve(): TrainingCurve {
    const size = Math.ceil(this.#steps.length / mostPoints);
    const points: Step[] = [];
    for (let i = 0; i < this.#steps.length; i += size) points.push(meanOf(this.#steps.slice(i, i + size)));
    return {
      images: points.map(({ images }) => images),
      loss: points.map(({ loss }) => loss),
      accuracy: points.map(({ accuracy }) => accuracy),
    };
  }
}

function meanOf(steps: readonly Step[]): Step {
  const mean = (name: "loss" | "accuracy") => steps.reduce((sum, step) => sum + step[name], 0) / steps.length;
  return { images: steps.at(-1)!.images, loss: mean("loss"), accuracy: mean("accuracy") };
}
