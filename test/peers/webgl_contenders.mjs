/** The sides of the comparison on WebGL2: wattgrad bundled from src, tfjs and onnxruntime-web, in one page. */
import * as tf from "@tensorflow/tfjs";
import * as ort from "onnxruntime-web/webgl";
import { openWasm } from "../../src/device/wasm/wasm.ts";
import { openWebgl } from "../../src/device/webgl/webgl.ts";
import * as index from "../../src/index.ts";
import * as models from "../../src/models/index.ts";
import * as nn from "../../src/nn/index.ts";
import * as optim from "../../src/optim/index.ts";
import { convModel, matmulModel } from "./onnx.mjs";
import { tensorflowStep } from "./tensorflow_step.mjs";
import { ours } from "./workloads.mjs";

export const library = { index, nn, optim, models };
export const openOracle = () => openWasm();

/** Waits until what the framebuffer that is bound holds is computed: reads one pixel of it. */
export function waitForFramebuffer(gl) {
  const format = gl.getParameter(gl.IMPLEMENTATION_COLOR_READ_FORMAT);
  const type = gl.getParameter(gl.IMPLEMENTATION_COLOR_READ_TYPE);
  const arrays = {
    [gl.FLOAT]: Float32Array,
    [gl.UNSIGNED_INT]: Uint32Array,
    [gl.INT]: Int32Array,
    [gl.BYTE]: Int8Array,
  };
  gl.readPixels(0, 0, 1, 1, format, type, new (arrays[type] ?? Uint8Array)(4));
}

/** A function that waits until a texture is computed, without changing what is bound. */
function textureWaiter(gl) {
  const framebuffer = gl.createFramebuffer();
  return (texture) => {
    const bound = gl.getParameter(gl.FRAMEBUFFER_BINDING);
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    waitForFramebuffer(gl);
    gl.bindFramebuffer(gl.FRAMEBUFFER, bound);
  };
}

/** Names of the errors that the context has raised since it was last asked. */
function errorsOf(gl) {
  const errors = [];
  for (let error = gl.getError(); error !== gl.NO_ERROR; error = gl.getError()) {
    errors.push(Object.keys(WebGL2RenderingContext).find((name) => WebGL2RenderingContext[name] === error));
    if (gl.isContextLost() || errors.length > 8) break;
  }
  return errors;
}

/** wattgrad: each call captured once and replayed. */
export async function openOurs() {
  const device = await openWebgl();
  const { gl } = device;
  const wait = textureWaiter(gl);
  const { tensor, jit, matmul, permute, conv2d, relu, add, mul, sub } = index;
  const expressions = {
    matmul: ({ size, inputs: { a, b } }) => ({
      compute: matmul,
      inputs: [tensor(a, { shape: [size, size], device }), tensor(b, { shape: [size, size], device })],
    }),
    // Activations lie channels-last as between the layers of a network on this device; filters as PyTorch has them.
    conv: ({ n, h, w, c, o, inputs: { x, filters } }) => ({
      compute: (image, weight) =>
        permute(conv2d(permute(image, [0, 3, 1, 2]), weight, undefined, { padding: 1 }), [0, 2, 3, 1]),
      inputs: [
        tensor(x, { shape: [n, h, w, c], device }),
        tensor(outputsFirst(filters, c, o), { shape: [o, c, 3, 3], device }),
      ],
    }),
    chain: ({ inputs: { x, y } }) => ({
      compute: (p, q) => sub(mul(relu(add(mul(p, q), p)), 0.5), q),
      inputs: [tensor(x, { device }), tensor(y, { device })],
    }),
  };
  return {
    name: "ours",
    description: device.info.description,
    device,
    errors: () => errorsOf(gl),
    build(test) {
      const { compute, inputs } = expressions[test.kind](test);
      const replay = jit(compute);
      let last;
      return {
        run() {
          last?.dispose();
          last = replay(...inputs);
        },
        finish: () => wait(last.storage.buffer.texture.handle),
        result: () => replay(...inputs).data(),
        close: () => [last, ...inputs].forEach((t) => void t?.dispose()),
      };
    },
    async train(_, workload, weights) {
      const step = await ours(workload, library, device, weights);
      /** One step: { loss, submitMs }, the latter without waiting for the GPU. */
      return async () => {
        const start = performance.now();
        const loss = step();
        const submitMs = performance.now() - start;
        const [value] = await loss.data();
        loss.dispose();
        return { loss: value, submitMs };
      };
    },
    close: () => device.close(),
  };
}

/** Filters [3, 3, C, O] to [O, C, 3, 3]. */
function outputsFirst(filters, c, o) {
  const result = new Float32Array(filters.length);
  for (let tap = 0; tap < 9; tap++)
    for (let i = 0; i < c; i++)
      for (let j = 0; j < o; j++) result[(j * c + i) * 9 + tap] = filters[(tap * c + i) * o + j];
  return result;
}

/** tfjs with its settings as they come. */
export async function openTensorflow() {
  if (!(await tf.setBackend("webgl"))) throw new Error("tfjs has no webgl backend here");
  await tf.ready();
  const { gl } = tf.backend().gpgpu;
  const wait = textureWaiter(gl);
  const expressions = {
    matmul: ({ size, inputs: { a, b } }) => ({
      compute: (p, q) => tf.matMul(p, q),
      inputs: [tf.tensor(a, [size, size]), tf.tensor(b, [size, size])],
    }),
    conv: ({ n, h, w, c, o, inputs: { x, filters } }) => ({
      compute: (image, weight) => tf.conv2d(image, weight, 1, "same"),
      inputs: [tf.tensor(x, [n, h, w, c]), tf.tensor(filters, [3, 3, c, o])],
    }),
    chain: ({ inputs: { x, y } }) => ({
      compute: (p, q) => tf.tidy(() => tf.sub(tf.mul(tf.relu(tf.add(tf.mul(p, q), p)), 0.5), q)),
      inputs: [tf.tensor(x), tf.tensor(y)],
    }),
  };
  return {
    name: "tfjs",
    description: `tfjs ${tf.version.tfjs}`,
    errors: () => errorsOf(gl),
    build(test) {
      const { compute, inputs } = expressions[test.kind](test);
      let last;
      return {
        run() {
          last?.dispose();
          last = compute(...inputs);
        },
        finish: () => wait(tf.backend().getTexture(last.dataId)),
        async result() {
          const result = compute(...inputs);
          const data = await result.data();
          result.dispose();
          return data;
        },
        close: () => tf.dispose([last, ...inputs]),
      };
    },
    train(key, workload, weights) {
      const step = tensorflowStep(tf, key, workload, weights);
      return async () => ({ loss: await step() });
    },
    close() {},
  };
}

/** onnxruntime-web, packed textures (its faster way); its times hold the upload and the download of each run. */
export async function openOnnxRuntime() {
  ort.env.webgl.pack = true;
  const sessionOf = (model) => ort.InferenceSession.create(model, { executionProviders: ["webgl"] });
  const tensor = (data, shape) => new ort.Tensor("float32", data, shape);
  const models = {
    matmul: ({ size, inputs: { a, b } }) => ({
      model: matmulModel(size, size, size),
      feeds: { A: tensor(a, [size, size]), B: tensor(b, [size, size]) },
    }),
    conv: ({ n, h, w, c, o, inputs: { x, filters } }) => ({
      model: convModel(n, c, h, w, o),
      feeds: {
        X: tensor(channelsFirst(x, n, h * w, c), [n, c, h, w]),
        W: tensor(outputsFirst(filters, c, o), [o, c, 3, 3]),
      },
      arrange: (data) => channelsLast(data, n, h * w, o),
    }),
  };
  return {
    name: "ort",
    description: `onnxruntime-web ${ort.env.versions.web}, with upload and download`,
    // It has the context only once a session is made.
    errors: () => (ort.env.webgl.context ? errorsOf(ort.env.webgl.context) : []),
    async build(test) {
      if (!(test.kind in models)) return undefined;
      const { model, feeds, arrange = (data) => data } = models[test.kind](test);
      const session = await sessionOf(model);
      return {
        run: () => session.run(feeds),
        result: async () => arrange((await session.run(feeds)).Y.data),
        close: () => session.release(),
      };
    },
    close() {},
  };
}

function channelsFirst(data, n, area, c) {
  const images = Array.from({ length: n }, (_, i) => data.subarray(i * area * c, (i + 1) * area * c));
  const result = new Float32Array(data.length);
  images.forEach((pixels, i) => {
    for (let p = 0; p < area; p++)
      for (let j = 0; j < c; j++) result[(i * c + j) * area + p] = pixels[p * c + j];
  });
  return result;
}

/** [N, C, pixels] to [N, pixels, C]: a stack of transpositions. */
const channelsLast = (data, n, area, c) => channelsFirst(data, n, c, area);
