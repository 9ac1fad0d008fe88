/**
 * pool and poolGrad as gathers: in the gradient, each input element reads the windows that contain it. Here for any layout; pool_channels.ts
 * is for channels-last outputs in whole texels.
 */
import { sizeOf } from "../../../core/shape.js";
import type { Operand, PoolCall, PoolGeometry, PoolGradCall } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { declareImageIteration, planPixelIteration } from "../shader/image.js";
import type { Iteration, IterationNames } from "../shader/iteration.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { storeInside } from "../shader/store.js";
import { poolChannels, poolGradChannels } from "./pool_channels.js";

export function preparePool(call: PoolCall, builder: PassBuilder): void {
  const { op, input, output, geometry } = call;
  if (sizeOf(output.view.shape) === 0) return;
  const pixels = planPixelIteration(output, builder);
  if (pixels) {
    poolChannels(call, pixels, builder);
    return;
  }
  const shader = builder.shader();
  const { iteration, names, indices } = declareImageIteration(shader, output, builder);
  const sampler = shader.texture(input.slot, input.dtype);
  const [, , height, width] = input.view.shape;
  const [batch, channel, down, right] = strideNames(shader, input);
  shader.add(
    `ivec4 plane = ${indices[0]} * ${batch} + ${indices[1]} * ${channel} + ${shader.int(input.view.offset)};`,
    `ivec4 top = ${indices[2]} * ${shader.int(geometry.stride[0])} - ${shader.int(geometry.padding[0])};`,
    `ivec4 left = ${indices[3]} * ${shader.int(geometry.stride[1])} - ${shader.int(geometry.padding[1])};`,
    `int height = ${shader.int(height)};`,
    `int width = ${shader.int(width)};`,
  );
  if (op === "average") shader.add("vec4 sum = vec4(0.0);", "vec4 count = vec4(0.0);");
  else shader.add("vec4 best = vec4(0.0);", "ivec4 chosen = ivec4(-1);");
  openWindow(shader, geometry);
  shader.add("ivec4 h = top + kh;", "ivec4 w = left + kw;", `bvec4 valid = ${insideImage("h", "w")};`);
  shader.add(`vec4 x = floatsAt(${sampler}, plane + h * ${down} + w * ${right});`);
  if (op === "average") {
    shader.add("sum += select(valid, x, vec4(0.0));", "count += vec4(valid);", "}", "}");
    const divisor = geometry.countIncludePad
      ? `vec4(${shader.int(geometry.kernel[0] * geometry.kernel[1])})`
      : "count";
    storeImage(shader, iteration, names, output, `sum / ${divisor}`, builder, geometry);
    return;
  }
  shader.add(...takeLargest, "}", "}");
  storeImage(shader, iteration, names, output, op === "max" ? "best" : "chosen", builder, geometry);
}

/** The first largest element of a window; NaN counts as the largest. */
const takeLargest = [
  "bvec4 better = either(greaterThan(x, best), both(isNotNumber(x), not(isNotNumber(best))));",
  "better = both(valid, either(better, equal(chosen, ivec4(-1))));",
  "best = select(better, x, best);",
  "chosen = select(better, h * width + w, chosen);",
];

export function preparePoolGrad(call: PoolGradCall, builder: PassBuilder): void {
  const { op, gradInput } = call;
  if (sizeOf(gradInput.view.shape) === 0) return;
  const winners = op === "max" ? argmaxScratch(call, builder) : undefined;
  const pixels = planPixelIteration(gradInput, builder);
  if (pixels) {
    poolGradChannels(call, winners, pixels, builder);
    return;
  }
  const { gradOutput, geometry } = call;
  const shader = builder.shader();
  const { iteration, names, indices } = declareImageIteration(shader, gradInput, builder);
  const [, , height, width] = gradInput.view.shape;
  const [, , outHeight, outWidth] = gradOutput.view.shape;
  const sampler = shader.texture(gradOutput.slot, gradOutput.dtype);
  const [batch, channel, down, right] = strideNames(shader, gradOutput);
  const [strideH, strideW] = geometry.stride.map((n) => shader.int(n));
  const [paddingH, paddingW] = geometry.padding.map((n) => shader.int(n));
  shader.add(
    `ivec4 plane = ${indices[0]} * ${batch} + ${indices[1]} * ${channel} + ${shader.int(gradOutput.view.offset)};`,
    `int height = ${shader.int(height)};`,
    `int width = ${shader.int(width)};`,
    "vec4 sum = vec4(0.0);",
  );
  if (winners) {
    const [n, c] = winners.view.strides.map((stride) => shader.int(stride));
    shader.add(`ivec4 winnerPlane = ${indices[0]} * ${n} + ${indices[1]} * ${c};`);
  }
  openWindow(shader, geometry);
  shader.add(
    `ivec4 top = ${indices[2]} + ${paddingH} - kh;`,
    `ivec4 left = ${indices[3]} + ${paddingW} - kw;`,
    "bvec4 valid = both(greaterThanEqual(top, ivec4(0)), greaterThanEqual(left, ivec4(0)));",
    `ivec4 oh = top / ${strideH};`,
    `ivec4 ow = left / ${strideW};`,
    `valid = both(valid, both(equal(oh * ${strideH}, top), equal(ow * ${strideW}, left)));`,
    `valid = both(valid, both(lessThan(oh, ivec4(${shader.int(outHeight)})), lessThan(ow, ivec4(${shader.int(outWidth)}))));`,
  );
  if (winners) {
    const [, , y, x] = winners.view.strides.map((stride) => shader.int(stride));
    const chosen = `intsAt(${shader.texture(winners.slot, "int32")}, winnerPlane + oh * ${y} + ow * ${x})`;
    shader.add(`valid = both(valid, equal(${chosen}, ${indices[2]} * width + ${indices[3]}));`);
  }
  const dy = `floatsAt(${sampler}, plane + oh * ${down} + ow * ${right})`;
  shader.add(
    `sum += select(valid, ${dy}${winners ? "" : ` / ${divisorOf(shader, geometry)}`}, vec4(0.0));`,
    "}",
    "}",
  );
  storeImage(shader, iteration, names, gradInput, "sum", builder, geometry);
}

/** The divisor of the window of output (oh, ow): its size, or the number of its elements inside the image. */
function divisorOf(
  shader: ShaderBuilder,
  { countIncludePad, kernel, stride, padding }: PoolGeometry,
): string {
  if (countIncludePad) return `vec4(${shader.int(kernel[0] * kernel[1])})`;
  const covered = (at: string, extent: string, d: number) => {
    const start = `(${at} * ${shader.int(stride[d])} - ${shader.int(padding[d])})`;
    return `(min(${start} + ${shader.int(kernel[d])}, ivec4(${extent})) - max(${start}, ivec4(0)))`;
  };
  return `vec4(${covered("oh", "height", 0)} * ${covered("ow", "width", 1)})`;
}

/** The positions of the windows' first maxima, in the memory order of the gradient. */
function argmaxScratch({ input, gradOutput, geometry }: PoolGradCall, builder: PassBuilder): Operand {
  const { shape } = gradOutput.view;
  const [n, c, h, w] = shape;
  const strides = [h * w * c, 1, w * c, c];
  const slot = builder.scratch("int32", n * c * h * w);
  const output: Operand = { slot, dtype: "int32", view: { shape, strides, offset: 0 } };
  preparePool({ kernel: "pool", op: "argmax", input: input!, output, geometry }, builder);
  return output;
}

function strideNames(shader: ShaderBuilder, { view }: Operand): string[] {
  return view.strides.map((stride) => shader.int(stride));
}

function openWindow(shader: ShaderBuilder, { kernel }: PoolGeometry): void {
  const [height, width] = kernel.map((n) => shader.int(n));
  shader.add(
    `int kernelHeight = ${height};`,
    `int kernelWidth = ${width};`,
    "for (int kh = 0; kh < kernelHeight; kh++) {",
    "for (int kw = 0; kw < kernelWidth; kw++) {",
  );
}

function insideImage(h: string, w: string): string {
  const within = (at: string, extent: string) =>
    `both(greaterThanEqual(${at}, ivec4(0)), lessThan(${at}, ivec4(${extent})))`;
  return `both(${within(h, "height")}, ${within(w, "width")})`;
}

function storeImage(
  shader: ShaderBuilder,
  iteration: Iteration,
  names: IterationNames,
  output: Operand,
  value: string,
  builder: PassBuilder,
  { kernel }: PoolGeometry,
): void {
  storeInside(shader, iteration.quad, names.inside, output, output.slot, value);
  const texels = Math.ceil(builder.sizeOf(output.slot) / lanes);
  builder.add(shader.build({ name: "pool", texels, flops: texels * lanes * kernel[0] * kernel[1] }));
}
