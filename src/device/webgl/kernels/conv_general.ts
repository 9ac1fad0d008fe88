/**
 * conv and its two gradients as gathers, for any strides and geometry: each fragment sums all products of the other two operands that
 * contribute to its element.
 */
import { sizeOf } from "../../../core/shape.js";
import type { ConvCall, Operand } from "../../../kernels/kernel.js";
import type { PassBuilder } from "../shader/builder.js";
import { deferImage } from "../shader/image.js";
import { fetched, type ShaderBuilder } from "../shader/shader.js";

export function generalConv(call: ConvCall, builder: PassBuilder): void {
  const computed = { conv: call.output, convGradInput: call.input, convGradWeight: call.weight }[call.kernel];
  if (sizeOf(computed.view.shape) === 0) return;
  const rule = { conv: outputSum, convGradInput: inputSum, convGradWeight: weightSum }[call.kernel];
  deferImage(
    {
      name: call.kernel,
      output: computed,
      flops: 2 * builder.sizeOf(computed.slot) * rule.terms(call),
      value(shader, indices) {
        shader.add("vec4 sum = vec4(0.0);");
        rule.add(shader, call, indices);
        return "sum";
      },
    },
    builder,
  );
}

/** The sums of one of the three kernels: number of terms, and the statements that add them to `sum`. */
interface Sum {
  terms(call: ConvCall): number;
  add(shader: ShaderBuilder, call: ConvCall, indices: readonly string[]): void;
}

/** GLSL that fetches the elements of an operand at four indices. */
function fetcher(
  shader: ShaderBuilder,
  { slot, dtype, view }: Operand,
): (indices: readonly string[]) => string {
  const sampler = shader.texture(slot, dtype);
  const strides = view.strides.map((stride) => shader.int(stride));
  const offset = shader.int(view.offset);
  return (indices) => {
    const at = [offset, ...indices.map((index, d) => `(${index}) * ${strides[d]}`)].join(" + ");
    return fetched(shader, dtype, (kind) => `${kind}sAt(${sampler}, ivec4(${at}))`);
  };
}

interface Sizes {
  readonly height: string;
  readonly width: string;
  readonly outHeight: string;
  readonly outWidth: string;
  /** Channels per group, of the input and of the output. */
  readonly groupChannels: string;
  readonly groupOutputs: string;
  readonly stride: readonly string[];
  readonly padding: readonly string[];
  readonly dilation: readonly string[];
}

function declareSizes(shader: ShaderBuilder, { input, weight, output, geometry }: ConvCall): Sizes {
  const pair = (values: readonly number[]) => values.map((value) => shader.int(value));
  const [height, width] = pair(input.view.shape.slice(2));
  const [outHeight, outWidth] = pair(output.view.shape.slice(2));
  return {
    height,
    width,
    outHeight,
    outWidth,
    groupChannels: shader.int(weight.view.shape[1]),
    groupOutputs: shader.int(weight.view.shape[0] / geometry.groups),
    stride: pair(geometry.stride),
    padding: pair(geometry.padding),
    dilation: pair(geometry.dilation),
  };
}

function open(shader: ShaderBuilder, name: string, count: number | string): void {
  const bound = typeof count === "string" ? count : shader.int(count);
  shader.add(`for (int ${name} = 0; ${name} < ${bound}; ${name}++) {`);
}

function inRange(at: string, extent: string): string {
  return `both(greaterThanEqual(${at}, ivec4(0)), lessThan(${at}, ivec4(${extent})))`;
}

/** y[n, o, oh, ow] = Σ x[n, c, h, w] · w[o, c, kh, kw]. */
const outputSum: Sum = {
  terms: ({ weight }) => sizeOf(weight.view.shape.slice(1)),
  add: addOutputTerms,
};

function addOutputTerms(shader: ShaderBuilder, call: ConvCall, [n, o, oh, ow]: readonly string[]): void {
  const sizes = declareSizes(shader, call);
  const [x, w] = [fetcher(shader, call.input), fetcher(shader, call.weight)];
  const [, channels, kernelHeight, kernelWidth] = call.weight.view.shape;
  shader.add(`ivec4 firstChannel = (${o} / ${sizes.groupOutputs}) * ${sizes.groupChannels};`);
  open(shader, "kh", kernelHeight);
  open(shader, "kw", kernelWidth);
  shader.add(
    `ivec4 h = ${oh} * ${sizes.stride[0]} - ${sizes.padding[0]} + kh * ${sizes.dilation[0]};`,
    `ivec4 v = ${ow} * ${sizes.stride[1]} - ${sizes.padding[1]} + kw * ${sizes.dilation[1]};`,
    `bvec4 valid = both(${inRange("h", sizes.height)}, ${inRange("v", sizes.width)});`,
    "if (!any(valid)) continue;",
    "vec4 part = vec4(0.0);",
  );
  open(shader, "c", channels);
  shader.add(`part += ${x([n, "firstChannel + c", "h", "v"])} * ${w([o, "c", "kh", "kw"])};`, "}");
  shader.add("sum += select(valid, part, vec4(0.0));", "}", "}");
}

/** x[n, c, h, w] = Σ y[n, o, oh, ow] · w[o, c, kh, kw] over the windows that contain (h, w). */
const inputSum: Sum = {
  terms: ({ weight, geometry }) => sizeOf(weight.view.shape.with(1, 1)) / geometry.groups,
  add: addInputTerms,
};

function addInputTerms(shader: ShaderBuilder, call: ConvCall, [n, c, h, v]: readonly string[]): void {
  const sizes = declareSizes(shader, call);
  const [y, w] = [fetcher(shader, call.output), fetcher(shader, call.weight)];
  const [, , kernelHeight, kernelWidth] = call.weight.view.shape;
  shader.add(
    `ivec4 group = ${c} / ${sizes.groupChannels};`,
    `ivec4 firstOutput = group * ${sizes.groupOutputs};`,
    `ivec4 channel = ${c} - group * ${sizes.groupChannels};`,
  );
  open(shader, "kh", kernelHeight);
  open(shader, "kw", kernelWidth);
  shader.add(
    `ivec4 top = ${h} + ${sizes.padding[0]} - kh * ${sizes.dilation[0]};`,
    `ivec4 left = ${v} + ${sizes.padding[1]} - kw * ${sizes.dilation[1]};`,
    "bvec4 valid = both(greaterThanEqual(top, ivec4(0)), greaterThanEqual(left, ivec4(0)));",
    `ivec4 oh = top / ${sizes.stride[0]};`,
    `ivec4 ow = left / ${sizes.stride[1]};`,
    `valid = both(valid, both(equal(oh * ${sizes.stride[0]}, top), equal(ow * ${sizes.stride[1]}, left)));`,
    `valid = both(valid, both(${inRange("oh", sizes.outHeight)}, ${inRange("ow", sizes.outWidth)}));`,
    "if (!any(valid)) continue;",
    "vec4 part = vec4(0.0);",
  );
  open(shader, "o", sizes.groupOutputs);
  shader.add(
    `part += ${y([n, "firstOutput + o", "oh", "ow"])} * ${w(["firstOutput + o", "channel", "kh", "kw"])};`,
    "}",
    "sum += select(valid, part, vec4(0.0));",
    "}",
    "}",
  );
}

/** w[o, c, kh, kw] = Σ x[n, c, h, w] · y[n, o, oh, ow]; each row is summed separately first, for accuracy. */
const weightSum: Sum = {
  terms: ({ input, output }) => sizeOf(output.view.shape.slice(2)) * input.view.shape[0],
  add: addWeightTerms,
};

function addWeightTerms(shader: ShaderBuilder, call: ConvCall, [o, c, kh, kw]: readonly string[]): void {
  const sizes = declareSizes(shader, call);
  const [x, y] = [fetcher(shader, call.input), fetcher(shader, call.output)];
  const [batch] = call.input.view.shape;
  shader.add(`ivec4 channel = (${o} / ${sizes.groupOutputs}) * ${sizes.groupChannels} + ${c};`);
  open(shader, "n", batch);
  open(shader, "oh", sizes.outHeight);
  shader.add(
    `ivec4 h = oh * ${sizes.stride[0]} - ${sizes.padding[0]} + ${kh} * ${sizes.dilation[0]};`,
    `bvec4 validRow = ${inRange("h", sizes.height)};`,
    "vec4 row = vec4(0.0);",
  );
  open(shader, "ow", sizes.outWidth);
  shader.add(
    `ivec4 v = ow * ${sizes.stride[1]} - ${sizes.padding[1]} + ${kw} * ${sizes.dilation[1]};`,
    `bvec4 valid = both(validRow, ${inRange("v", sizes.width)});`,
    `row += select(valid, ${x(["n", "channel", "h", "v"])} * ${y(["n", o, "oh", "ow"])}, vec4(0.0));`,
    "}",
    "sum += row;",
    "}",
    "}",
  );
}
