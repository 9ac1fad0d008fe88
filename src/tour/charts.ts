/** The plots of the tour's report: curves of the training, and bars for each device and model. */

import type uPlot from "uplot";
import { bars } from "../bench/report/bars.js";
import { element, figure } from "../bench/report/dom.js";
import { axis, color, logAxis, logarithmic, plot, type SideColor } from "../bench/report/plot.js";
import type { InferenceRow } from "../inference/index.js";
import type { TrainingCurve } from "./data.js";

const curveHeight = 200;
/** Neighbours on each side that a smoothed value is the mean of. */
const neighbours = 4;
/** A logarithmic axis has no 0. */
const lowestLoss = 1e-4;

/** Loss and accuracy over the images seen: as they came, and smoothed. */
export function trainingCurves(parent: HTMLElement, { images, loss, accuracy }: TrainingCurve): void {
  const percent = accuracy.map((share) => 100 * share);
  const shown = loss.map((value) => Math.max(value, lowestLoss));
  const lossScale = logarithmic(shown);
  curve(parent, "loss", images, shown, lossScale, { ...logAxis, size: 44 });
  const low = Math.min(90, 10 * Math.floor(Math.min(...percent) / 10));
  const scale: uPlot.Scale = { range: [low, 100] };
  curve(parent, "accuracy on training images, %", images, percent, scale, { ...axis, size: 44 });
}

function curve(
  parent: HTMLElement,
  title: string,
  images: readonly number[],
  values: readonly number[],
  y: uPlot.Scale,
  yAxis: uPlot.Axis,
): void {
  const box = element("div", {}, element("h3", {}, title));
  parent.append(box);
  plot(
    box,
    curveHeight,
    {
      scales: { x: { time: false, range: [0, images.at(-1)!] }, y },
      axes: [{ ...axis, size: 28, space: 60, values: (_, splits) => splits.map(thousands) }, yAxis],
      series: [
        {},
        { stroke: () => `${color("--side-1")}77`, width: 1, points: { show: false } },
        { stroke: () => color("--side-0"), width: 2, points: { show: false } },
      ],
    },
    [[...images], [...values], smooth(values)],
  );
}

function thousands(images: number): string {
  return images.toLocaleString("en");
}

function smooth(values: readonly number[]): number[] {
  return values.map((_, i) => {
    const near = values.slice(Math.max(0, i - neighbours), i + neighbours + 1);
    return near.reduce((sum, value) => sum + value, 0) / near.length;
  });
}

/** What the bars of a device tell: a title, and the figure of a row with its unit. */
interface Quantity {
  readonly title: (rows: readonly InferenceRow[]) => string;
  readonly value: (row: InferenceRow) => number | null;
  readonly label: (value: number) => string;
}

const milliseconds = (value: number) => `${figure(value)} ms`;

const quantities: readonly Quantity[] = [
  {
    title: ([{ batchSize }]) => `an image of a batch of ${batchSize}`,
    value: ({ batchMs }) => batchMs,
    label: milliseconds,
  },
  { title: () => "one image by itself", value: ({ singleMs }) => singleMs, label: milliseconds },
  {
    title: ([{ energy }]) => `energy of an image, ${energy.kind}`,
    value: ({ joulesPerImage }) => joulesPerImage,
    label: (value) => `${figure(1000 * value)} mJ`,
  },
];

/** Of one device: the models beside each other. */
export function deviceBars(
  parent: HTMLElement,
  rows: readonly InferenceRow[],
  colorOf: (model: string) => SideColor,
): void {
  for (const { title, value, label } of quantities) {
    const box = element("div", {}, element("h4", {}, title(rows)));
    parent.append(box);
    const known = rows.flatMap((row) => {
      const found = value(row);
      return found === null
        ? []
        : { name: row.model, value: found, label: label(found), color: colorOf(row.model) };
    });
    if (known.length > 0) bars(box, known, { scale: false });
    else
      box.append(element("p", { class: "note" }, `unknown: ${rows[0].energy.reason ?? "it was not told"}`));
  }
}

/** Bytes of the models. */
export function sizeBars(
  parent: HTMLElement,
  rows: readonly InferenceRow[],
  colorOf: (model: string) => SideColor,
): void {
  const list = rows.map(({ model, modelBytes }) => ({
    name: model,
    value: modelBytes,
    label: `${figure(modelBytes / 1024)} KiB`,
    color: colorOf(model),
  }));
  bars(parent, list, { scale: false });
}
