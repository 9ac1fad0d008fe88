/** Wrong usage and damaged files: one line of output, the right exit code, and unchanged files. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSafetensors, writeSafetensors } from "../../src/formats/index.js";
import { idx, writeImages } from "./images.js";
import { run } from "./wattgrad.js";

let directory = "";
/** Relative to `directory`. */
const model = "model.safetensors";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wattgrad-errors-"));
  const path = (...parts: string[]) => join(directory, ...parts);
  await writeImages(path("data"));
  const trained = await run(
    [
      "train",
      "--model",
      "mlp",
      "--data",
      "data",
      "--epochs",
      "1",
      "--quiet",
      "--out",
      model,
      "--checkpoint",
      "run",
    ],
    directory,
  );
  expect(trained).toMatchObject({ code: 0, stderr: "" });

  await writeImages(path("small"), { size: 8 });
  await writeImages(path("none"), { count: 0 });
  await writeImages(path("labels"), { label: (i) => i % 11 });
  await writeImages(path("fewer"));
  await writeFile(path("fewer", "train-labels-idx1-ubyte"), idx([3], Uint8Array.of(1, 2, 3)));
  await writeImages(path("magic"));
  await writeFile(path("magic", "train-images-idx3-ubyte"), "\u0001\u0002\u0003\u0004 not images");
  await writeImages(path("cut"));
  await truncate(path("cut", "t10k-images-idx3-ubyte"), 5000);
  await writeImages(path("gzip"));
  await rm(path("gzip", "train-images-idx3-ubyte"));
  await writeFile(path("gzip", "train-images-idx3-ubyte.gz"), Uint8Array.of(0x1f, 0x8b, 8, 0, 1, 2, 3));

  const bytes = await readFile(path(model));
  const { tensors, metadata } = readSafetensors(bytes);
  await writeFile(path("cut.safetensors"), bytes.subarray(0, bytes.length - 1000));
  await writeFile(path("header.safetensors"), bytes.subarray(0, 40));
  await writeFile(path("other.safetensors"), writeSafetensors(tensors));
  await writeFile(path("cnn.safetensors"), writeSafetensors(tensors, { ...metadata, model: "cnn" }));
  await writeFile(path("unknown.safetensors"), writeSafetensors(tensors, { ...metadata, model: "vgg" }));
  await writeFile(
    path("std.safetensors"),
    writeSafetensors(tensors, { ...metadata, normalization: '{"mean":0,"std":0}' }),
  );
  const made = await run(
    ["quantize", model, "--scheme", "int8-dynamic", "--data", "data", "--quiet", "--out", "int8.safetensors"],
    directory,
  );
  expect(made).toMatchObject({ code: 0, stderr: "" });
  const quantized = readSafetensors(await readFile(path("int8.safetensors")));
  const without = new Map(quantized.tensors);
  without.delete("layers.0.scale");
  await writeFile(path("scale.safetensors"), writeSafetensors(without, quantized.metadata));
  const quantization = quantized.metadata.quantization.replace('"bits":8', '"bits":9');
  await writeFile(
    path("bits.safetensors"),
    writeSafetensors(quantized.tensors, { ...quantized.metadata, quantization }),
  );
  await writeFile(path("file"), "in the way");
  const [checkpoint] = await readdir(path("run"));
  await mkdir(path("damaged"));
  const damaged = await readFile(path("run", checkpoint));
  damaged[damaged.length - 1] ^= 1;
  await writeFile(path("damaged", checkpoint), damaged);
});

afterAll(() => rm(directory, { recursive: true }));

/** Names and digests of everything there is. */
async function contents(): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    files.sort().map(
      async (file) =>
        `${file} ${createHash("sha1")
          .update(await readFile(file))
          .digest("hex")}`,
    ),
  );
}

async function expectOneLine(args: readonly string[], code: number, message: RegExp): Promise<void> {
  const before = await contents();
  const outcome = await run(args, directory);
  expect(outcome).toMatchObject({ code, signal: null, stdout: "" });
  expect(outcome.stderr).toMatch(/^wattgrad: [^\n]+\n$/);
  expect(outcome.stderr).toMatch(message);
  expect(await contents()).toEqual(before);
}

const train = ["train", "--model", "mlp", "--epochs", "1", "--out", model];
const quantize = ["quantize", model, "--scheme", "int8-static", "--out", "q.safetensors"];
const trainOn = (data: string) => [...train, "--data", data];

describe("usage errors: exit code 2", () => {
  test.each<[string, string[], RegExp]>([
    ["an unknown option", [...train, "--epoch", "3"], /unknown option '--epoch' .*--epochs/],
    ["an unknown command", ["trian"], /unknown command 'trian' .*train/],
    ["an unknown model", ["train", "--model", "vgg"], /'vgg' is invalid.*cnn/],
    ["an unknown device", ["info", "--device", "wasm"], /unknown option '--device'/],
    ["a value missing", ["train", "--data"], /argument missing/],
    ["an argument missing", ["eval"], /missing required argument 'model'/],
    ["an argument too many", ["eval", model, "another"], /too many arguments/],
    ["no number", [...train, "--lr", "fast"], /'--lr <rate>' argument 'fast' is invalid.*number above 0/],
    ["a number outside its domain", [...train, "--lr", "-1"], /number above 0/],
    ["a fraction of an epoch", [...train, "--epochs", "1.5"], /whole number from 1 on/],
    ["a seed beyond 2^53", [...train, "--seed", "9007199254740993"], /whole number from 0 on/],
    ["a budget of nothing", [...train, "--joules", "0"], /number above 0/],
    ["--resume alone", [...train, "--resume"], /--resume needs --checkpoint/],
    ["--checkpoint-steps alone", [...train, "--checkpoint-steps", "3"], /needs --checkpoint/],
    ["checkpoints of another run", [...train, "--checkpoint", "run"], /has checkpoints of an earlier run/],
    [
      "JSON over the model to be",
      [...trainOn("data"), "--json", `./${model}`],
      /would overwrite the model file/,
    ],
    ["JSON over the model to test", ["eval", model, "--json", model], /would overwrite the model file/],
    [
      "a scheme missing",
      ["quantize", model, "--out", "q.safetensors"],
      /option '--scheme <name>' not specified/,
    ],
    ["an unknown scheme", [...quantize, "--scheme", "int3"], /'int3' is invalid.*int8-dynamic/],
    [
      "a quantized model over its own",
      ["quantize", model, "--scheme", "int8-dynamic", "--out", model],
      /would overwrite the model/,
    ],
    ["groups without int4", [...quantize, "--group-size", "32"], /--group-size belongs to/],
    [
      "bits with int4",
      [...quantize, "--scheme", "int4-weight-only", "--weight-bits", "7"],
      /--weight-bits belongs to/,
    ],
    [
      "a layer to skip that is none",
      [...quantize, "--data", "data", "--skip", "fc"],
      /--skip fc: the layers are layers\.0/,
    ],
    [
      "a model that is quantized already",
      [
        "quantize",
        "int8.safetensors",
        "--scheme",
        "int8-dynamic",
        "--data",
        "data",
        "--out",
        "q.safetensors",
      ],
      /is quantized already/,
    ],
  ])("%s", (_, args, message) => expectOneLine(args, 2, message));
});

describe("files that cannot be used: exit code 1", () => {
  test.each<[string, string[], RegExp]>([
    ["data that is not there", trainOn("nowhere"), /cannot read directory nowhere: it does not exist/],
    ["a directory without images", trainOn("run"), /no train images and labels in run/],
    ["a wrong IDX magic", trainOn("magic"), /train-images-idx3-ubyte: .*not an IDX file/],
    ["truncated images", trainOn("cut"), /t10k-images-idx3-ubyte: .*needs \d+ bytes of values, the file has/],
    ["damaged compression", trainOn("gzip"), /train-images-idx3-ubyte\.gz: .*gzip/],
    ["a label out of range", trainOn("labels"), /label out of range, 10 at position 10/],
    ["fewer labels than images", trainOn("fewer"), /3 labels for 96 images/],
    ["images of another size", trainOn("small"), /8 × 8, the models take 28 × 28/],
    ["no images", trainOn("none"), /the train set has no images/],
    ["a model that is not there", ["eval", "nowhere.safetensors"], /nowhere\.safetensors: it does not exist/],
    ["a truncated model", ["eval", "cut.safetensors"], /cut\.safetensors: .*the tensors take \d+ bytes/],
    ["a truncated header", ["eval", "header.safetensors"], /header\.safetensors: .*header of \d+ bytes/],
    ["a model of another program", ["eval", "other.safetensors"], /does not name its model/],
    ["an unknown architecture", ["eval", "unknown.safetensors"], /unknown model "vgg"/],
    [
      "shapes that do not match",
      ["eval", "cnn.safetensors"],
      /cnn\.safetensors: .*(missing|does not fit|shape)/,
    ],
    ["a normalisation by 0", ["eval", "std.safetensors"], /how its inputs are normalised/],
    [
      "groups that do not fit",
      [...quantize, "--data", "data", "--scheme", "int4-weight-only", "--group-size", "48"],
      /multiple of 32, got 48/,
    ],
    ["a damaged quantization", ["eval", "bits.safetensors"], /bits\.safetensors: .*weights of 9 bits/],
    ["a quantized layer that is missing", ["eval", "scale.safetensors"], /no tensor layers\.0\.scale/],
    ["a model that is a directory", ["eval", "data"], /cannot read data: it is a directory/],
    ["a meter that fails", [...train, "--energy-command", "exit 3"], /`exit 3` failed: /],
    ["an output that is a directory", ["train", "--out", "data"], /cannot write data: it is a directory/],
    ["a directory that is a file", ["train", "--out", "file/x/y"], /not a directory/],
    ["checkpoints in a file", [...train, "--checkpoint", "file"], /not a directory/],
    ["JSON in a file", ["info", "--json", "file/info.json"], /not a directory/],
    [
      "damaged checkpoints only",
      [...trainOn("data"), "--checkpoint", "damaged", "--resume"],
      /no valid .* digest does not match/,
    ],
  ])("%s", (_, args, message) => expectOneLine(args, 1, message));

  // /proc lets nobody create anything, not even root, whom permissions do not stop.
  test.runIf(process.platform === "linux").each<[string, string[]]>([
    ["a model", ["train", "--out", "/proc/wattgrad/model.safetensors"]],
    ["checkpoints", [...train, "--checkpoint", "/proc/wattgrad/run"]],
    ["JSON", ["eval", model, "--json", "/proc/wattgrad.json"]],
  ])("an unwritable directory for %s", (_, args) =>
    expectOneLine(args, 1, /cannot .* directory \/proc.*: nothing can be created there, ENOENT/),
  );

  test("a loss that diverges", async () => {
    const args = [...trainOn("data"), "--lr", "1e30", "--quiet"];
    await expectOneLine([...args, "--epochs", "2", "--batch-size", "32"], 1, /loss is \S+ at step/);
    // One step: the loss before it is finite, the model after it is not.
    await expectOneLine(
      [...args, "--batch-size", "96"],
      1,
      /the test loss is \S+, model.safetensors was not written/,
    );
  });
});
