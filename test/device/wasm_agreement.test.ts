/** Binaries that were built with other shared constants than the JavaScript that loads them. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openWasm } from "../../src/device/wasm/wasm.js";

const root = new URL("../..", import.meta.url);
const binary = (name: string) => new Uint8Array(readFileSync(new URL(`dist/${name}.wasm`, root)));

/** The places of the bytes of a 32-bit constant: i32.const and its signed LEB128. */
function placesOf(bytes: Uint8Array, value: number): number[] {
  const wanted = [0x41, ...leb128(value)];
  return Array.from(bytes.keys()).filter((at) => wanted.every((byte, i) => bytes[at + i] === byte));
}

function leb128(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; ) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const isLast = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0);
    bytes.push(isLast ? byte : byte | 0x80);
    if (isLast) return bytes;
  }
}

async function agreementOf(bytes: Uint8Array): Promise<number> {
  const module = await WebAssembly.compile(bytes as BufferSource);
  const memory = new WebAssembly.Memory({ initial: 32, maximum: 65536 });
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
  return (exports.agreement as WebAssembly.Global).value;
}

const binaries = (["simd", "relaxed"] as const).filter((name) =>
  WebAssembly.validate(binary(name) as BufferSource),
);

describe.each(binaries)("%s.wasm", (name) => {
  test("loads where it agrees with the sources", async () => {
    (await openWasm({ binary: name, bytes: binary(name) })).close();
  });

  test("with another hash fails at load, and says what to do", async () => {
    const bytes = binary(name);
    const places = placesOf(bytes, await agreementOf(bytes));
    expect(places).toHaveLength(1);
    // The lowest bits of the constant: another opcode or another layout gives another hash.
    bytes[places[0] + 1] ^= 1;
    await expect(openWasm({ binary: name, bytes })).rejects.toThrow(
      expect.objectContaining({
        name: "DeviceError",
        message: expect.stringMatching(
          new RegExp(`${name}\\.wasm was built from other sources.*npm run wasm`, "s"),
        ),
      }),
    );
  });
});

test("a disagreement of any kind changes the hash", () => {
  // In a process of its own, as what is changed is shared by all modules.
  const script = `
    const { agreement } = await import(${JSON.stringify(new URL(".ci/agreement.mjs", root).href)});
    const { namespaces, layouts, beginnings, constants, loops, hashOfAgreement } = await agreement();
    const hashes = [hashOfAgreement()];
    const planted = [
      () => { namespaces.Opcode.matmul = 99; },
      () => { layouts.Header = layouts.Header.split(" ").reverse().join(" "); },
      () => { layouts.AttentionAt = layouts.AttentionAt.replace("q k", "k q"); },
      () => { beginnings.ConvAt = beginnings.ConvAt.replace("batch groups", "groups batch"); },
      () => { namespaces.Gemm.blockK = 128; },
      () => { constants.blockLanes = 256; },
      () => { loops.reverse(); },
    ];
    for (const plant of planted) { plant(); hashes.push(hashOfAgreement()); }
    console.log(new Set(hashes).size);
  `;
  const count = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  expect(count.trim()).toBe("8");
});
