/** Horizontal bars, each between its name and its figure. */
import uPlot from "uplot";
import { figure } from "./dom.js";
import { axis, color, fontOf, plot, type SideColor } from "./plot.js";

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** Text to the right of the bar. */
  readonly label: string;
  readonly color: SideColor;
}

export interface BarOptions {
  /** Minimum width of the names in pixels. Default 0. */
  readonly leastNameWidth?: number;
  /** Whether to draw an axis. Default true. */
  readonly scale?: boolean;
}

const barHeight = 26;
export const valueAxisHeight = 34;
/** Pixels per letter of a name, and between name and bar. */
const [letterWidth, nameGap] = [7.4, 10];
const labelGap = 6;

export function bars(
  section: HTMLElement,
  list: readonly Bar[],
  { leastNameWidth = 0, scale = true }: BarOptions = {},
): void {
  const places = list.map((_, i) => i);
  const most = Math.max(...list.map(({ value }) => value));
  const letters = Math.max(...list.map(({ name }) => name.length));
  const labelLetters = Math.max(...list.map(({ label }) => label.length));
  const labels = (u: uPlot) => {
    const ratio = devicePixelRatio;
    u.ctx.save();
    u.ctx.font = fontOf(12 * ratio);
    u.ctx.textBaseline = "middle";
    u.ctx.textAlign = "left";
    u.ctx.fillStyle = color("--text");
    for (const [i, { value, label }] of list.entries()) {
      const end = u.valToPos(value, "y", true);
      u.ctx.fillText(label, end + labelGap * ratio, u.valToPos(i, "x", true));
    }
    u.ctx.restore();
  };
  const nameWidth = Math.max(leastNameWidth, letterWidth * letters + nameGap);
  plot(
    section,
    list.length * barHeight + (scale ? valueAxisHeight : 0),
    {
      // Room for the figure behind the longest bar.
      padding: [0, letterWidth * labelLetters + labelGap, 0, 0],
      scales: {
        x: { time: false, ori: 1, dir: -1, range: [-0.5, list.length - 0.5] },
        y: { ori: 0, dir: 1, range: [0, most] },
      },
      axes: [
        {
          ...axis,
          side: 3,
          scale: "x",
          size: nameWidth,
          grid: { show: false },
          splits: () => places,
          values: (_, splits) => splits.map((i) => list[i].name),
        },
        {
          ...axis,
          show: scale,
          side: 2,
          scale: "y",
          size: valueAxisHeight,
          space: 70,
          values: (_, v) => v.map(figure),
        },
      ],
      // One series for each bar, so that each has its colour.
      series: [
        {},
        ...list.map((bar) => ({
          fill: bar.color.stroke,
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars!({ size: [0.72, 18] }),
        })),
      ],
      hooks: { draw: [labels] },
    },
    [places, ...list.map(({ value }, i) => places.map((place) => (place === i ? value : null)))],
  );
}
