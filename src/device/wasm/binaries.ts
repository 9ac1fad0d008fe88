/** Loads, checks and compiles the binaries of the kernels. */
import { DeviceError } from "../../core/errors.js";
import { hashOfAgreement } from "./agreement.js";

declare const WATTGRAD_BUNDLED: boolean | undefined;
/** The hash of the agreement, in bundles. */
declare const WATTGRAD_AGREEMENT: number | undefined;

export type BinaryName = "simd" | "relaxed";

/** The exports of assembly/index.ts. */
export interface Kernels {
  start(): number;
  /** Returns 0, or the address of the command that failed. */
  execute(commands: number): number;
  failureAddress(): number;
  selfTest(): number;
  /** Hash of the shared constants that the binary was built with. */
  readonly agreement: WebAssembly.Global;
}

export interface LoadedKernels {
  readonly name: BinaryName;
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
  /** Why the relaxed binary was rejected; empty if it was loaded. */
  readonly reason: string;
}

// Literal URLs, so that bundlers see them; beside the bundle, or in dist/ when run from source.
const locations: Readonly<Record<BinaryName, URL>> =
  typeof WATTGRAD_BUNDLED !== "undefined" && WATTGRAD_BUNDLED
    ? {
        simd: new URL("./simd.wasm", import.meta.url),
        relaxed: new URL("./relaxed.wasm", import.meta.url),
      }
    : {
        simd: new URL("../../../dist/simd.wasm", import.meta.url),
        relaxed: new URL("../../../dist/relaxed.wasm", import.meta.url),
      };

/**
 * The smallest module with a relaxed instruction (f32x4.relaxed_madd of three zeros). Validating it tells which binary the engine can
 * run, before one is fetched.
 */
const relaxedProbe = Uint8Array.of(
  // Magic and version; a type () → v128; a function of it.
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b],
  ...[0x03, 0x02, 0x01, 0x00],
  // Its code: three times i32.const 0, i8x16.splat; f32x4.relaxed_madd; end.
  ...[0x0a, 0x13, 0x01, 0x11, 0x00],
  ...[0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f],
  ...[0xfd, 0x85, 0x02, 0x0b],
);

async function fetchBytes(url: URL): Promise<BufferSource> {
  try {
    if (url.protocol === "file:" && typeof process !== "undefined" && process.getBuiltinModule) {
      return process.getBuiltinModule("node:fs").readFileSync(url);
    }
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const bytes = await response.arrayBuffer();
    // Servers of single-page applications answer requests for missing files with their page.
    const start = new TextDecoder().decode(bytes.slice(0, 64)).trimStart();
    if (start.startsWith("<")) throw new Error("it is HTML, the server has no such file");
    return bytes;
  } catch (cause) {
    throw new DeviceError(`cannot load ${url.href}: ${(cause as Error).message}`, {
      device: "wasm",
      hint: "serve simd.wasm and relaxed.wasm beside the bundle, or pass `bytes`",
      cause,
    });
  }
}

/** @throws DeviceError if the binary was built with other shared constants than this code. */
async function instantiate(
  name: BinaryName,
  bytes: BufferSource,
): Promise<{ memory: WebAssembly.Memory; kernels: Kernels }> {
  const module = await WebAssembly.compile(bytes);
  const memory = new WebAssembly.Memory({ initial: 32, maximum: 65536 });
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  const kernels = instance.exports as unknown as Kernels;
  const expected = typeof WATTGRAD_AGREEMENT === "undefined" ? hashOfAgreement() : WATTGRAD_AGREEMENT;
  if (kernels.agreement?.value !== expected) {
    throw new DeviceError(`${name}.wasm was built from other sources than this JavaScript`, {
      device: "wasm",
      hint: "run `npm run wasm`, or use the binaries of this version of wattgrad",
    });
  }
  return { memory, kernels };
}

/**
 * Loads the relaxed binary if the engine has relaxed SIMD and passes the self-test, else the plain one. `binary` requires one of them;
 * `bytes` replace its file.
 * @throws DeviceError if the engine cannot run the required binary.
 */
export async function loadKernels(binary?: BinaryName, bytes?: BufferSource): Promise<LoadedKernels> {
  const wanted = binary ?? (bytes ? "simd" : undefined);
  let reason = wanted === "simd" ? "the simd binary was asked for" : "";
  if (wanted !== "simd") {
    if (!WebAssembly.validate(relaxedProbe)) {
      reason = "the engine does not have relaxed SIMD";
    } else {
      const source = bytes ?? (await fetchBytes(locations.relaxed));
      if (!WebAssembly.validate(source)) {
        throw new DeviceError("the relaxed binary is damaged", {
          device: "wasm",
          hint: "build or copy it anew",
        });
      }
      const loaded = await instantiate("relaxed", source);
      const failures = loaded.kernels.selfTest();
      if (failures === 0) return { name: "relaxed", ...loaded, reason };
      reason = `relaxed SIMD fails ${failures} checks on this engine`;
    }
    if (wanted === "relaxed") throw new DeviceError(reason, { device: "wasm" });
  }
  const source = bytes ?? (await fetchBytes(locations.simd));
  if (!WebAssembly.validate(source)) {
    throw new DeviceError("the engine does not have WebAssembly SIMD", { device: "wasm" });
  }
  return { name: "simd", ...(await instantiate("simd", source)), reason };
}
