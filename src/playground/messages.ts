/** What the page and its worker say to each other. */
import type { DeviceChoice, DeviceReport, Rejection } from "../device/select.js";

/** Height and width of the images. */
export const imageSize = 28;
export const classCount = 10;
/** Test images shown at once. */
export const sampleCount = 24;

/** Which test images are shown: the first ones, or those the model gets wrong, the surest first. */
export type SampleChoice = "first" | "mistakes";

/** From the page to the worker. */
export type Command =
  | { readonly kind: "start" }
  | { readonly kind: "pause" }
  | { readonly kind: "reset" }
  | { readonly kind: "device"; readonly choice: DeviceChoice }
  | { readonly kind: "learningRate"; readonly value: number }
  | { readonly kind: "batchSize"; readonly value: number }
  | { readonly kind: "samples"; readonly choice: SampleChoice }
  /** `pixels`: 28 × 28 bytes, 0 is background. */
  | { readonly kind: "drawing"; readonly pixels: Uint8Array }
  | { readonly kind: "save" };

/** Means over the training images since the last such message. */
export interface Progress {
  /** Training images seen since the start, also by the axes of the plots. */
  readonly images: number;
  readonly step: number;
  /** Passes over the training images, with fraction. */
  readonly epochs: number;
  readonly loss: number;
  /** 0..1. */
  readonly accuracy: number;
  readonly imagesPerSecond: number;
}

/** Scores on test images while the weights stood still. */
export interface TestScores {
  /** Training images seen so far. */
  readonly images: number;
  readonly loss: number;
  /** 0..1. */
  readonly accuracy: number;
  /** Test images it was measured on. */
  readonly count: number;
}

export interface Sample {
  readonly pixels: Uint8Array;
  readonly label: number;
  readonly predicted: number;
  /** That the model gives to `predicted`, 0..1. */
  readonly probability: number;
}

/** `busy`: something other than training goes on, such as a move to another device. */
export type Activity = "loading" | "paused" | "running" | "busy";

/** From the worker to the page. */
export type Report =
  | { readonly kind: "activity"; readonly activity: Activity }
  | { readonly kind: "devices"; readonly devices: readonly DeviceReport[] }
  | {
      readonly kind: "device";
      readonly choice: DeviceChoice;
      readonly name: string;
      readonly description: string;
      readonly rejected: readonly Rejection[];
      /** Training images seen when it took over. */
      readonly images: number;
    }
  /** The device compiles shaders, of which so many are ready. */
  | { readonly kind: "warmup"; readonly done: number; readonly all: number }
  | { readonly kind: "model"; readonly parameters: number; readonly trainImages: number }
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "test"; readonly scores: TestScores }
  | {
      readonly kind: "samples";
      readonly choice: SampleChoice;
      readonly samples: readonly Sample[];
      /** Of the test images that were looked at, how many the model gets wrong. */
      readonly mistakes: number;
      readonly count: number;
    }
  /** Ten numbers that add up to 1. */
  | { readonly kind: "drawing"; readonly probabilities: Float32Array }
  /** A new model: everything said before about training is void. */
  | { readonly kind: "reset" }
  | { readonly kind: "saved"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "error"; readonly message: string };
