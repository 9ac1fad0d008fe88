/**
 * Decoding with a cache, as in text generation. Each program returns its failed expectations: none, on every device.
 */
import type { Device } from "../../src/device/device.js";
import { CharGpt, type GptOptions } from "../../src/models/index.js";
import { type KeyValueCache, keyValueCache } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import "../../src/ops/methods.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { cost } from "../../src/profile/index.js";
import { compileCount, memory } from "../../src/runtime/counters.js";
import { jit } from "../../src/runtime/jit.js";

const [context, width, numHeads, numLayers, vocabulary] = [24, 32, 4, 2, 19];

function modelOn(device: Device, more: GptOptions = {}): CharGpt {
  ops.manualSeed(3);
  return new CharGpt({ context, width, numHeads, numLayers, vocabulary, device, ...more });
}

function cacheFor(device: Device, batch: number): KeyValueCache {
  return keyValueCache({
    layers: numLayers,
    batch,
    heads: numHeads,
    capacity: context,
    headDim: width / numHeads,
    device,
  });
}

/** Token t of sequence n. */
const tokenAt = (n: number, t: number) => (7 * n + 5 * t + t * t) % vocabulary;

function tokens(device: Device, sequences: readonly number[], from: number, count: number): Tensor {
  const values = sequences.flatMap((n) => Array.from({ length: count }, (_, t) => tokenAt(n, from + t)));
  return ops.tensor(Int32Array.from(values), { shape: [sequences.length, count], device });
}

function farthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  // NaN counts as far.
  for (let i = 0; i < a.length; i++) if (!(Math.abs(a[i] - b[i]) <= most)) most = Math.abs(a[i] - b[i]);
  return most;
}

/** Logits of the whole sequence at once. */
async function whole(model: CharGpt, device: Device, n: number): Promise<ArrayLike<number>> {
  return noGrad(() => model.forward(tokens(device, [n], 0, context))).data();
}

function stepOf(model: CharGpt, cache: KeyValueCache) {
  return jit((given: Tensor) => noGrad(() => model.forward(given, { cache })));
}

export const decodePrograms: Readonly<
  Record<string, (device: Device, tolerance?: number) => Promise<readonly string[]>>
> = {
  "chunks and then steps give the logits of the whole": async (device, tolerance = 1e-4) => {
    const wrong: string[] = [];
    const model = modelOn(device);
    const want = await whole(model, device, 1);
    const step = stepOf(model, cacheFor(device, 1));
    let done = 0;
    for (const count of [5, 3, 2, ...Array<number>(context - 10).fill(1)]) {
      const got = await step(tokens(device, [1], done, count)).data();
      const part = Array.prototype.slice.call(want, done * vocabulary, (done + count) * vocabulary);
      const distance = farthest(got, part);
      if (!(distance <= tolerance)) wrong.push(`tokens ${done} to ${done + count}: ${distance} away`);
      done += count;
    }
    return wrong;
  },

  "sequences of different lengths do not know of each other, to the bit": async (device) => {
    const wrong: string[] = [];
    const model = modelOn(device);
    const lengths = [3, 9, 1];
    const longest = Math.max(...lengths);
    const run = async (sequences: readonly number[]) => {
      const cache = cacheFor(device, sequences.length);
      const counts = ops.tensor(
        Int32Array.from(sequences, (n) => lengths[n % 3]),
        { device },
      );
      const prompt = noGrad(() => model.forward(tokens(device, sequences, 0, longest), { cache, counts }));
      const results = [await prompt.data()];
      const step = stepOf(model, cache);
      for (let t = 0; t < 6; t++) {
        // Each goes on behind its own prompt.
        const next = sequences.map((n) => tokenAt(n, lengths[n % 3] + t));
        results.push(
          await step(ops.tensor(Int32Array.from(next), { shape: [next.length, 1], device })).data(),
        );
      }
      return results;
    };
    const [one, other] = [await run([0, 1, 2]), await run([6, 1, 5])];
    one.forEach((values, i) => {
      const size = values.length / 3;
      const [a, b] = [values, other[i]].map((all) => all.slice(size, 2 * size));
      if (farthest(a, b) !== 0) wrong.push(`read ${i} of sequence 1 differs by ${farthest(a, b)}`);
    });
    // And each is what it would be alone.
    for (const n of [0, 1, 2]) {
      const want = await whole(model, device, n);
      one.slice(1).forEach((values, t) => {
        const at = lengths[n] + t;
        const distance = farthest(
          values.slice(n * vocabulary, (n + 1) * vocabulary),
          Array.prototype.slice.call(want, at * vocabulary, (at + 1) * vocabulary),
        );
        if (device.info.float32Bytes === undefined && !(distance <= 1e-4))
          wrong.push(`sequence ${n} at ${at}: ${distance} away`);
      });
    }
    return wrong;
  },

  "a token compiles nothing and allocates nothing but its logits": async (device) => {
    const wrong: string[] = [];
    const model = modelOn(device);
    const cache = cacheFor(device, 2);
    const step = stepOf(model, cache);
    const held = () => {
      const { liveBuffers, executables } = memory(device);
      return { compiled: compileCount(device), executables, liveBuffers };
    };
    let before = held();
    for (let t = 0; t < context; t++) {
      const given = tokens(device, [0, 1], t, 1);
      const logits = step(given);
      await logits.data();
      for (const each of [logits, given]) each.dispose();
      if (t === 1) before = held();
    }
    const after = held();
    // A collection may free what earlier programs left.
    const isFlat = after.compiled === before.compiled && after.executables <= before.executables;
    if (!isFlat || after.liveBuffers > before.liveBuffers)
      wrong.push(`${JSON.stringify(before)} became ${JSON.stringify(after)}`);
    const full = step(tokens(device, [0, 1], 0, 1));
    const error = await full.data().then(
      () => "none",
      (reason: Error) => reason.name,
    );
    if (error !== "IndexError") wrong.push(`a full cache: ${error}`);
    const lengths = [...(await cache.lengths.data())].join();
    if (lengths !== `${context},${context}`) wrong.push(`lengths ${lengths}`);
    return wrong;
  },

  "the bytes of a token are those of the weights and of the cache's used part": async (device) => {
    const wrong: string[] = [];
    const model = modelOn(device);
    const cache = cacheFor(device, 1);
    const step = stepOf(model, cache);
    const float = device.info.float32Bytes ?? 4;
    const bytes: number[] = [];
    for (let t = 0; t < 12; t++) {
      const given = tokens(device, [0], t, 1);
      if (t === 0) await step(given).data();
      else bytes.push((await cost(device, () => step(given))).bytes);
    }
    // Each token more is a key and a value more in each layer.
    const each = 2 * numLayers * width * float;
    const grows = bytes.slice(1).map((value, i) => value - bytes[i]);
    if (grows.some((more) => Math.abs(more - each) > 1e-6 * bytes[0]))
      wrong.push(`${each} more each, got ${grows}`);
    return wrong;
  },
};

/** As the last but one, of twelve layers and 1,000 tokens. */
export async function longLoop(device: Device): Promise<readonly string[]> {
  const [layers, capacity] = [12, 2048];
  const model = modelOn(device, { context: capacity, numLayers: layers });
  const cache = keyValueCache({
    ...{ layers, batch: 1, heads: numHeads, capacity, headDim: width / numHeads, device },
  });
  const step = stepOf(model, cache);
  const held: string[] = [];
  for (let t = 0; t < 1000; t++) {
    const given = tokens(device, [0], t, 1);
    const logits = step(given);
    await logits.data();
    for (const each of [logits, given]) each.dispose();
    const { liveBuffers, executables, reservedBytes } = memory(device);
    // Copies of weights are made at their second use.
    if (t > 1) held.push([compileCount(device), executables, liveBuffers, reservedBytes].join());
  }
  return [...new Set(held)];
}
