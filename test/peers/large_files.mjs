/**
 * How much memory it takes to load and save large weight files: peak resident memory beside the bytes of the device.
 *
 *     node large_files.mjs [--dist DIR] [--directory DIR] [--json FILE]
 *
 * A bf16 file of 134 MB, and one of 1 GB in four shards with an index, go onto the wasm device, whose float32 takes twice as many
 * bytes; the 1 GB model is saved as bf16; a sparse file of 5 GB opens and gives one tensor. Each in a process of its own, on
 * Linux, whose kernel counts peaks. `--dist` measures another build of wattgrad; one without `openSafetensors` reads files whole.
 * What is written to the directory (2.3 GB, by default below the system's for temporary files) is removed.
 */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import Table from "cli-table3";

const own = fileURLToPath(import.meta.url);
const { values: options } = parseArgs({
  options: {
    dist: { type: "string", default: fileURLToPath(new URL("../../dist/", import.meta.url)) },
    directory: { type: "string", default: tmpdir() },
    json: { type: "string" },
    task: { type: "string" },
    file: { type: "string" },
    layers: { type: "string" },
  },
});
/** Rows and columns of every layer: 33.6 MB of bf16. */
const width = 4096;
const layerBytes = width * width * 2;

/** Writes layers of pseudo-random bf16 numbers around 0 under their names in a Sequential. */
function writeLayers(path, numbers) {
  const entries = numbers.map((number, i) => [
    `${number}.weight`,
    { dtype: "BF16", shape: [width, width], data_offsets: [i * layerBytes, (i + 1) * layerBytes] },
  ]);
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const values = Uint16Array.from({ length: width * width }, (_, i) => {
    const bits = Math.imul(i, 2654435761) >>> 16;
    return (bits & 0x807f) | (0x3c00 + (bits & 0x100));
  });
  const file = openSync(path, "w");
  for (const part of [length, header]) writeSync(file, part);
  for (const _ of numbers) writeSync(file, values);
  closeSync(file);
}

/** Holes take no disk. */
function writeSparse(path, bytes) {
  const last = 8;
  const shape = [(bytes - last) / 2];
  const header = Buffer.from(
    JSON.stringify({
      hole: { dtype: "BF16", shape, data_offsets: [0, bytes - last] },
      last: { dtype: "BF16", shape: [4], data_offsets: [bytes - last, bytes] },
    }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = openSync(path, "w");
  for (const part of [length, header]) writeSync(file, part);
  writeSync(file, Uint16Array.of(0x3f80, 0x4000, 0x4040, 0x4080), 0, last, 8 + header.length + bytes - last);
  closeSync(file);
}

const resident = (field) => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;

/** Most bytes resident at once while `work` runs, and those before it. */
async function peakOf(work) {
  globalThis.gc();
  const before = resident("VmRSS");
  writeFileSync("/proc/self/clear_refs", "5");
  const start = performance.now();
  const result = await work();
  return { before, peak: resident("VmHWM"), seconds: (performance.now() - start) / 1000, result };
}

/** In a process of its own. */
async function perform({ task, file, layers, dist }) {
  const room = (name) => import(pathToFileURL(join(dist, `${name}.js`)).href);
  const { openDevice } = await room("index");
  const { openSafetensors, readSafetensors, saveSafetensors, writeFileAtomic, writeSafetensors } = await room("formats");
  if (task === "sparse") {
    const measured = await peakOf(async () => {
      const open = openSafetensors ? await openSafetensors(file) : undefined;
      const last = open ? await open.tensor("last") : readSafetensors(readFileSync(file)).tensors.get("last");
      await open?.close();
      return [...last.data];
    });
    return { ...measured, deviceBytes: 0 };
  }
  const { Linear, Sequential } = await room("nn");
  const { openMeta } = await room("quantization");
  const { hostTensors } = await room("train");
  const device = await openDevice("wasm");
  const make = (on) =>
    new Sequential(...Array.from({ length: Number(layers) }, () => new Linear(width, width, { bias: false, device: on })));
  const model = task === "load into a model" ? make(device) : make(openMeta());
  const assign = task === "load into a model" ? {} : { assign: device };
  const load = async () => {
    if (openSafetensors) {
      const open = await openSafetensors(file);
      await model.loadStateDict(open.tensors, assign);
      return open.close();
    }
    const shards = file.endsWith(".json")
      ? [...new Set(Object.values(JSON.parse(readFileSync(file, "utf8")).weight_map))].map((name) => join(dirname(file), name))
      : [file];
    const tensors = new Map(shards.flatMap((path) => [...readSafetensors(readFileSync(path)).tensors]));
    await model.loadStateDict(tensors, assign);
  };
  const measured = await peakOf(load);
  const { liveBytes: deviceBytes, reservedBytes } = device.memory();
  const sample = [...(await model.modules[Number(layers) - 1].weight.data()).subarray(0, 3)];
  if (task !== "save") return { ...measured, deviceBytes, reservedBytes, sample };
  const path = `${file}.saved`;
  const saved = await peakOf(async () => {
    const floatType = { floatType: "BF16" };
    if (saveSafetensors) await saveSafetensors(path, model.stateDict(), {}, floatType);
    else await writeFileAtomic(path, writeSafetensors(await hostTensors(model.stateDict()), {}, floatType));
  });
  const bytes = statSync(path).size;
  rmSync(path);
  return { ...saved, deviceBytes, reservedBytes, sample, bytes };
}

if (options.task) {
  console.log(JSON.stringify(await perform(options)));
} else {
  const directory = mkdtempSync(join(options.directory, "wattgrad-large-"));
  const table = new Table({
    head: ["task", "file, MB", "device, MB", "before, MB", "peak, MB", "peak − before", "÷ device", "seconds"],
    style: { head: [], border: [] },
  });
  const rows = [];
  try {
    const small = join(directory, "134.safetensors");
    writeLayers(small, [0, 1, 2, 3]);
    const index = join(directory, "1000.safetensors.index.json");
    const layers = 30;
    const weights = {};
    for (let shard = 0; shard < 4; shard++) {
      const numbers = Array.from({ length: layers }, (_, i) => i).filter((i) => Math.floor((i * 4) / layers) === shard);
      const name = `1000-0000${shard + 1}-of-00004.safetensors`;
      writeLayers(join(directory, name), numbers);
      for (const number of numbers) weights[`${number}.weight`] = name;
    }
    writeFileSync(index, JSON.stringify({ metadata: { total_size: layers * layerBytes }, weight_map: weights }));
    const sparse = join(directory, "sparse.safetensors");
    writeSparse(sparse, 5_000_000_000);
    for (const [task, file, bytes, count] of [
      ["load", small, 4 * layerBytes, 4],
      ["load into a model", small, 4 * layerBytes, 4],
      ["load", index, layers * layerBytes, layers],
      ["load into a model", index, layers * layerBytes, layers],
      ["save", index, layers * layerBytes, layers],
      ["sparse", sparse, 5e9, 0],
    ]) {
      const given = ["--task", task, "--file", file, "--layers", String(count), "--dist", options.dist];
      let row;
      try {
        row = JSON.parse(execFileSync(process.execPath, ["--expose-gc", own, ...given], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }));
      } catch (error) {
        row = { error: /\w*Error.*/.exec(error.stderr)?.[0] ?? String(error) };
      }
      rows.push({ task, fileBytes: bytes, ...row });
      const mb = (value) => (value / 1e6).toFixed(0);
      if (row.error) table.push([task, mb(bytes), { colSpan: 6, content: row.error }]);
      else {
        const more = row.peak - row.before;
        const share = row.deviceBytes > 0 ? (more / row.deviceBytes).toFixed(2) : "";
        table.push([task, mb(bytes), mb(row.deviceBytes), mb(row.before), mb(row.peak), mb(more), share, row.seconds.toFixed(1)]);
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  console.log(`Node ${process.version}, ${options.dist}`);
  console.log(table.toString());
  if (options.json) writeFileSync(options.json, JSON.stringify(rows, null, 2));
}
