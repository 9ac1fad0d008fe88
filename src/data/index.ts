/** `wattgrad/data`: datasets and the loader that feeds them to a device. */
import "../ops/methods.js";

export type { HostTensor } from "../formats/host.js";
export {
  type CausalBatch,
  type CausalTextOptions,
  causalTexts,
  type Packing,
  type TrainingText,
} from "./causal_text.js";
export { type Cifar10, type Cifar10Split, loadCifar10, readCifar10 } from "./cifar10.js";
export { type Dataset, type HostRecord, subset, TensorDataset } from "./dataset.js";
export { ImageDataset, type ImageDatasetOptions, imageNetNormalization } from "./images.js";
export { DataLoader, type DataLoaderOptions, type LoaderState, type Uploaded } from "./loader.js";
export { type MaskedBatch, type MaskedTextOptions, MaskedTexts } from "./masked_text.js";
export {
  loadMnist,
  type Mnist,
  type MnistSplit,
  type MnistUrls,
  mnistNormalization,
} from "./mnist.js";
export { bucketLengths, type PaddedSequences, type PaddingOptions, padSequences } from "./padding.js";
export { TextDataset, type TextDatasetOptions } from "./text.js";
