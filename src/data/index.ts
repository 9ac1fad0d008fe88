/** `wattgrad/data`: datasets and the loader that feeds them to a device. */
import "../ops/methods.js";

export type { HostTensor } from "../formats/host.js";
export { type Dataset, subset, TensorDataset } from "./dataset.js";
export { DataLoader, type DataLoaderOptions, type LoaderState } from "./loader.js";
export {
  ImageDataset,
  type ImageDatasetOptions,
  loadMnist,
  type Mnist,
  type MnistSplit,
  type MnistUrls,
  mnistNormalization,
} from "./mnist.js";
export { TextDataset, type TextDatasetOptions } from "./text.js";
