/** wattgrad's side of train.mjs. */
import * as index from "../../dist/index.js";
import * as models from "../../dist/models.js";
import * as nn from "../../dist/nn.js";
import * as optim from "../../dist/optim.js";
import { serve } from "./contender.mjs";
import { ours } from "./workloads.mjs";

await serve(async (_, workload, weights) => {
  const device = await index.openDevice("wasm");
  const step = await ours(workload, { index, nn, optim, models }, device, weights);
  return async () => {
    const loss = step();
    const [value] = await loss.data();
    loss.dispose();
    return value;
  };
});
