/** Curves that may grow forever: bounded numbers of points, neighbours merged when there are too many. */

/** Points of several series over one axis, as uPlot takes them: the axis first, NaN-free, gaps as null. */
export class Curve {
  readonly #capacity: number;
  readonly #x: number[] = [];
  readonly #series: (number | null)[][];

  /** `capacity` is even: the most points there ever are, at least half as many after a merge. */
  constructor(seriesCount: number, capacity: number) {
    this.#capacity = capacity;
    this.#series = Array.from({ length: seriesCount }, () => []);
  }

  /** x does not decrease; `values` has one entry per series. */
  add(x: number, values: readonly (number | null)[]): void {
    if (this.#x.length === this.#capacity) this.#halve();
    this.#x.push(x);
    this.#series.forEach((series, i) => {
      series.push(values[i]);
    });
  }

  clear(): void {
    for (const list of [this.#x, ...this.#series]) list.length = 0;
  }

  /** The lists are the curve's own and change with it. */
  get data(): [number[], ...(number | null)[][]] {
    return [this.#x, ...this.#series];
  }

  #halve(): void {
    const half = this.#x.length / 2;
    for (let i = 0; i < half; i++) {
      // The later x: a curve never ends before its newest point.
      this.#x[i] = this.#x[2 * i + 1];
      for (const series of this.#series) series[i] = mean(series[2 * i], series[2 * i + 1]);
    }
    for (const list of [this.#x, ...this.#series]) list.length = half;
  }
}

function mean(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return (a + b) / 2;
}
