/** The keys of config.json that all families share. */
import { isPlain } from "../core/check.js";
import type { CommonConfig } from "./architecture.js";
import type { ConfigReader } from "./config_reader.js";
import { plainEmbedding } from "./embedding.js";

export function readCommon(reader: ConfigReader): CommonConfig {
  const names = reader.get("id2label");
  const labels = isPlain(names)
    ? Object.entries(names)
        .sort(([a], [b]) => Number(a) - Number(b))
        .map(([, label]) => String(label))
    : [];
  const numLabels = labels.length > 0 ? labels.length : reader.count("num_labels", 2);
  return {
    modelType: String(reader.get("model_type")),
    architecture: reader.strings("architectures")?.[0],
    numLabels,
    labels: labels.length > 0 ? labels : Array.from({ length: numLabels }, (_, i) => `LABEL_${i}`),
    problemType: reader.has("problem_type") ? String(reader.get("problem_type")) : undefined,
    initializerRange: reader.number("initializer_range", 0.02),
    embedding: plainEmbedding,
  };
}
