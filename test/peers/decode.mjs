/**
 * Decoding with a 12-layer GPT and caches of 2,048 positions, token by token: milliseconds and bytes of a token at several lengths,
 * and what the loop holds after the second token and at its end.
 *
 *     node decode.mjs [--layers 12] [--width 384] [--heads 6] [--capacity 2048] [--batch 1] [--vocabulary 1000]
 *
 * Bytes are those of the kernels (`cost`, with the lengths of the run), beside those of the weights and of the cache's used part.
 */
import { parseArgs } from "node:util";
import { median } from "./measure.mjs";
import { loadSource } from "./source.mjs";

const defaults = { layers: 12, width: 384, heads: 6, capacity: 2048, batch: 1, vocabulary: 1000 };
const { values } = parseArgs({
  options: Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, { type: "string", default: String(value) }]),
  ),
});
const { layers, width, heads, capacity, batch, vocabulary } = Object.fromEntries(
  Object.keys(defaults).map((name) => [name, Number(values[name])]),
);
/** Lengths at which a token is measured, and how many tokens around each. */
const places = [16, 128, 512, 1000, 2000].filter((length) => length < capacity - 8);
const around = 15;

const { index, nn, models, profile } = await loadSource();
const device = await index.openDevice("wasm");
const { noGrad, jit, tensor, memory, compileCount } = index;
const model = new models.CharGpt({
  ...{ numLayers: layers, width, numHeads: heads, context: capacity, vocabulary, device },
});
const cache = nn.keyValueCache({ layers, batch, heads, capacity, headDim: width / heads, device });
const step = jit((token) => noGrad(() => model.forward(token, { cache })));
const token = (t) =>
  tensor(
    Int32Array.from({ length: batch }, (_, n) => (7 * t + n) % vocabulary),
    { shape: [batch, 1], device },
  );
const tables = ["tok.weight", "pos.weight"];
let weights = 0;
for (const [name, { size }] of model.stateDict()) if (!tables.includes(name)) weights += 4 * size;

const held = () => {
  const { liveBuffers, executables, reservedBytes } = memory(device);
  return { programs: compileCount(device), executables, liveBuffers, reservedBytes };
};
const times = [];
const bytes = new Map();
let early;
for (let t = 0; t < capacity - 1; t++) {
  const given = token(t);
  let logits;
  const start = performance.now();
  if (places.includes(t + 1)) {
    const counted = await profile.cost(device, () => {
      logits = step(given);
      return logits;
    });
    bytes.set(t + 1, counted.bytes);
  } else logits = step(given);
  await logits.data();
  times.push(performance.now() - start);
  logits.dispose();
  given.dispose();
  // Panels of the weights are made at their second use.
  if (t === 2) early = held();
}
const last = held();
console.log(`${layers} layers of width ${width}, ${heads} heads, capacity ${capacity}, batch ${batch}: ${(weights / 1e6).toFixed(1)} MB of weights`);
console.table(
  places.map((length) => {
    const used = 4 * 2 * layers * batch * length * width;
    const near = times.slice(Math.max(3, length - around), length + around).toSorted((a, b) => a - b);
    return {
      length,
      "ms per token": Number(median(near).toFixed(2)),
      "fastest ms": Number(near[0].toFixed(2)),
      bytes: bytes.get(length),
      "weights + cache": weights + used,
      "activations and rest": bytes.get(length) - weights - used,
    };
  }),
);
console.log("after the third token:", early);
console.log("after the last token: ", last);
