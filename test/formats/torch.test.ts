/** Files of torch.save, made by PyTorch (torch/make.py): values, views, refusals, damage. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import { openSafetensors, openTorch, readSafetensors } from "../../src/formats/index.js";
import { realModel } from "../real_models.js";

const folder = join(fileURLToPath(new URL(".", import.meta.url)), "torch");
const read = (name: string) => readFileSync(join(folder, name));
const expected = readSafetensors(read("expected.safetensors")).tensors;

describe.each(["state.pt", "legacy.pt"])("%s", (name) => {
  test("has the values of PyTorch, views of shared storages included", async () => {
    const file = await openTorch(join(folder, name));
    expect(new Set(file.tensors.keys())).toEqual(new Set(expected.keys()));
    expect(file.at).toBe("");
    for (const [key, value] of expected) {
      expect(await file.tensor(key), key).toEqual(value);
      const pieces: number[] = [];
      for await (const piece of file.tensors.get(key)!.pieces()) pieces.push(...piece);
      expect(pieces, key).toEqual([...value.data]);
    }
    expect(file.tensors.get("bfloat")!.stored).toBe("BF16");
    await file.close();
  });

  test("cut anywhere it is one typed error", async () => {
    const bytes = read(name);
    for (let length = 0; length < bytes.length - 1; length += 61) {
      const cut = openTorch(bytes.subarray(0, length)).then((file) =>
        Promise.all([...file.tensors.values()].map((each) => each.data())),
      );
      await expect(cut, `${length}`).rejects.toThrow(FormatError);
    }
  });
});

test("names of dicts within dicts are joined; what all share is left out; a part can be chosen", async () => {
  const nested = await openTorch(read("nested.pt"));
  expect([...nested.tensors.keys()]).toEqual(["weight", "bias"]);
  expect(nested.at).toBe("state_dict");
  const all = await openTorch(read("checkpoint.pt"));
  expect([...all.tensors.keys()]).toContain("model.weight");
  expect([...all.tensors.keys()]).toContain("optimizer.state.0.exp_avg");
  const model = await openTorch(read("checkpoint.pt"), { at: "model" });
  expect([...model.tensors.keys()]).toEqual(["weight", "bias"]);
  await expect(openTorch(read("checkpoint.pt"), { at: "weights" })).rejects.toThrow(ArgumentError);
  await expect(openTorch(read("checkpoint.pt"), { at: "weights" })).rejects.toThrow(
    /no tensors at "weights" \("model", "optimizer"\)/,
  );
});

test("a file that asks for more than tensors is refused by the name that it asks for", async () => {
  await expect(openTorch(read("refused.pt"))).rejects.toThrow(FormatError);
  await expect(openTorch(read("refused.pt"))).rejects.toThrow(
    /asks for "posix.system"; only tensors are read/,
  );
});

test("a tensor with more elements than its storage would make a small file a large array", async () => {
  await expect(openTorch(read("expanded.pt"))).rejects.toThrow(/larger than its storage/);
});

test("other files are refused", async () => {
  for (const bytes of [
    new Uint8Array(0),
    Uint8Array.of(0x50, 0x4b),
    new TextEncoder().encode("PK but nothing else"),
    read("expected.safetensors"),
  ]) {
    await expect(openTorch(bytes)).rejects.toThrow(FormatError);
  }
});

/** Published weights beside the same ones as safetensors, where they are. */
const shared = join(folder, "..", "..", "..", "..", "shared", "data", "models");
const left = existsSync(shared) ? "" : `(left out: there is no ${shared})`;
describe.skipIf(left !== "")(`published files ${left}`, () => {
  test("a ResNet of the time before zip files", async () => {
    const file = await openTorch(join(shared, "cifar-resnet/resnet20-12fca82f.th"));
    const same = await openSafetensors(join(shared, "cifar-resnet/resnet20.safetensors"));
    for (const [name, entry] of same.tensors) {
      const own = file.tensors.has(name) ? name : `module.${name}`;
      const value = { dtype: entry.dtype, shape: entry.shape, data: await entry.data() };
      expect(await file.tensor(own), name).toEqual(value);
    }
    await file.close();
    await same.close();
  });

  test("a CNN, its values as PyTorch reads them", async () => {
    const file = await openTorch(join(shared, "mnist-cnn/mnist.pt"));
    const hash = createHash("sha256");
    for (const [name, entry] of file.tensors) hash.update(name).update(Float32Array.from(await entry.data()));
    expect(hash.digest("hex")).toBe("8daf3f949ba4aadba361bd7a0e40f5a7100147734bd89dbd9ddabc1463cbd86a");
    await file.close();
  });
});

const crepe = realModel("crepe", "full.pth");
test.skipIf(crepe.missing)(`CREPE opens without its 89 MB being read ${crepe.missing ?? ""}`, async () => {
  const file = await openTorch(crepe.path);
  expect(file.tensors.get("classifier.weight")!.shape).toEqual([360, 2048]);
  await file.close();
});
