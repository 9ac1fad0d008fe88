import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ArgumentError, FormatError } from "../../src/core/errors.js";
import { type Cifar10, loadCifar10, readCifar10 } from "../../src/data/cifar10.js";
import { FileError } from "../../src/formats/file.js";

const recordBytes = 3073;

/** Images whose planes hold 3·label, 3·label + 1 and 3·label + 2, but for the first and last pixel, 200 and 201. */
function records(...labels: number[]): Uint8Array {
  const bytes = new Uint8Array(labels.length * recordBytes);
  labels.forEach((label, i) => {
    const record = bytes.subarray(i * recordBytes, (i + 1) * recordBytes);
    record[0] = label;
    for (let c = 0; c < 3; c++) record.fill(3 * label + c, 1 + 1024 * c, 1 + 1024 * (c + 1));
    record[1] = 200;
    record[recordBytes - 1] = 201;
  });
  return bytes;
}

function expectImages({ images, labels }: Cifar10, ...expected: number[]): void {
  expect(images).toMatchObject({ dtype: "uint8", shape: [expected.length, 3, 32, 32] });
  expect(labels).toMatchObject({ dtype: "int32", shape: [expected.length], data: Int32Array.from(expected) });
  expect(images.data.length).toBe(expected.length * 3072);
  expected.forEach((label, i) => {
    const image = images.data.subarray(i * 3072, (i + 1) * 3072);
    expect([0, 1, 1023, 1024, 2047, 2048, 3070, 3071].map((at) => image[at])).toEqual([
      200,
      3 * label,
      3 * label,
      3 * label + 1,
      3 * label + 1,
      3 * label + 2,
      3 * label + 2,
      201,
    ]);
  });
}

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "wattgrad-cifar10-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

test("records become planes and labels, compressed or not, also in a view of a larger buffer", async () => {
  expectImages(await readCifar10(records(3, 0, 9)), 3, 0, 9);
  expectImages(await readCifar10(new Uint8Array(gzipSync(records(3, 0, 9)))), 3, 0, 9);
  const larger = new Uint8Array(5 + recordBytes);
  larger.set(records(7), 5);
  expectImages(await readCifar10(larger.subarray(5)), 7);
});

test("other lengths, labels above 9 and damaged compression are FormatErrors", async () => {
  const whole = records(1, 2);
  await expect(readCifar10(whole.subarray(0, -1))).rejects.toThrow(
    "readCifar10: 6145 bytes are no whole number of records of 3073",
  );
  await expect(readCifar10(new Uint8Array())).rejects.toThrow(FormatError);
  await expect(readCifar10(records(1, 10))).rejects.toThrow(/label out of range, 10 at position 1 \(0\.\.9/);
  const compressed = new Uint8Array(gzipSync(whole));
  await expect(readCifar10(compressed.subarray(0, -9))).rejects.toThrow(/gzip compression is damaged/);
  await expect(readCifar10(new Uint8Array(gzipSync(whole.subarray(0, 4000))))).rejects.toThrow(/4000 bytes/);
});

test("a compressed file is given up where it exceeds the data set", async () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(60_001 * recordBytes), { level: 1 }));
  await expect(readCifar10(bomb)).rejects.toThrow(/unpacks to more than 184380000 bytes/);
});

test("any bytes are read or are a FormatError", async () => {
  const compressed = new Uint8Array(gzipSync(records(4, 5)));
  await fc.assert(
    fc.asyncProperty(fc.nat(compressed.length - 1), fc.nat(255), async (at, value) => {
      const changed = compressed.slice();
      changed[at] = value;
      const error = await readCifar10(changed).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (error !== undefined) expect(error).toBeInstanceOf(FormatError);
    }),
  );
});

test("a split is found in a directory, and its files follow each other", async () => {
  for (const number of [1, 2, 3, 4, 5]) {
    const bytes = records(number, number + 1);
    if (number === 3) writeFileSync(join(directory, "data_batch_3.bin.gz"), gzipSync(bytes));
    else writeFileSync(join(directory, `data_batch_${number}.bin`), bytes);
  }
  writeFileSync(join(directory, "test_batch.bin.gz"), gzipSync(records(8)));
  expectImages(await loadCifar10(directory), 1, 2, 2, 3, 3, 4, 4, 5, 5, 6);
  expectImages(await loadCifar10(directory, { split: "test" }), 8);
  await expect(loadCifar10(directory, { split: "val" as "test" })).rejects.toThrow(ArgumentError);
});

test("one file is read by its path, and errors name it", async () => {
  const file = join(directory, "some.bin");
  writeFileSync(file, records(6, 5));
  expectImages(await loadCifar10(file), 6, 5);
  writeFileSync(file, records(6, 77));
  await expect(loadCifar10(file)).rejects.toThrow(/some\.bin: .*label out of range, 77 at position 1/);
  await expect(loadCifar10(file)).rejects.toThrow(FormatError);
});

test("a missing directory or file is a FileError", async () => {
  await expect(loadCifar10(join(directory, "nowhere"))).rejects.toThrow(/nowhere: it does not exist, ENOENT/);
  const empty = join(directory, "empty");
  mkdirSync(empty);
  await expect(loadCifar10(empty)).rejects.toThrow(/no data_batch_1\.bin\[\.gz\] in .*empty/);
  await expect(loadCifar10(empty)).rejects.toThrow(FileError);
});

test("URLs are fetched and their images follow each other", async () => {
  const server = createServer((request, response) => {
    if (request.url === "/a.bin") response.end(records(1));
    else if (request.url === "/b.bin.gz") response.end(gzipSync(records(2)));
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    expectImages(await loadCifar10([`${base}/a.bin`, new URL(`${base}/b.bin.gz`)]), 1, 2);
    await expect(loadCifar10([`${base}/none`])).rejects.toThrow(/none: HTTP status 404/);
    await expect(loadCifar10([])).rejects.toThrow(ArgumentError);
  } finally {
    server.close();
  }
});
