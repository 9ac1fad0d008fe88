/** tfjs's side of train.mjs. Variant: the backend, "wasm" or "cpu". */
import { serve } from "./contender.mjs";
import { openTensorflow } from "./peers.mjs";
import { tensorflowStep } from "./tensorflow_step.mjs";

await serve(async (key, workload, weights, backend = "wasm") =>
  tensorflowStep(await openTensorflow(backend), key, workload, weights),
);
