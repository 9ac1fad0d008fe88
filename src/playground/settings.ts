/** What the page's controls offer. */

export const learningRates: readonly number[] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03];
export const defaultLearningRate = 0.001;

export const batchSizes: readonly number[] = [16, 32, 64, 128, 256];
export const defaultBatchSize = 64;

/** How devices are called in the page; others by their own name. */
export const deviceTitles: Readonly<Record<string, string>> = {
  auto: "Automatic: the fastest",
  wasm: "CPU: WebAssembly SIMD",
  webgl: "GPU: WebGL2",
  reference: "Reference: float64, slow",
};
