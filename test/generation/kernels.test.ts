/** How many kernels a layer runs for a decoded token: an op that no longer fuses shows here. */
import { describe, expect, it } from "vitest";
import { noGrad } from "../../src/graph/tensor.js";
import type { CausalModel } from "../../src/models/decoder.js";
import { gpt2 } from "../../src/models/gpt2/gpt2.js";
import { llama } from "../../src/models/llama/llama.js";
import { keyValueCache } from "../../src/nn/key_value_cache.js";
import { tensor } from "../../src/ops/creation.js";
import { argmax } from "../../src/ops/reduce.js";
import { cost } from "../../src/profile/index.js";
import { int8Dynamic, quantize } from "../../src/quantization/index.js";
import { realize } from "../../src/runtime/realize.js";
import { reference as device } from "../devices.js";

const families = {
  llama: (layers: number) =>
    llama.build(
      llama.readConfig({
        ...{ model_type: "llama", vocab_size: 32, hidden_size: 24, intermediate_size: 48 },
        ...{ num_hidden_layers: layers, num_attention_heads: 6, num_key_value_heads: 2 },
        ...{ max_position_embeddings: 64, rms_norm_eps: 1e-5, hidden_act: "silu", tie_word_embeddings: true },
      }),
      "causalLm",
      { device },
    ),
  gpt2: (layers: number) =>
    gpt2.build(
      gpt2.readConfig({
        ...{ model_type: "gpt2", vocab_size: 32, n_positions: 64, n_embd: 24, n_layer: layers, n_head: 4 },
      }),
      "causalLm",
      { device },
    ),
};

/** The kernels of a step that decodes one token, in order. */
async function kernels(family: keyof typeof families, layers: number, isQuantized: boolean) {
  const model = families[family](layers) as CausalModel;
  if (isQuantized) await quantize(model, int8Dynamic());
  const { heads, headDim } = model.sizes;
  const cache = keyValueCache({ layers, batch: 1, heads, capacity: 16, headDim, device });
  const token = tensor(Int32Array.of(3), { shape: [1, 1], device });
  realize([token]);
  const { programs } = await cost(device, () =>
    noGrad(() => argmax(model.forward(token, { cache, last: true }), -1)),
  );
  return programs.flatMap(({ program }) => program.calls.map(({ kernel }) => kernel));
}

async function perLayer(family: keyof typeof families, isQuantized: boolean) {
  const [few, more] = [await kernels(family, 2, isQuantized), await kernels(family, 3, isQuantized)];
  const count: Record<string, number> = {};
  for (const kernel of more) count[kernel] = (count[kernel] ?? 0) + 1;
  for (const kernel of few) count[kernel]--;
  return Object.fromEntries(Object.entries(count).filter(([, n]) => n !== 0));
}

/** With weights of int8 each product's input needs four kernels more: maximum, two scales, rounding. */
const expected = {
  llama: {
    float32: { map: 6, reduce: 2, matmul: 7, write: 2, attention: 1 },
    int8: { map: 18, reduce: 6, qmatmul: 7, write: 2, attention: 1 },
  },
  gpt2: {
    float32: { map: 8, reduce: 4, matmul: 4, write: 2, attention: 1 },
    int8: { map: 20, reduce: 8, qmatmul: 4, write: 2, attention: 1 },
  },
};

describe("kernels of a layer for a decoded token", () => {
  for (const family of ["llama", "gpt2"] as const) {
    for (const weights of ["float32", "int8"] as const) {
      it(`${family}, ${weights}`, async () => {
        expect(await perLayer(family, weights === "int8")).toEqual(expected[family][weights]);
      });
    }
  }
});
