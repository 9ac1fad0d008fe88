/** The report's plots: rates per case, rooflines, training losses and energy. */
import uPlot from "uplot";
import type { BenchRow } from "../run.js";
import { bars, valueAxisHeight } from "./bars.js";
import { type ReportData, type Roof, sideOf } from "./data.js";
import { element, figure } from "./dom.js";
import { axis, color, fontOf, logAxis, logarithmic, plot, type SideColor } from "./plot.js";

type ColorOf = (side: string) => SideColor;

/** Common width of the names in pixels, which aligns the bars of all cases. */
const leastNameWidth = 150;

/** Rates of one case (longer is faster), with failures listed below. */
export function rateBars(
  section: HTMLElement,
  name: string,
  rows: readonly BenchRow[],
  colorOf: ColorOf,
): void {
  const measured = rows.filter((row) => row.rate !== null);
  const heading = element("h3", {}, name);
  section.append(heading);
  if (measured.length > 0) {
    heading.append(element("small", {}, ` ${measured[0].unit}`));
    bars(
      section,
      measured.map((row) => ({
        name: sideOf(row),
        value: row.rate!,
        label: figure(row.rate!),
        color: colorOf(sideOf(row)),
      })),
      { leastNameWidth },
    );
  }
  for (const row of rows) {
    if (row.error !== undefined) {
      section.append(element("p", { class: "error" }, `${sideOf(row)}: ${row.error}`));
    }
  }
}

const plotHeight = 320;
const pointSize = 8;

/** Roofline plot of each device with measured limits, with the float32 cases as points. */
export function rooflinePlots(section: HTMLElement, { rows, roofs }: ReportData, colorOf: ColorOf): void {
  for (const roof of roofs) {
    const cases = rows.filter(
      ({ device, where, peer, dtype, flops, bytes, medianMs, suite }) =>
        device === roof.device &&
        where === roof.where &&
        peer === null &&
        dtype === "float32" &&
        // Dispatch time dominates this case.
        suite !== "dispatch" &&
        medianMs !== null &&
        Boolean(flops && bytes),
    );
    if (cases.length === 0) continue;
    const side = sideOf({ ...roof, peer: null });
    const limits = `${figure(roof.peakFlops / 1e9)} GFLOP/s, ${figure(roof.peakBandwidth / 1e9)} GB/s`;
    section.append(
      element("h3", {}, side, element("small", {}, ` ${limits} measured; GFLOP/s over FLOPs per byte`)),
    );
    roofline(section, roof, cases, colorOf(side));
  }
}

function roofline(section: HTMLElement, roof: Roof, cases: readonly BenchRow[], side: SideColor): void {
  const points = cases
    .map(({ flops, bytes, medianMs, case: name }) => ({
      name,
      intensity: flops! / bytes!,
      rate: flops! / medianMs! / 1e6,
    }))
    .sort((a, b) => a.intensity - b.intensity);
  const intensities = points.map(({ intensity }) => intensity);
  const ridge = roof.peakFlops / roof.peakBandwidth;
  const x = logarithmic([...intensities, ridge / 2, ridge * 2]);
  const [first, last] = x.range as [number, number];
  const limit = (intensity: number) => Math.min(roof.peakFlops, roof.peakBandwidth * intensity) / 1e9;
  const bends = [first, ridge, last];
  const data = uPlot.join([
    [bends, bends.map(limit)],
    // Equal intensities would coincide: shift them by less than a pixel.
    [intensities.map((value, i) => value * (1 + i * 1e-9)), points.map(({ rate }) => rate)],
  ]);
  plot(
    section,
    plotHeight,
    {
      scales: { x, y: logarithmic([...points.map(({ rate }) => rate), ...bends.map(limit)]) },
      axes: [logAxis, { ...logAxis, size: 56 }],
      series: [
        {},
        { stroke: () => color("--muted"), width: 2, spanGaps: true, points: { show: false } },
        { ...dots(side) },
      ],
      hooks: { draw: [(u) => drawNames(u, points)] },
    },
    data as uPlot.AlignedData,
  );
  noteAbove(section, points, limit, ridge);
}

/** Margin for measurement noise; points further above the line need an explanation. */
const aboveNoise = 1.05;

function noteAbove(
  section: HTMLElement,
  points: readonly NamedPoint[],
  limit: (intensity: number) => number,
  ridge: number,
): void {
  const above = points.filter(({ intensity, rate }) => rate > aboveNoise * limit(intensity));
  const names = (list: readonly NamedPoint[]) => list.map(({ name }) => name).join(", ");
  const byMemory = above.filter(({ intensity }) => intensity < ridge);
  const byArithmetic = above.filter(({ intensity }) => intensity >= ridge);
  const notes = [
    byMemory.length > 0 &&
      `Above the slope: ${names(byMemory)}. Bandwidth was measured in memory; operands that stay in a cache are read faster.`,
    byArithmetic.length > 0 &&
      `Above the roof: ${names(byArithmetic)}. FLOPs are counted by the direct algorithm; Winograd's convolution needs fewer multiplications.`,
  ];
  for (const note of notes) if (note) section.append(element("p", { class: "note" }, note));
}

interface NamedPoint {
  readonly name: string;
  readonly intensity: number;
  readonly rate: number;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && a.right > b.left && a.top < b.bottom && a.bottom > b.top;
}

/** First free label position (right, left, above, below) that covers no point or label; undefined if none. */
function drawNames({ ctx, bbox, valToPos }: uPlot, points: readonly NamedPoint[]): void {
  const ratio = devicePixelRatio;
  const [gap, height] = [7 * ratio, 12 * ratio];
  const centres = points.map(({ intensity, rate }) => [
    valToPos(intensity, "x", true),
    valToPos(rate, "y", true),
  ]);
  const radius = (pointSize / 2 + 1) * ratio;
  const occupied: Box[] = centres.map(([x, y]) => ({
    left: x - radius,
    right: x + radius,
    top: y - radius,
    bottom: y + radius,
  }));
  ctx.save();
  ctx.font = fontOf(10 * ratio);
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  ctx.fillStyle = color("--muted");
  points.forEach(({ name }, i) => {
    const [x, y] = centres[i];
    const { width } = ctx.measureText(name);
    const places = [
      [x + gap, y],
      [x - gap - width, y],
      [x - width / 2, y - radius - height / 2],
      [x - width / 2, y + radius + height / 2],
    ];
    for (const [left, middle] of places) {
      const box = { left, right: left + width, top: middle - height / 2, bottom: middle + height / 2 };
      const isInside =
        left >= bbox.left &&
        box.right <= bbox.left + bbox.width &&
        box.top >= bbox.top &&
        box.bottom <= bbox.top + bbox.height;
      if (!isInside || occupied.some((other) => overlap(box, other))) continue;
      occupied.push(box);
      ctx.fillText(name, left, middle);
      return;
    }
  });
  ctx.restore();
}

function dots(side: SideColor): uPlot.Series {
  return {
    stroke: side.stroke,
    paths: () => null,
    points: { show: true, size: pointSize, fill: side.stroke, width: 0 },
  };
}

/** Loss curves of each training, by contender. */
export function lossPlots(section: HTMLElement, rows: readonly BenchRow[], colorOf: ColorOf): void {
  const trained = rows.filter(({ losses }) => losses !== undefined && losses.length > 1);
  for (const name of new Set(trained.map((row) => row.case))) {
    const curves = trained.filter((row) => row.case === name);
    const steps = Math.max(...curves.map(({ losses }) => losses!.length));
    section.append(
      element("h3", {}, name, element("small", {}, " loss over the first steps, one fixed batch")),
    );
    plot(
      section,
      plotHeight,
      {
        scales: { x: { time: false, range: [1, steps] }, y: { range: (_, _low, high) => [0, high * 1.05] } },
        axes: [axis, { ...axis, size: 48 }],
        series: [
          {},
          ...curves.map((row, i) => ({
            stroke: colorOf(sideOf(row)).stroke,
            width: 2,
            // Contenders with the same arithmetic have coinciding curves: later ones are dashed.
            dash: i === 0 ? [] : [8, 4 + 4 * i],
            points: { show: false },
          })),
        ],
      },
      [
        Array.from({ length: steps }, (_, i) => i + 1),
        ...curves.map(({ losses }) => Array.from({ length: steps }, (_, i) => losses![i] ?? null)),
      ],
    );
  }
}

const energyRow = 38;

/** Joules per run of each case, one dot per contender, with the method stated below. */
export function energyPlot(
  section: HTMLElement,
  { rows, energyMethods }: ReportData,
  colorOf: ColorOf,
): void {
  const known = rows.filter(({ joules }) => joules !== null && joules > 0);
  if (known.length === 0) return;
  const names = [...new Set(known.map((row) => `${row.suite}: ${row.case}`))];
  const places = names.map((_, i) => i);
  const sides = [...new Set(known.map(sideOf))];
  const values = sides.map((side) =>
    names.map(
      (name) =>
        known.find((row) => sideOf(row) === side && `${row.suite}: ${row.case}` === name)?.joules ?? null,
    ),
  );
  const y = logarithmic(known.map(({ joules }) => joules!));
  const labels = (u: uPlot) => {
    const ratio = devicePixelRatio;
    u.ctx.save();
    u.ctx.font = fontOf(12 * ratio);
    u.ctx.textAlign = "left";
    u.ctx.fillStyle = color("--text");
    for (const [i, name] of names.entries()) {
      // Above its row, clear of the dots.
      u.ctx.fillText(name, u.bbox.left + 4 * ratio, u.valToPos(i, "x", true) - (pointSize + 5) * ratio);
    }
    u.ctx.restore();
  };
  const kinds = [...new Set(known.map(({ joulesKind }) => joulesKind))].join(", ");
  section.append(element("h3", {}, `joules: ${kinds}`));
  plot(
    section,
    names.length * energyRow + valueAxisHeight,
    {
      scales: {
        x: { time: false, ori: 1, dir: -1, range: [-0.7, names.length - 0.4] },
        y: { ...y, ori: 0, dir: 1 },
      },
      axes: [
        { ...axis, side: 3, scale: "x", size: 12, splits: () => places, values: () => places.map(() => "") },
        { ...logAxis, side: 2, scale: "y", size: valueAxisHeight, space: 60 },
      ],
      series: [{}, ...sides.map((side) => dots(colorOf(side)))],
      hooks: { draw: [labels] },
    },
    [places, ...values],
  );
  if (energyMethods.length > 1) {
    section.append(
      element("p", { class: "note" }, "Figures that were obtained in different ways do not compare:"),
    );
  }
  for (const method of energyMethods) section.append(element("p", { class: "note" }, method));
}
