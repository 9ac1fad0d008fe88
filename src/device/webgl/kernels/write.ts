/**
 * write: draws one point per texel of the slice at its position, so that no other texel is written. Slices that do not consist of whole
 * texels are drawn element by element, in four draws, one per channel.
 */
import { isHalf } from "../../../core/dtype.js";
import type { WriteCall } from "../../../kernels/write.js";
import { halfChunk } from "../gl/half.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { accessOf, planIteration, positionOf, splitIndex } from "../shader/iteration.js";
import { vectorOf } from "../shader/shader.js";
import { loadAt } from "./map.js";

const allChannels = 0b1111;

export function prepareWrite(call: WriteCall, builder: PassBuilder): void {
  const { source, position, output, axisStride } = call;
  // Iterates over the source in the output's memory order, with the strides of output and position.
  const iteration = planIteration(output.view, builder.sizeOf(output.slot), [source.view, position.view]);
  const last = iteration.extents.length - 1;
  const isWhole =
    iteration.extents[last] % lanes === 0 &&
    accessOf(iteration.output) === "texel" &&
    iteration.operands[1].strides[last] === 0 &&
    axisStride % lanes === 0;
  if (isWhole) drawPoints(call, iteration, allChannels, builder);
  else for (let channel = 0; channel < lanes; channel++) drawPoints(call, iteration, 1 << channel, builder);
}

function drawPoints(
  { source, position, output, axisStride, positionCount }: WriteCall,
  { extents, size, output: to, operands: [from, at] }: ReturnType<typeof planIteration>,
  channels: number,
  builder: PassBuilder,
): void {
  const isWhole = channels === allChannels;
  const shader = builder.shader();
  shader.add(`int number = gl_VertexID${isWhole ? " << 2" : ""};`);
  splitIndex(shader, "int", "number", extents, "i");
  const indices = extents.map((_, d) => `i${d}`);
  const of = (steps: typeof to) => positionOf(shader, steps, indices, "int");
  const limit = shader.int(positionCount);
  shader.add(
    `int start = intAt(${shader.texture(position.slot, position.dtype)}, ${of(at)});`,
    `int target = ${of(to)} + start * ${shader.int(axisStride)};`,
    `bool isInside = start >= 0 && start < ${limit};`,
  );
  // 16-bit floats are copied as bits.
  const dtype = isHalf(output.dtype) ? "int32" : output.dtype;
  const vector = vectorOf(dtype);
  const moved = { ...source, dtype };
  if (isWhole) shader.add(`sent = ${loadAt(shader, { quad: true }, moved, from, () => of(from))};`);
  else {
    const kind = dtype === "float32" ? "float" : "int";
    shader.add(
      `sent = ${vector}(${kind}At(${shader.texture(source.slot, dtype)}, ${of(from)}));`,
      `isInside = isInside && (target & 3) == ${shader.int(Math.log2(channels))};`,
    );
  }
  if (builder.isUpdate(output)) shader.add(`isInside = isInside && !(${shader.failedAtVertex()});`);
  const format = builder.formatOf(output.slot);
  if (format.name === "rgba16f") {
    shader.include(halfChunk(builder.target.halfInfinity!));
    shader.add("sent = roundToHalf(sent);");
  }
  const texels = Math.ceil(builder.sizeOf(output.slot) / lanes);
  const { width, height } = builder.target.layout.region(texels);
  shader.add(
    `vec2 place = vec2(texelPosition(${shader.shift(output.slot)}, target >> 2)) + 0.5;`,
    `place = 2.0 * place / vec2(${shader.int(width)}, ${shader.int(height)}) - 1.0;`,
    "gl_Position = vec4(isInside ? place : vec2(2.0), 0.0, 1.0);",
  );
  const count = isWhole ? size / lanes : size;
  const pass = shader.buildPoints(
    { name: "write", texels, flops: 0 },
    count,
    vector,
    [output.slot],
    dtype === "float32" ? undefined : format.output,
  );
  builder.add({ ...pass, channels });
}
