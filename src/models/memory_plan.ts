/** What a model will take, known from its configuration and the headers of its files. */
import { aBoolean, aCount, anObject, check, checkOptions, type Kinds } from "../core/check.js";
import { itemSize } from "../core/dtype.js";
import type { Device, DeviceBuffer, Program } from "../device/device.js";
import { footprintOf } from "../device/footprint.js";
import { openMeta } from "../device/meta.js";
import { type DeviceChoice, deviceNamed, deviceOrName } from "../device/select.js";
import { noGrad, type Tensor } from "../graph/tensor.js";
import { aFileSource, type FileSource } from "../hub/source.js";
import { type KeyValueCache, keyValueCache } from "../nn/key_value_cache.js";
import type { Module } from "../nn/module.js";
import { zeros } from "../ops/creation.js";
import { argmax } from "../ops/reduce.js";
import type { Scheme } from "../quantization/scheme.js";
import { jit } from "../runtime/jit.js";
import { realize } from "../runtime/realize.js";
import { sessionOf } from "../runtime/session.js";
import type { Head } from "./architecture.js";
import { type CausalModel, chunkLengths } from "./decoder.js";
import { ModelFiles } from "./model_files.js";
import { openModel } from "./open_model.js";
import { aQuantization, heads } from "./options.js";
import { limitOf, transientBytes, weightsOf } from "./room.js";

const op = "memoryPlan";

/** Options of `memoryPlan`; those of loading are `fromPretrained`'s. */
export interface MemoryPlanOptions {
  readonly head?: Head;
  readonly device?: Device | DeviceChoice;
  readonly quantization?: Scheme | "file" | "none";
  readonly numLabels?: number;
  readonly ignoreMismatched?: boolean;
  /** Tokens of a sequence: what a cache has room for, and what an encoder reads. Default: the model's most, 2048 at most. */
  readonly contextLength?: number;
  /** Sequences. Default 1. */
  readonly batch?: number;
  readonly signal?: AbortSignal;
}

const planOptions = (): Kinds<MemoryPlanOptions> => ({
  ...{ head: heads, device: deviceOrName, quantization: aQuantization, numLabels: aCount, signal: anObject },
  ...{ ignoreMismatched: aBoolean, contextLength: aCount, batch: aCount },
});

/** Bytes that a model takes. */
export interface MemoryPlan {
  /** Parameters and buffers on the device. */
  readonly weights: number;
  /** Packed copies of float32 weights, which the device makes to multiply faster, and drops where memory runs short. */
  readonly packed: number;
  /** Keys and values of a decoder. */
  readonly cache: number;
  /** Temporaries, working space, commands and results of the largest step: the prompt's longest chunk, or a batch of an encoder. */
  readonly activations: number;
  /** On the device at most while it is loaded, and in host memory beside it. */
  readonly peakWhileLoading: number;
  /** Of the files that loading reads: what is downloaded where no cache has it. */
  readonly download: number;
  /** Of the first four: the device's memory when the model runs. */
  readonly total: number;
  /** What the device can have in use; undefined where it does not say. */
  readonly limit: number | undefined;
}

/**
 * Tells what a model will take, before it is downloaded: only its configuration and the headers of its files are read, and the model
 * is built and compiled on a device without memory.
 *
 * @throws what `fromPretrained` throws of files that do not fit.
 * @example
 * const source = folder("node_modules/wattgrad/test/fixtures/models/smollm2");
 * const plan = await memoryPlan(source, { device: "wasm", contextLength: 32 });
 * plan.cache; // 4100
 * plan.total < plan.limit!; // true
 */
export async function memoryPlan(source: FileSource, options: MemoryPlanOptions = {}): Promise<MemoryPlan> {
  check(op, "the source", source, aFileSource);
  const given = checkOptions(op, options, planOptions());
  const { head, numLabels, ignoreMismatched = false, signal, batch = 1 } = given;
  const device = await deviceNamed(op, given.device ?? "auto");
  const meta: Device = { ...openMeta(), info: device.info };
  const files = new ModelFiles(op, source, signal, undefined);
  const opened = await openModel(op, files, {
    head,
    numLabels,
    ignoreMismatched,
    meta,
    device: meta,
    signal,
  });
  try {
    const { model, config, state } = opened;
    const { quantization = "none" } = given;
    const transient = transientBytes(state, opened.architecture.names, quantization !== "none");
    if (quantization !== "none") {
      const { quantizeWhileLoading } = await import("./quantized_state.js");
      await quantizeWhileLoading(op, model, state, quantization, files);
    }
    model.eval();
    const weights = weightsOf(model, device);
    const { maxPositions = 512 } = config as { readonly maxPositions?: number };
    const length = given.contextLength ?? Math.min(maxPositions, 2048);
    const steps = opened.head === "causalLm" ? decode(model as CausalModel, batch, length, meta) : undefined;
    const { packed, activations } = await memoryOf(
      device,
      meta,
      steps?.run ?? encode(model, batch, length, meta),
    );
    const cache = steps?.cache ?? 0;
    return {
      ...{ weights, packed, cache, activations },
      peakWhileLoading: weights + transient,
      download: files.bytes,
      total: weights + packed + cache + activations,
      limit: limitOf(device),
    };
  } finally {
    await opened.close();
  }
}

/** Runs the steps that generation takes: chunks of a prompt, and one token. */
function decode(model: CausalModel, batch: number, capacity: number, device: Device) {
  const { layers, heads: keyHeads, headDim } = model.sizes;
  const cache = keyValueCache({ layers, batch, heads: keyHeads, capacity, headDim, device });
  const step = jit((tokens: Tensor, counts: Tensor, filled: KeyValueCache) =>
    noGrad(() => argmax(model.forward(tokens, { cache: filled, counts, last: true }), -1)),
  );
  const bytes = [cache.lengths, ...cache.layers.flatMap(({ keys, values }) => [keys, values])].reduce(
    (sum, { size }) => sum + 4 * size,
    0,
  );
  const run = () => {
    for (const length of chunkLengths) {
      if (length > capacity) break;
      const [tokens, counts] = [[batch, length], [batch]].map((shape) =>
        zeros(shape, { dtype: "int32", device }),
      );
      realize([tokens, counts]);
      step(tokens, counts, cache);
    }
  };
  return { cache: bytes, run };
}

function encode(model: Module, batch: number, length: number, device: Device): () => void {
  return () => {
    const tokens = zeros([batch, length], { dtype: "int32", device });
    realize([tokens]);
    const output: Tensor = noGrad(() => model.forward(tokens));
    realize([output]);
  };
}

/** What the Programs of `run` on the meta device would take on `device`. */
async function memoryOf(device: Device, meta: Device, run: () => void) {
  const programs: { program: Program; buffers: readonly DeviceBuffer[] }[] = [];
  const session = sessionOf(meta);
  const observe = (program: Program, _: readonly number[], buffers: readonly DeviceBuffer[]) =>
    programs.push({ program, buffers });
  session.observers.add(observe);
  try {
    run();
  } finally {
    session.observers.delete(observe);
  }
  let [workspace, commands, results] = [0, 0, 0];
  const panels = new Map<DeviceBuffer, Map<string, number>>();
  for (const { program, buffers } of programs) {
    const footprint = await footprintOf(device.name, program);
    workspace = Math.max(workspace, footprint.workspaceBytes);
    commands += footprint.commandBytes;
    results = Math.max(results, resultBytes(program));
    for (const { slot, key, bytes } of footprint.panels) {
      const own = panels.get(buffers[slot]) ?? new Map<string, number>();
      panels.set(buffers[slot], own.set(key, bytes));
    }
  }
  const budget = Number(device.info.details.panelBytes ?? 0);
  let packed = 0;
  for (const own of panels.values()) {
    for (const bytes of own.values()) if (packed + bytes <= budget) packed += bytes;
  }
  return { packed, activations: workspace + commands + results };
}

/** Of the leaves that a Program makes. */
function resultBytes({ slots, inputCount = 0, leafCount }: Program): number {
  return slots.slice(inputCount, leafCount).reduce((sum, { dtype, size }) => sum + size * itemSize[dtype], 0);
}
