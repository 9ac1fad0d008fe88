/** Accelerators, with the throughput and power of published trainings of large models. */

export interface Hardware {
  readonly name: string;
  /** Dense FLOPs per second of the data sheet, in the precision that models are trained in. */
  readonly peakFlops: number | null;
  /** FLOPs per second reached while training at scale. */
  readonly flopsPerSecond: number;
  /** Power of one accelerator under load, including its share of the host if `source` says so. */
  readonly watts: number;
  readonly memoryBytes: number;
  /** Bytes per second of its memory. */
  readonly bandwidth: number;
  readonly source: string;
}

const gigabyte = 1e9;

export const hardware: Readonly<Record<string, Hardware>> = {
  v100: {
    name: "NVIDIA V100",
    peakFlops: 125e12,
    flopsPerSecond: 24.6e12,
    watts: 330,
    memoryBytes: 32 * gigabyte,
    bandwidth: 900e9,
    source:
      "Patterson et al. 2021 (arXiv:2104.10350), GPT-3: 24.6 TFLOP/s and 330 W, system average per accelerator",
  },
  a100: {
    name: "NVIDIA A100 80 GB",
    peakFlops: 312e12,
    flopsPerSecond: 150e12,
    watts: 400,
    memoryBytes: 80 * gigabyte,
    bandwidth: 2039e9,
    source:
      "BigScience 2022, BLOOM: about 150 TFLOP/s, recomputation counted; rated 400 W (Luccioni et al. 2022)",
  },
  h100: {
    name: "NVIDIA H100 SXM",
    peakFlops: 989e12,
    flopsPerSecond: 400e12,
    watts: 700,
    memoryBytes: 80 * gigabyte,
    bandwidth: 3350e9,
    source: "Llama team 2024 (arXiv:2407.21783), Llama 3 405B: 380 to 430 TFLOP/s; rated 700 W",
  },
};

/** Accelerators for which both throughput and power of a large training were published. */
export const defaultHardware = "v100";

/** Power usage effectiveness of a large data centre: that of GPT-3's training in Patterson et al. 2021. */
export const defaultPue = 1.1;
