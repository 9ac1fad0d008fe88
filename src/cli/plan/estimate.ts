/** Estimates the cost of training and running a large model from its size, the number of tokens and the hardware. */
import { type CarbonIntensity, carbon, joulesPerKwh } from "../../energy/efficiency.js";
import type { EnergyKind } from "../../energy/index.js";
import type { TransformerCount } from "./count.js";
import type { Hardware } from "./hardware.js";

export interface PlanInput {
  readonly parameters: number;
  /** Tokens of training. */
  readonly tokens: number;
  /** Exact counts, if the architecture is known. */
  readonly count: TransformerCount | undefined;
  readonly hardware: Hardware;
  /** Accelerators; undefined for as few as hold the training's state. */
  readonly devices: number | undefined;
  readonly pue: number;
  /** Whether activations are computed again in the backward pass instead of being kept. */
  readonly recompute: boolean;
  /** Bits of a weight for inference. */
  readonly weightBits: number;
  readonly intensity: CarbonIntensity | undefined;
}

export interface Plan {
  readonly parameters: number;
  readonly hardware: Hardware & { readonly devices: number; readonly pue: number };
  readonly training: TrainingPlan;
  readonly inference: InferencePlan;
}

interface Energy {
  /** The data centre's: accelerators' energy times PUE. */
  readonly joules: number;
  readonly kind: EnergyKind;
  readonly method: string;
  readonly gCO2e: number | null;
  readonly gCO2eReason?: string;
}

export interface TrainingPlan extends Energy {
  readonly tokens: number;
  /** 6·N·D, or 8·N·D with recomputation. */
  readonly flops: number;
  readonly flopsMethod: string;
  /** Counted from the architecture's graph, attention and everything else included; null if it is not known. */
  readonly flopsOfGraph: number | null;
  readonly flopsOfGraphReason?: string;
  /** One accelerator's. */
  readonly deviceSeconds: number;
  /** All accelerators together. */
  readonly seconds: number;
  readonly kwh: number;
  readonly memory: {
    /** Weights, gradients and optimizer, all accelerators together. */
    readonly stateBytes: number;
    readonly stateMethod: string;
    /** Activation bytes of one sequence, float32; null if the architecture is not known. */
    readonly activationBytes: number | null;
  };
}

export interface InferencePlan {
  /** FLOPs per token, without the part of attention that grows with the length. */
  readonly flopsPerToken: number;
  /** Mean over a full sequence, from the graph; null if the architecture is not known. */
  readonly flopsPerTokenOfGraph: number | null;
  readonly weightBytes: number;
  readonly devices: number;
  /** Maximum tokens per second of a single sequence: every token reads all weights. */
  readonly tokensPerSecond: number;
  /** Tokens per second of a prompt, limited by arithmetic. */
  readonly promptTokensPerSecond: number;
  /** The data centre's, of a single stream. */
  readonly joulesPerToken: number;
  readonly joulesPerPromptToken: number;
  readonly kind: EnergyKind;
  readonly method: string;
}

/** Kaplan et al. 2020: two FLOPs per parameter and token forward, four backward. */
const [forwardFlops, trainingFlops, recomputingFlops] = [2, 6, 8];
/** Mixed-precision Adam keeps 16 bytes a parameter (Rajbhandari et al. 2020, ZeRO, §3.1). */
const stateBytesPerParameter = 16;

const noIntensity = "no carbon intensity was given (--intensity and --intensity-source)";

export function plan(input: PlanInput): Plan {
  const { parameters, hardware, pue } = input;
  const stateBytes = stateBytesPerParameter * parameters;
  const devices = input.devices ?? Math.ceil(stateBytes / hardware.memoryBytes);
  return {
    parameters,
    hardware: { ...hardware, devices, pue },
    training: training(input, devices, stateBytes),
    inference: inference(input),
  };
}

function training(input: PlanInput, devices: number, stateBytes: number): TrainingPlan {
  const { parameters, tokens, count, hardware, recompute } = input;
  const factor = recompute ? recomputingFlops : trainingFlops;
  const flops = factor * parameters * tokens;
  const again = count && recompute ? count.forwardFlops : 0;
  const flopsOfGraph = count ? ((count.trainingFlops + again) / count.length) * tokens : null;
  // The better count decides time and energy.
  const deviceSeconds = (flopsOfGraph ?? flops) / hardware.flopsPerSecond;
  const energy = energyOf(input, deviceSeconds);
  return {
    tokens,
    flops,
    flopsMethod: `${factor}·N·D (Kaplan et al. 2020${recompute ? ", activations computed again" : ""})`,
    flopsOfGraph,
    ...(count ? {} : { flopsOfGraphReason: "the architecture is not known; give it with --config" }),
    deviceSeconds,
    seconds: deviceSeconds / devices,
    ...energy,
    kwh: energy.joules / joulesPerKwh,
    memory: {
      stateBytes,
      stateMethod: `${stateBytesPerParameter} bytes a parameter: mixed-precision Adam (Rajbhandari et al. 2020)`,
      activationBytes: count?.activationBytes ?? null,
    },
  };
}

function inference(input: PlanInput): InferencePlan {
  const { parameters, count, hardware, weightBits } = input;
  const flopsPerToken = forwardFlops * parameters;
  const weightBytes = (parameters * weightBits) / 8;
  const devices = Math.ceil(weightBytes / hardware.memoryBytes);
  const flopsPerTokenOfGraph = count ? count.forwardFlops / count.length : null;
  const deviceSecondsPerToken = weightBytes / hardware.bandwidth;
  const energy = energyOf(input, deviceSecondsPerToken);
  const promptSeconds = (flopsPerTokenOfGraph ?? flopsPerToken) / hardware.flopsPerSecond;
  return {
    flopsPerToken,
    flopsPerTokenOfGraph,
    weightBytes,
    devices,
    tokensPerSecond: devices / deviceSecondsPerToken,
    promptTokensPerSecond: devices / promptSeconds,
    joulesPerToken: energy.joules,
    joulesPerPromptToken: energyOf(input, promptSeconds).joules,
    kind: energy.kind,
    method: energy.method,
  };
}

function energyOf({ hardware, pue, intensity }: PlanInput, deviceSeconds: number): Energy {
  const ofDevices = {
    joules: deviceSeconds * hardware.watts,
    kind: "modelled" as const,
    method: `time on one accelerator × ${hardware.watts} W`,
    scope: "accelerators",
    seconds: deviceSeconds,
    idleSubtracted: false,
  };
  const { gCO2e } = intensity ? carbon(ofDevices, { ...intensity, pue }) : { gCO2e: null };
  return {
    joules: ofDevices.joules * pue,
    kind: ofDevices.kind,
    method: `${ofDevices.method} × PUE ${pue}; ${hardware.source}`,
    gCO2e,
    ...(intensity ? {} : { gCO2eReason: noIntensity }),
  };
}
