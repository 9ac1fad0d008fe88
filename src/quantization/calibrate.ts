/** Calibration: what ranges the inputs of layers have on real data. */

import type { Tensor } from "../graph/tensor.js";
import type { Module } from "../nn/module.js";
import { readTensor } from "../runtime/host_data.js";
import { realize } from "../runtime/realize.js";
import { tensorsIn } from "../runtime/structure.js";
import { QuantizationError } from "./errors.js";
import type { InputQuantization } from "./input.js";
import { affineOf, makeObserver, type Observer, rangeOf } from "./observers.js";
import type { AnyCalibration } from "./scheme.js";
import { evaluating, infer, take, watching } from "./trace.js";

const defaultBatches = 16;

/**
 * Runs the model on calibration batches and finds scale and zero point of each layer's input.
 *
 * @throws QuantizationError for no data, values that are not finite, inputs that are all 0, and layers that were not run; ShapeError
 * for batches that the model does not take. The model stays as it was.
 */
export async function calibrate(
  model: Module,
  layers: ReadonlyMap<string, Module>,
  { data, forward, batches = defaultBatches, observer = "histogram" }: AnyCalibration,
): Promise<Map<string, InputQuantization>> {
  const observers = new Map<string, Observer>();
  const collected: [string, Tensor][] = [];
  const watch = (name: string, _: Module, inputs: readonly unknown[]) =>
    collected.push([name, inputs[0] as Tensor]);
  let seen = 0;
  await evaluating(model, async () => {
    for await (const batch of take(data, batches)) {
      seen++;
      collected.length = 0;
      await watching(layers, watch, async () => {
        infer(model, batch, forward);
      });
      const distinct = new Set(collected.map(([, x]) => x));
      realize([...distinct]);
      for (const [name, x] of collected) {
        const values = (await readTensor(x)) as Float32Array;
        const range = rangeOf(values);
        if (range === undefined) throw notFinite(values, name, seen);
        let own = observers.get(name);
        if (own === undefined) {
          own = makeObserver(observer);
          observers.set(name, own);
        }
        own.observe(values, range);
      }
      // The batch itself is its owner's.
      const own = new Set(tensorsIn(batch));
      for (const x of distinct) if (!own.has(x)) x.storage?.dispose();
    }
  });
  if (seen === 0) {
    throw new QuantizationError("there are no calibration data", {
      op: "quantize",
      hint: "give int8Static a loader with at least one batch",
    });
  }
  return new Map([...layers.keys()].map((name) => [name, inputOf(name, observers.get(name), seen)]));
}

function notFinite(values: Float32Array, name: string, batch: number): QuantizationError {
  const bad = values.find((value) => !Number.isFinite(value));
  return new QuantizationError(`the input of ${name} holds ${bad} in calibration batch ${batch}`, {
    op: "quantize",
    hint: "calibrate with data and weights that are finite",
  });
}

function inputOf(name: string, observer: Observer | undefined, batches: number): InputQuantization {
  const range = observer?.range();
  if (range === undefined) {
    throw new QuantizationError(`${name} was not run by the calibration data`, {
      op: "quantize",
      hint: "leave it out with { filter }, or calibrate with inputs that reach it",
    });
  }
  const affine = affineOf(range);
  if (affine === undefined) {
    throw new QuantizationError(
      `the input of ${name} was 0 in all of ${batches} calibration batches: no scale`,
      {
        op: "quantize",
        hint: "leave it out with { filter }, or calibrate with more data",
      },
    );
  }
  return { kind: "static", ...affine };
}
