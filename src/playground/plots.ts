/** The live plots, drawn by uPlot: loss on a logarithmic scale, accuracy in percent, over the images seen. */
import uPlot from "uplot";
import { Curve } from "./curve.js";
import type { Progress, TestScores } from "./messages.js";

/** About one point per pixel of a wide plot. */
const capacity = 600;
const lowestLoss = 1e-4;
/** Weight of the newest point in the smoothed curve: about the mean of the last nine. */
const smoothing = 0.2;
const nothingYet = { points: 0, loss: 0, accuracy: 0 };

/** A device that took over, and after how many images. */
interface Switch {
  readonly images: number;
  readonly name: string;
}

export class Plots {
  /** As it came, smoothed, and on the test images. */
  readonly #loss = new Curve(3, capacity);
  readonly #accuracy = new Curve(3, capacity);
  #smoothed = nothingYet;
  readonly #plots: readonly uPlot[];
  #switches: Switch[] = [];
  #scheduled = false;

  constructor(lossElement: HTMLElement, accuracyElement: HTMLElement) {
    this.#plots = [
      this.#plot(lossElement, this.#loss, {
        distr: 3,
        range: (_, low, high) => [Math.max(lowestLoss, (low || 1) / 1.3), (high || 3) * 1.3],
        splits: roundNumbers,
        axis: (value) => (value === null ? "" : String(Number(value.toPrecision(3)))),
        legend: (value) => value.toFixed(3),
      }),
      this.#plot(accuracyElement, this.#accuracy, {
        distr: 1,
        range: () => [lowestShown(this.#accuracy), 100],
        axis: (value) => String(value),
        legend: (value) => `${value.toFixed(1)} %`,
      }),
    ];
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      colors.clear();
      this.#draw();
    });
  }

  addProgress({ images, loss, accuracy }: Progress): void {
    const before = this.#smoothed;
    // The first points have equal weights, so that the curve does not cling to where it began.
    const weight = Math.max(smoothing, 1 / (before.points + 1));
    const smooth = (old: number, now: number) => old + weight * (now - old);
    this.#smoothed = {
      points: before.points + 1,
      loss: smooth(before.loss, loss),
      accuracy: smooth(before.accuracy, accuracy),
    };
    this.#loss.add(images, [loss, this.#smoothed.loss, null]);
    this.#accuracy.add(images, [100 * accuracy, 100 * this.#smoothed.accuracy, null]);
    this.#draw();
  }

  addTest({ images, loss, accuracy }: TestScores): void {
    this.#loss.add(images, [null, null, loss]);
    this.#accuracy.add(images, [null, null, 100 * accuracy]);
    this.#draw();
  }

  /** Marks where another device went on. */
  addSwitch(images: number, name: string): void {
    if (this.#switches.at(-1)?.name === name) return;
    this.#switches = [...this.#switches.filter((other) => other.images < images), { images, name }];
    this.#draw();
  }

  clear(): void {
    this.#loss.clear();
    this.#accuracy.clear();
    this.#smoothed = nothingYet;
    this.#switches = this.#switches.slice(-1).map(({ name }) => ({ images: 0, name }));
    this.#draw();
  }

  /** Once per frame at most. */
  #draw(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      [this.#loss, this.#accuracy].forEach(({ data }, i) => {
        this.#plots[i].setData(data);
        if (this.#plots[i].cursor.idx == null) this.#plots[i].setLegend({ idx: data[0].length - 1 });
      });
    });
  }

  #plot(element: HTMLElement, curve: Curve, y: VerticalScale): uPlot {
    const axis: uPlot.Axis = {
      stroke: () => color("--muted"),
      font: axisFont,
      grid: { stroke: () => color("--line"), width: 1 },
      ticks: { show: false },
    };
    // Both series have their own points: the last value up to the cursor counts.
    const show = (plot: uPlot, _: number | null, series: number, index: number | null) => {
      const list = plot.data[series];
      for (let i = index ?? -1; i >= 0; i--)
        if (typeof list[i] === "number") return y.legend(list[i] as number);
      return "–";
    };
    const plot = new uPlot(
      {
        ...sizeOf(element),
        scales: {
          x: { time: false, range: (_, _low, high) => [0, Math.max(high ?? 0, 1000)] },
          y: { distr: y.distr, range: y.range },
        },
        axes: [
          { ...axis, size: 30, values: (_, splits) => splits.map(thousands) },
          {
            ...axis,
            size: 46,
            values: (_, splits) => splits.map(y.axis),
            ...(y.splits && {
              splits: (_plot, _axis, low, high) => y.splits!(low, high),
              filter: (_, all) => all,
            }),
          },
        ],
        series: [
          { label: "images", value: (_, value: number | null) => (value === null ? "–" : thousands(value)) },
          {
            label: "single",
            stroke: () => color("--training-faint"),
            width: 1,
            spanGaps: true,
            points: { show: false },
          },
          {
            label: "training",
            stroke: () => color("--training"),
            width: 2,
            spanGaps: true,
            points: { show: false },
            value: show,
          },
          {
            label: "test",
            stroke: () => color("--test"),
            width: 2,
            spanGaps: true,
            points: { show: true, size: 5, fill: () => color("--test") },
            value: show,
          },
        ],
        legend: { markers: { fill: (_, series) => color(series === 2 ? "--training" : "--test") } },
        cursor: { drag: { x: false, y: false }, points: { size: 7 } },
        hooks: { draw: [(self) => this.#drawSwitches(self)] },
      },
      curve.data,
      element,
    );
    new ResizeObserver(() => plot.setSize(sizeOf(element))).observe(element);
    return plot;
  }

  /** A dashed line with the name of the device that went on from there. */
  #drawSwitches({ ctx, bbox, valToPos }: uPlot): void {
    if (this.#switches.length < 2) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = color("--muted");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    const gap = 5 * devicePixelRatio;
    for (const { images, name } of this.#switches) {
      const x = Math.round(valToPos(images, "x", true));
      if (images > 0) {
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      // Before the line where there is no room behind it.
      const isLate = x + ctx.measureText(name).width + 2 * gap > bbox.left + bbox.width;
      ctx.textAlign = isLate ? "right" : "left";
      ctx.fillText(name, isLate ? x - gap : x + gap, bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  }
}

interface VerticalScale {
  /** uPlot's numbers: 1 linear, 3 logarithmic. */
  readonly distr: 1 | 3;
  readonly range: (plot: uPlot, low: number, high: number) => [number, number];
  /** Where the labels are; default uPlot's choice. */
  readonly splits?: (low: number, high: number) => number[];
  readonly axis: (value: number | null) => string;
  readonly legend: (value: number) => string;
}

const axisFont = "12px system-ui, sans-serif";
/** Height of uPlot's legend under the plot. */
const legendHeight = 32;

function sizeOf(element: HTMLElement): { width: number; height: number } {
  return { width: element.clientWidth, height: element.clientHeight - legendHeight };
}

/** Asking the page for a colour makes it bring all its styles up to date. */
const colors = new Map<string, string>();

function color(variable: string): string {
  let value = colors.get(variable);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(variable);
    colors.set(variable, value);
  }
  return value;
}

function thousands(value: number): string {
  return value >= 1000 ? `${Number((value / 1000).toPrecision(4))}k` : String(value);
}

/**
 * 1, 2 and 5 times the powers of ten from `low` to `high`. uPlot's own choice for logarithmic scales never ends where
 * `low` is not a round number.
 */
function roundNumbers(low: number, high: number): number[] {
  const numbers: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    for (const digit of [1, 2, 5]) {
      const value = Number(`${digit}e${power}`);
      if (value >= low && value <= high) numbers.push(value);
    }
  }
  return numbers;
}

/** A lower end, in steps of 10, that holds the smoothed values and those of the test images from the beginning on. */
function lowestShown(curve: Curve): number {
  const [, , ...series] = curve.data;
  const values = series.flat().filter((value) => value !== null);
  return values.length === 0 ? 0 : Math.min(90, Math.max(0, 10 * Math.floor(Math.min(...values) / 10)));
}
