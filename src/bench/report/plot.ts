/** Shared by the report's plots: theme colours and responsive sizes. */
import uPlot from "uplot";

export interface SideColor {
  /** The name of the CSS variable. */
  readonly variable: string;
  /** For uPlot, which asks at every drawing. */
  readonly stroke: () => string;
}

/** Number of colours in page.css; further contenders reuse them in order. */
const colors = 12;

export function palette(sides: readonly string[]): (side: string) => SideColor {
  return (side) => {
    const variable = `--side-${sides.indexOf(side) % colors}`;
    return { variable, stroke: () => color(variable) };
  };
}

export function color(variable: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

export const fontOf = (pixels: number) => `${pixels}px system-ui, sans-serif`;

export const axis: uPlot.Axis = {
  stroke: () => color("--muted"),
  font: fontOf(12),
  grid: { stroke: () => color("--line"), width: 1 },
  ticks: { show: false },
};

/** A logarithmic scale covering all values. */
export function logarithmic(values: readonly number[]): uPlot.Scale {
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...values) * 1.0001));
  return { time: false, distr: 3, log: 10, range: [low, high] };
}

/** Labels of a logarithmic axis at the powers of ten. */
export const logAxis: uPlot.Axis = {
  ...axis,
  filter: (_, splits) => splits.map((value) => (Math.abs(Math.log10(value) % 1) < 1e-9 ? value : null)),
  values: (_, splits) => splits.map((value) => (value === null ? "" : power(value))),
};

function power(value: number): string {
  return value >= 0.01 && value <= 1e5 ? value.toLocaleString("en") : value.toExponential(0);
}

/** Draws into `parent` at its width; redraws on resize and theme change. */
export function plot(
  parent: HTMLElement,
  height: number,
  options: Omit<uPlot.Options, "width" | "height">,
  data: uPlot.AlignedData,
): void {
  const holder = document.createElement("div");
  holder.className = "plot";
  parent.append(holder);
  const made = new uPlot(
    { cursor: { show: false }, legend: { show: false }, ...options, width: widthOf(holder), height },
    data,
    holder,
  );
  new ResizeObserver(() => {
    if (widthOf(holder) !== made.width) made.setSize({ width: widthOf(holder), height });
  }).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => made.redraw(false, true));
}

function widthOf(holder: HTMLElement): number {
  return Math.max(200, holder.clientWidth);
}
