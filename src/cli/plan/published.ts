/** Published figures of large models, compared with a plan for the published hardware. */
import { parseConfig } from "./config.js";
import { countTransformer } from "./count.js";
import { type Plan, type PlanInput, plan } from "./estimate.js";
import { hardware } from "./hardware.js";

export interface Comparison {
  readonly model: string;
  readonly quantity: string;
  readonly unit: string;
  readonly published: number;
  readonly estimated: number;
  /** (estimated − published) / published. */
  readonly error: number;
  readonly source: string;
}

const gpt3Config = {
  model_type: "gpt2",
  n_layer: 96,
  n_embd: 12288,
  n_head: 96,
  n_positions: 2048,
  vocab_size: 50257,
};
const bertConfig = {
  model_type: "bert",
  num_hidden_layers: 12,
  hidden_size: 768,
  num_attention_heads: 12,
  intermediate_size: 3072,
  max_position_embeddings: 512,
  type_vocab_size: 2,
  vocab_size: 30522,
};
const bloomConfig = {
  model_type: "bloom",
  n_layer: 70,
  hidden_size: 14336,
  n_head: 112,
  seq_length: 2048,
  vocab_size: 250880,
};

const [megawattHour, hour, tonne] = [3.6e9, 3600, 1e6];

const brown = "Brown et al. 2020 (arXiv:2005.14165), table D.1";
const patterson = "Patterson et al. 2021 (arXiv:2104.10350), table 4";
const luccioni = "Luccioni et al. 2022 (arXiv:2211.02001)";

/** All comparisons; the exact counts take a few seconds. */
export async function comparePublished(): Promise<Comparison[]> {
  return [...(await gpt3()), ...(await bert()), ...(await bloom())];
}

async function gpt3(): Promise<Comparison[]> {
  const intensity = { gramsPerKwh: 429, source: patterson };
  const input = { parameters: 175e9, tokens: 300e9, hardware: hardware.v100, devices: 10_000, intensity };
  const { training } = planOf(input);
  const exact = await countTransformer(parseConfig(JSON.stringify(gpt3Config)), 2048);
  const counted = planOf({ ...input, parameters: exact.parameters, count: exact });
  const of = comparer("GPT-3 175B");
  return [
    of("parameters, counted", "", 175e9, exact.parameters, brown),
    of("training, 6·N·D", "FLOP", 3.14e23, training.flops, brown),
    of("training, counted", "FLOP", 3.14e23, counted.training.flopsOfGraph!, brown),
    of("time on 10,000 V100", "days", 14.8, training.seconds / hour / 24, patterson),
    of("energy", "MWh", 1287, training.joules / megawattHour, patterson),
    of("CO2e", "t", 552, training.gCO2e! / tonne, patterson),
  ];
}

async function bert(): Promise<Comparison[]> {
  const shape = parseConfig(JSON.stringify(bertConfig));
  const short = await countTransformer(shape, 128);
  const { training } = planOf({ parameters: 109e6, tokens: 250e9, hardware: hardware.v100 });
  const of = comparer("BERT-base");
  return [
    of("parameters, counted", "", 110e6, short.parameters, "Devlin et al. 2019 (arXiv:1810.04805)"),
    of(
      "forward of 128 tokens, counted",
      "FLOP",
      22.5e9,
      short.forwardFlops,
      "Sun et al. 2020 (MobileBERT, arXiv:2004.02984)",
    ),
    of("training, 6·N·D", "FLOP", 1.64e20, training.flops, brown),
  ];
}

async function bloom(): Promise<Comparison[]> {
  const exact = await countTransformer(parseConfig(JSON.stringify(bloomConfig)), 2048);
  const { training } = planOf({
    parameters: 176e9,
    tokens: 366e9,
    hardware: hardware.a100,
    devices: 384,
    recompute: true,
    // The published figure is the accelerators' alone.
    pue: 1,
    intensity: { gramsPerKwh: 57, source: luccioni },
  });
  const of = comparer("BLOOM 176B");
  return [
    of("parameters, counted", "", 176.247e9, exact.parameters, "Scao et al. 2022 (arXiv:2211.05100)"),
    of("accelerator hours", "h", 1_082_990, training.deviceSeconds / hour, luccioni),
    of("energy", "MWh", 433.196, training.joules / megawattHour, luccioni),
    of("CO2e of the energy", "t", 24.7, training.gCO2e! / tonne, luccioni),
  ];
}

function planOf(input: Pick<PlanInput, "parameters" | "tokens" | "hardware"> & Partial<PlanInput>): Plan {
  return plan({
    count: undefined,
    devices: undefined,
    pue: 1.1,
    recompute: false,
    weightBits: 16,
    intensity: undefined,
    ...input,
  });
}

function comparer(model: string) {
  return (
    quantity: string,
    unit: string,
    published: number,
    estimated: number,
    source: string,
  ): Comparison => ({
    model,
    quantity,
    unit,
    published,
    estimated,
    error: (estimated - published) / published,
    source,
  });
}
