/** The plots of the tour's report: curves of the training, and bars for each device and model. */
import { bars } from "../bench/report/bars.js";
import { element, figure } from "../bench/report/dom.js";
import { axis, color, plot, type SideColor } from "../bench/report/plot.js";
import type { InferenceRow } from "../inference/index.js";
import type { TrainingCurve } from "./data.js";

const curveHeight = 200;
/** Weight of the newest point in the smoothed curve: about the mean of the last nine. */
const smoothing = 0.2;

/** Loss and accuracy over the images seen: as they came, and smoothed. */
export function trainingCurves(parent: HTMLElement, { images, loss, accuracy }: TrainingCurve): void {
  const percent = accuracy.map((share) => (share === null ? null : 100 * share));
  curve(parent, "loss", images, loss, (_, high) => [0, high]);
  curve(parent, "accuracy on training images, %", images, percent, (low) => [Math.min(90, low), 100]);
}

function curve(
  parent: HTMLElement,
  title: string,
  images: readonly number[],
  values: readonly (number | null)[],
  range: (low: number, high: number) => [number, number],
): void {
  const smoothed = smooth(values);
  // What is drawn smoothed decides: a single batch may be far off.
  const known = smoothed.filter((value) => value !== null);
  const limits = range(Math.min(...known), 1.02 * Math.max(...known));
  const box = element("div", {}, element("h3", {}, title));
  parent.append(box);
  plot(
    box,
    curveHeight,
    {
      scales: { x: { time: false, range: [0, images.at(-1)!] }, y: { range: () => limits } },
      axes: [
        {
          ...axis,
          size: 28,
          space: 60,
          values: (_, splits) => splits.map((value) => value.toLocaleString("en")),
        },
        { ...axis, size: 40 },
      ],
      series: [
        {},
        { stroke: () => `${color("--side-1")}55`, width: 1, points: { show: false } },
        { stroke: () => color("--side-0"), width: 2, points: { show: false } },
      ],
    },
    [[...images], [...values], smoothed],
  );
}

/** The first points have equal weights, so that the curve does not cling to where it began. */
function smooth(values: readonly (number | null)[]): (number | null)[] {
  let mean = 0;
  let points = 0;
  return values.map((value) => {
    if (value === null) return null;
    points++;
    mean += Math.max(smoothing, 1 / points) * (value - mean);
    return mean;
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
    const box = element("div", {}, element("h3", {}, title(rows)));
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
