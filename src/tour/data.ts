/** What `wattgrad tour` found out: its `--json`, and the data of its report. */
import type { Environment } from "../bench/environment.js";
import type { Efficiency } from "../energy/index.js";
import type { InferenceRow, InferenceRun } from "../inference/index.js";
import type { QuantizeReport } from "../quantization/index.js";
import type { TrainReport } from "../train/report.js";

export interface TourFile {
  readonly format: "wattgrad-tour-1";
  readonly wattgrad: string;
  readonly date: string;
  readonly environment: Environment;
  readonly training: TrainedPart;
  readonly predictions: Predictions;
  readonly quantized: readonly QuantizedPart[];
  /** Node and browsers in which the models were run. */
  readonly places: readonly {
    readonly where: string;
    readonly version: string;
    /** What WebGL says draws; null in Node. */
    readonly renderer: string | null;
    readonly devices: InferenceRun["devices"];
  }[];
  readonly unavailable: InferenceRun["unavailable"];
  readonly rows: readonly InferenceRow[];
}

export interface TrainedPart extends TrainReport {
  /** The architecture's name. */
  readonly model: string;
  /** The device in one line. */
  readonly description: string;
  readonly testSamples: number;
  /** Images trained on, each as often as it was seen. */
  readonly samples: number;
  readonly efficiency: Efficiency;
  readonly curve: TrainingCurve;
}

/** Means over some steps each, by the number of images seen. */
export interface TrainingCurve {
  readonly images: readonly number[];
  readonly loss: readonly number[];
  /** Share of the training images classified correctly, 0..1. */
  readonly accuracy: readonly number[];
}

/** What the trained model says of the test images. */
export interface Predictions {
  /** `confusion[label][predicted]`: number of images. */
  readonly confusion: readonly (readonly number[])[];
  /** Some of the images that it gets wrong. */
  readonly wrong: readonly WrongImage[];
  readonly height: number;
  readonly width: number;
}

export interface WrongImage {
  /** Number among the test images. */
  readonly index: number;
  readonly label: number;
  readonly predicted: number;
  /** One byte per pixel, row by row, 0 is background; base64. */
  readonly pixels: string;
}

export interface QuantizedPart extends QuantizeReport {
  /** As the rows name it. */
  readonly model: string;
  readonly modelFile: string;
}

/** `wasm, node` */
export function placeOf({ device, where }: Pick<InferenceRow, "device" | "where">): string {
  return `${device}, ${where}`;
}
