/**
 * pool and poolGrad for outputs whose texels have four channels of one pixel: index arithmetic is per pixel, and channels-last operands
 * are fetched by texels. The gradient is a gather over the windows that contain the pixel.
 */
import extremesChunk from "../../../../glsl/extremes.glsl";
import type { Operand, PoolCall, PoolGeometry, PoolGradCall } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { declarePixelIteration } from "../shader/image.js";
import { accessOf, type Iteration } from "../shader/iteration.js";
import type { Emitted } from "../shader/result.js";
import type { ShaderBuilder } from "../shader/shader.js";

/** Windows of at most this many elements without padding are unrolled. */
const mostWrittenOut = 9;

/** GLSL for the four channels at row `h` and column `w`. */
type Plane = (h: string, w: string) => string;

/** The pass of a pool, with iteration by pixels. */
export function poolChannels(
  { op, input, output, geometry }: PoolCall,
  iteration: Iteration,
  builder: PassBuilder,
): void {
  const emit = (shader: ShaderBuilder): Emitted => {
    const { names, indices } = declarePixelIteration(shader, iteration);
    const plane = declarePlane(shader, input, "image", indices);
    const [, , height, width] = input.view.shape;
    const { kernel, stride, padding } = geometry;
    const isPadded = padding.some((n) => n > 0);
    const start = (index: string, d: number) =>
      `${index} * ${shader.int(stride[d])}${isPadded ? ` - ${shader.int(padding[d])}` : ""}`;
    shader.add(`int top = ${start(indices[2], 0)};`, `int left = ${start(indices[3], 1)};`);
    shader.add(`int width = ${shader.int(width)};`);
    if (isPadded) {
      const [kernelHeight, kernelWidth] = kernel.map((n) => shader.int(n));
      shader.add(
        `int bottom = min(top + ${kernelHeight}, ${shader.int(height)});`,
        `int right = min(left + ${kernelWidth}, width);`,
        "top = max(top, 0);",
        "left = max(left, 0);",
      );
    }
    if (op === "average") shader.add("vec4 sum = vec4(0.0);");
    else shader.add("vec4 best = -infinity();");
    if (op === "argmax") shader.add("ivec4 chosen = ivec4(top * width + left);");
    const take = [`vec4 x = ${plane("h", "w")};`, ...takeElement(shader, op)];
    if (!isPadded && kernel[0] * kernel[1] <= mostWrittenOut) {
      for (let kh = 0; kh < kernel[0]; kh++) {
        for (let kw = 0; kw < kernel[1]; kw++) {
          shader.add("{", `int h = top + ${kh};`, `int w = left + ${kw};`, ...take, "}");
        }
      }
    } else {
      if (!isPadded) {
        const [kernelHeight, kernelWidth] = kernel.map((n) => shader.int(n));
        shader.add(`int bottom = top + ${kernelHeight};`, `int right = left + ${kernelWidth};`);
      }
      shader.add(
        "for (int h = top; h < bottom; h++) {",
        "for (int w = left; w < right; w++) {",
        ...take,
        "}",
        "}",
      );
    }
    let result = op === "max" ? "best" : "chosen";
    if (op === "average") {
      const all = isPadded && !geometry.countIncludePad ? "(bottom - top) * (right - left)" : undefined;
      result = `sum / float(${all ?? shader.int(kernel[0] * kernel[1])})`;
    }
    return { value: result, quad: iteration.quad, inside: names.inside };
  };
  deferResult(output, iteration, emit, geometry.kernel[0] * geometry.kernel[1], builder);
}

/** max and argmax start with -Infinity at the window's first position; NaN counts as the largest. */
function takeElement(shader: ShaderBuilder, op: PoolCall["op"]): string[] {
  if (op === "average") return ["sum += x;"];
  if (op === "max") {
    shader.include(extremesChunk);
    return ["best = maximum(best, x);"];
  }
  return [
    "bvec4 better = either(greaterThan(x, best), both(isNotNumber(x), not(isNotNumber(best))));",
    "best = select(better, x, best);",
    "chosen = select(better, ivec4(h * width + w), chosen);",
  ];
}

/**
 * The pass of a poolGrad, with iteration by pixels of gradInput.
 * @param winners for max: the positions of the windows' first maxima.
 */
export function poolGradChannels(
  { gradOutput, gradInput, geometry }: PoolGradCall,
  winners: Operand | undefined,
  iteration: Iteration,
  builder: PassBuilder,
): void {
  const { kernel, stride, padding } = geometry;
  const emit = (shader: ShaderBuilder): Emitted => {
    const { names, indices } = declarePixelIteration(shader, iteration);
    const plane = declarePlane(shader, gradOutput, "gradient", indices);
    const chosen = winners && declarePlane(shader, winners, "winner", indices);
    const [, , height, width] = gradInput.view.shape;
    const [, , outHeight, outWidth] = gradOutput.view.shape;
    const loops = [
      windows(shader, ["oh", "row"], indices[2], outHeight, geometry, 0),
      windows(shader, ["ow", "column"], indices[3], outWidth, geometry, 1),
    ];
    shader.add(`ivec4 position = ivec4(${indices[2]} * ${shader.int(width)} + ${indices[3]});`);
    shader.add("vec4 sum = vec4(0.0);", ...loops);
    let value = plane("oh", "ow");
    if (chosen) value = `select(equal(${chosen("oh", "ow")}, position), ${value}, vec4(0.0))`;
    else if (geometry.countIncludePad || padding.every((n) => n === 0)) {
      value = `${value} / float(${shader.int(kernel[0] * kernel[1])})`;
    } else {
      const covered = (at: string, extent: number, d: number) => {
        const start = `${at} * ${shader.int(stride[d])} - ${shader.int(padding[d])}`;
        return `(min(${start} + ${shader.int(kernel[d])}, ${shader.int(extent)}) - max(${start}, 0))`;
      };
      value = `${value} / float(${covered("oh", height, 0)} * ${covered("ow", width, 1)})`;
    }
    shader.add(`sum += ${value};`, "}", "}");
    return { value: "sum", quad: iteration.quad, inside: names.inside };
  };
  const held = Math.ceil(kernel[0] / stride[0]) * Math.ceil(kernel[1] / stride[1]);
  deferResult(gradInput, iteration, emit, held, builder);
}

/** The head of a loop (an `if` if there is at most one) over the windows that contain row or column `index`. */
function windows(
  shader: ShaderBuilder,
  [name, distance]: readonly [string, string],
  index: string,
  extent: number,
  { kernel, stride, padding }: PoolGeometry,
  d: number,
): string {
  const step = shader.int(stride[d]);
  const bound = shader.int(extent);
  const size = shader.int(kernel[d]);
  shader.add(`int ${distance} = ${index} + ${shader.int(padding[d])};`);
  if (kernel[d] <= stride[d]) {
    shader.add(`int ${name} = quotient(${distance}, ${step});`);
    const isHeld = kernel[d] === stride[d] ? "" : ` && ${distance} - ${name} * ${step} < ${size}`;
    return `if (${name} < ${bound}${isHeld}) {`;
  }
  const first = `quotient(max(${distance} - ${size} + ${step}, 0), ${step})`;
  shader.add(`int last${name} = min(quotient(${distance}, ${step}), ${bound} - 1);`);
  return `for (int ${name} = ${first}; ${name} <= last${name}; ${name}++) {`;
}

/** Declares the common part of an operand's positions for this image and these four channels. */
function declarePlane(
  shader: ShaderBuilder,
  { slot, dtype, view: { strides, offset } }: Operand,
  name: string,
  [n, c]: readonly string[],
): Plane {
  const [batch, channel, down, right] = strides;
  const sampler = shader.texture(slot, dtype);
  const kind = dtype === "float32" ? "float" : "int";
  const isTexel = accessOf({ strides: [batch, down, right, channel], offset }) === "texel";
  const int = (value: number) => shader.int(isTexel ? value / lanes : value);
  const first = isTexel ? `(${c} >> 2)` : `${c} * ${int(channel)}`;
  shader.add(`int ${name} = ${n} * ${int(batch)} + ${first} + ${int(offset)};`);
  if (!isTexel) shader.add(`ivec4 ${name}Channels = ${int(channel)} * ivec4(0, 1, 2, 3);`);
  const [rowStep, columnStep] = [int(down), int(right)];
  return (h, w) => {
    const at = `${name} + ${h} * ${rowStep} + ${w} * ${columnStep}`;
    return isTexel ? `${kind}Texel(${sampler}, ${at})` : `${kind}sAt(${sampler}, ${at} + ${name}Channels)`;
  };
}

function deferResult(
  output: Operand,
  { full }: Iteration,
  emit: (shader: ShaderBuilder) => Emitted,
  windowSize: number,
  builder: PassBuilder,
): void {
  const flops = builder.sizeOf(output.slot) * windowSize;
  builder.defer({ name: "pool channels", output, whole: full, flops, emit });
}
