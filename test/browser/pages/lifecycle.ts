/** In a page: devices that are opened and closed many times, used for a long time, on shared contexts, or not available. */

import { OutOfMemoryError } from "../../../src/core/errors.js";
import { DataLoader } from "../../../src/data/index.js";
import { openWebgl, type WebglDevice } from "../../../src/device/webgl/webgl.js";
import { jit, openDevice, readExact, type Tensor, tensor, WattgradError } from "../../../src/index.js";
import { crossEntropy } from "../../../src/nn/index.js";
import { AdamW } from "../../../src/optim/index.js";
import { sessionOf } from "../../../src/runtime/session.js";
import { fit as train } from "../../../src/train/index.js";
import { quadrants, smallNet } from "../../train/problem.js";
import { countObjects, fragileContext } from "./contexts.js";

/** What a device still has. */
function remains({
  counts,
  memory,
}: {
  counts: WebglDevice["counts"];
  memory: ReturnType<WebglDevice["memory"]>;
}) {
  const { textures, programs } = counts;
  const { reservedBytes, liveBytes, liveBuffers, executables } = memory;
  return { textures, programs, reservedBytes, liveBytes, liveBuffers, executables };
}

/** One step of training; its loss. */
async function oneStep(device: WebglDevice): Promise<number> {
  const model = smallNet(device, 0.2);
  const optimizer = new AdamW(model.parameters(), { lr: 0.01 });
  const [x, y] = quadrants(8)
    .batch(Int32Array.from({ length: 8 }, (_, i) => i))
    .map(({ data, dtype, shape }) => tensor(data, { dtype, shape, device }));
  const loss = crossEntropy(model.forward(x), y);
  loss.backward();
  optimizer.step();
  return loss.item();
}

/** Opens devices with contexts of their own one after the other; what is left of each that has anything left. */
async function openAndClose(cycles: number) {
  const left: unknown[] = [];
  let used = { textures: 0, programs: 0 };
  for (let i = 0; i < cycles; i++) {
    const device = await openWebgl();
    const x = tensor([1, -2, 3, -4], { device, shape: [2, 2] });
    const sum = await x.matmul(x).relu().sum().item();
    if (sum !== 16) throw new Error(`cycle ${i} computes ${sum}`);
    const { textures, programs } = device.counts;
    used = { textures, programs };
    device.close();
    device.close();
    const after = remains({ counts: device.counts, memory: device.memory() });
    if (Object.values(after).some((value) => value !== 0)) left.push({ cycle: i, ...after });
  }
  return { left, used };
}

/** The same on one context of ours: what WebGL objects are left, counted where they are made. */
async function openAndCloseOn(cycles: number) {
  const { gl } = fragileContext(document.createElement("canvas"));
  const live = countObjects(gl);
  const left: Record<string, number>[] = [];
  let most = 0;
  for (let i = 0; i < cycles; i++) {
    const device = await openWebgl({ gl });
    await oneStep(device);
    const x = tensor([1, 2, 3], { device });
    await device.recovery.snapshot();
    // Reads and snapshots that are under way when the device is closed.
    const pending = [readExact(x), device.recovery.snapshot()].map((read) =>
      read.then(String, ({ code }) => code),
    );
    most = Math.max(most, live.Texture);
    device.close();
    await Promise.all(pending);
    left.push({ ...live });
  }
  return { left, most, isLost: gl.isContextLost(), error: gl.getError() };
}

/** Memory and objects after a few steps of a training and after many. */
async function trainLong(steps: number, way: "fit" | "loop" | "jit") {
  const { gl } = fragileContext(new OffscreenCanvas(1, 1));
  const live = countObjects(gl);
  const device = await openWebgl({ gl });
  const model = smallNet(device, 0.2);
  const optimizer = new AdamW(model.parameters(), { lr: 0.01 });
  const loader = new DataLoader(quadrants(64), { device, batchSize: 16, shuffle: true });
  const early = 24;
  const seen: unknown[] = [];
  const look = () => {
    const { textures, programs } = device.counts;
    const { reservedBytes, liveBytes, liveBuffers, peakBytes } = device.memory();
    // Reads that are under way come and go, and framebuffers with the order in which they end.
    const { Buffer: _, Sync: __, Framebuffer: ___, ...objects } = live;
    seen.push({ textures, programs, reservedBytes, liveBytes, liveBuffers, peakBytes, ...objects });
  };
  if (way === "fit") {
    const onEpoch = ({ step }: { step: number }) => {
      if (step === early || step === steps) look();
    };
    await train({
      model,
      optimizer,
      train: loader,
      loss: crossEntropy,
      epochs: steps / loader.length,
      snapshot: { everySteps: 10 },
      callbacks: [{ onEpoch }],
    });
  } else {
    const plain = (x: Tensor, y: Tensor) => {
      const loss = crossEntropy(model.forward(x), y);
      loss.backward();
      optimizer.step();
      return loss;
    };
    const step = way === "jit" ? jit(plain) : plain;
    for (let done = 0; done < steps; ) {
      for await (const [x, y] of loader) {
        const loss = step(x, y);
        await loss.item();
        loss.dispose();
        done++;
      }
      if (done === early || done === steps) look();
    }
  }
  const framebuffers = live.Framebuffer;
  device.close();
  return { seen, framebuffers, packBuffers: live.Buffer, fences: live.Sync };
}

/** Code and message of what an action throws. */
async function errorOf(action: () => unknown): Promise<{ code: string; message: string; hint?: string }> {
  try {
    await action();
  } catch (error) {
    if (error instanceof WattgradError) return { code: error.code, message: error.message, hint: error.hint };
    return { code: "untyped", message: String(error) };
  }
  return { code: "none", message: "" };
}

type Hindrance = "no context" | "a lost context" | "no canvas" | "no compiler" | "inexact textures";

/** Takes WebGL2 away from this page, for good. */
function hinder(hindrance: Hindrance): void {
  const get = OffscreenCanvas.prototype.getContext as (...args: unknown[]) => unknown;
  const prototype = WebGL2RenderingContext.prototype;
  switch (hindrance) {
    case "no context":
      OffscreenCanvas.prototype.getContext = () => null;
      break;
    case "a lost context":
      OffscreenCanvas.prototype.getContext = function (this: OffscreenCanvas, ...args: unknown[]) {
        const gl = get.apply(this, args) as WebGL2RenderingContext;
        gl.getExtension("WEBGL_lose_context")!.loseContext();
        return gl;
      } as OffscreenCanvas["getContext"];
      break;
    case "no canvas":
      Object.assign(globalThis, { OffscreenCanvas: undefined });
      document.createElement = () => ({ getContext: () => null }) as unknown as HTMLElement;
      break;
    case "no compiler": {
      const { shaderSource } = prototype;
      // Those of the start-up test compile, as on a driver that takes short ones only.
      prototype.shaderSource = function (shader, text) {
        shaderSource.call(this, shader, text.includes("texelPosition") ? `${text}\nthis is no shader` : text);
      };
      break;
    }
    case "inexact textures":
      prototype.checkFramebufferStatus = () => prototype.FRAMEBUFFER_UNSUPPORTED;
      break;
  }
}

/** What opening a device says where WebGL2 does not work, and what "auto" does. In a page of its own. */
async function openHindered(hindrance: Hindrance) {
  hinder(hindrance);
  const error = await errorOf(async () => {
    const device = await openDevice("webgl");
    await tensor([1, 2], { device }).add(1).tolist();
  });
  let rejected: readonly { name: string; reason: string }[] = [];
  const device = await openDevice("auto", {
    onChoice: (choice) => {
      rejected = choice.rejected;
    },
  });
  const { name } = device;
  const sum = await tensor([1, 2], { device }).add(1).tolist();
  device.close();
  return {
    error,
    auto: { name, sum, reason: rejected.find((other) => other.name === "webgl")?.reason ?? "" },
  };
}

/** A tensor that no texture holds, the byte budget, and a driver without memory. */
async function outgrow() {
  const { gl } = fragileContext(new OffscreenCanvas(1, 1));
  const largest = gl.getParameter(gl.MAX_TEXTURE_SIZE) as number;
  const narrow = await openWebgl({ textureLimit: 64 });
  const tooLarge = await errorOf(() => narrow.allocate("float32", 64 * 4 * largest + 1));
  narrow.close();

  const small = await openWebgl({ maximumBytes: 1 << 20, poolBytes: 1 << 20 });
  const kept = tensor([1, 2, 3], { device: small });
  const half = () => small.allocate("float32", (1 << 20) / 8);
  const first = half();
  const beyond = await errorOf(half);
  const stillThere = await kept.add(1).tolist();
  small.free(first);
  const afterFree = await errorOf(half);
  small.close();

  const device = await openWebgl({ gl });
  const live = countObjects(gl);
  const before = live.Texture;
  const { getError } = gl;
  let full = true;
  gl.getError = () => (full ? gl.OUT_OF_MEMORY : getError.call(gl));
  const driver = await errorOf(() => device.allocate("float32", 1 << 23));
  full = false;
  const leaked = live.Texture - before;
  const works = await tensor([1], { device }).add(1).tolist();
  device.close();
  return { tooLarge, beyond, stillThere, afterFree, driver, leaked, works };
}

/** Computes on a context whose owner draws in between and leaves every state that could be in the way. */
async function shareContext() {
  const { gl } = fragileContext(document.createElement("canvas"));
  const disturb = () => {
    for (const capability of [
      gl.BLEND,
      gl.DEPTH_TEST,
      gl.STENCIL_TEST,
      gl.CULL_FACE,
      gl.SCISSOR_TEST,
      gl.RASTERIZER_DISCARD,
      gl.SAMPLE_COVERAGE,
    ]) {
      gl.enable(capability);
    }
    gl.scissor(0, 0, 1, 1);
    gl.viewport(3, 3, 1, 1);
    gl.cullFace(gl.FRONT_AND_BACK);
    gl.blendFunc(gl.ZERO, gl.ZERO);
    gl.sampleCoverage(0, true);
    gl.colorMask(false, true, false, true);
    gl.clearColor(0.25, 0.5, 0.75, 1);
    gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, true);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 8);
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, 7);
    gl.pixelStorei(gl.UNPACK_SKIP_PIXELS, 1);
    gl.pixelStorei(gl.PACK_ROW_LENGTH, 9);
    gl.pixelStorei(gl.PACK_SKIP_ROWS, 1);
    gl.pixelStorei(gl.PACK_ALIGNMENT, 8);
    gl.bindVertexArray(vertexArray);
    gl.bindBuffer(gl.PIXEL_UNPACK_BUFFER, buffer);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(null);
    for (let unit = 0; unit < 8; unit++) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, null);
      gl.bindSampler(unit, sampler);
    }
  };
  const vertexArray = gl.createVertexArray();
  const sampler = gl.createSampler()!;
  gl.samplerParameteri(sampler, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.PIXEL_PACK_BUFFER, buffer);
  gl.bufferData(gl.PIXEL_PACK_BUFFER, 16, gl.STREAM_READ);
  disturb();
  const device = await openWebgl({ gl, textureLimit: 4 });
  const results: (readonly number[])[] = [];
  const values = Float32Array.from({ length: 70 }, (_, i) => i - 20);
  disturb();
  const x = tensor(values, { device, shape: [7, 10] });
  disturb();
  const y = x.mul(2).sum(1).realize();
  disturb();
  results.push(Array.from(await readExact(y)));
  const reading = readExact(x);
  disturb();
  results.push(Array.from(await reading));
  disturb();
  const index = tensor([1, 3, 1], { device, dtype: "int32" });
  disturb();
  results.push(Array.from(await readExact(x.indexSelect(0, index).sum(1))));
  device.close();
  const pixel = new Uint8Array(4);
  for (const capability of [gl.SCISSOR_TEST, gl.RASTERIZER_DISCARD]) gl.disable(capability);
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
  gl.pixelStorei(gl.PACK_ROW_LENGTH, 0);
  gl.pixelStorei(gl.PACK_SKIP_ROWS, 0);
  gl.colorMask(true, true, true, true);
  gl.clear(gl.COLOR_BUFFER_BIT);
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
  return { results, isLost: gl.isContextLost(), error: gl.getError(), pixel: [...pixel] };
}

/** A loop of a user's own over inputs that nobody disposes, on a device that is 16 of them large; whether timers fired meanwhile. */
async function loopOnThisThread() {
  const device = await openDevice("wasm", { wasm: { maximumBytes: 64 << 20 } });
  const host = new Float32Array(1 << 20).fill(1);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 10);
  const sums = new Set<number>();
  for (let i = 0; i < 60; i++) sums.add(await tensor(host, { device }).mul(2).mean().item());
  clearInterval(timer);
  device.close();
  return { ticks, sums: [...sums] };
}

/** A jitted function before and after its executable was evicted, and the executables then. */
async function evict() {
  const device = await openWebgl();
  const double = jit((x: Tensor) => x.mul(2));
  const run = async () => [...(await double(tensor([1, 2], { device })).data())];
  const before = await run();
  let attempts = 0;
  sessionOf(device).withMemory(() => {
    if (attempts++ === 0) throw new OutOfMemoryError("made up");
  });
  const { executables } = device.memory();
  const after = await run();
  device.close();
  return { before, executables, after };
}

export const lifecycle = {
  openAndClose,
  openAndCloseOn,
  trainLong,
  openHindered,
  outgrow,
  shareContext,
  loopOnThisThread,
  evict,
};
