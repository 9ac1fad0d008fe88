/**
 * gather and scatterAdd. Gathering is a map with one more fetch. Scattering draws points that are blended into the output, which adds in
 * the order of the source; without exact blending, each output element searches all indices for its sources.
 */
import { sizeOf } from "../../../core/shape.js";
import { rowMajor } from "../../../core/view.js";
import { reportOf } from "../../../kernels/failure.js";
import type { GatherCall, Operand, ScatterAddCall } from "../../../kernels/kernel.js";
import { reportNumber } from "../gl/flag.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import {
  accessOf,
  declareIteration,
  operandPosition,
  planIteration,
  positionOf,
  type Steps,
  splitIndex,
} from "../shader/iteration.js";
import type { Emitted } from "../shader/result.js";
import { fetched, type ShaderBuilder } from "../shader/shader.js";
import { storeInside } from "../shader/store.js";
import { loadAt } from "./map.js";

export function prepareGather(call: GatherCall, builder: PassBuilder): void {
  const { shape, source, index, output, axisStride, axisSize } = call;
  if (sizeOf(shape) === 0) return;
  checkPass(call, builder);
  const slotSize = builder.sizeOf(output.slot);
  const iteration = planIteration(output.view, slotSize, [source.view, index.view]);
  const emit = (shader: ShaderBuilder): Emitted => {
    const names = declareIteration(shader, iteration);
    const [from, at] = iteration.operands;
    const position = (steps: Steps) => operandPosition(shader, iteration, names, steps);
    shader.add(
      `ivec4 at = ${loadAt(shader, iteration, index, at, () => position(at))};`,
      `at = clamp(at, ivec4(0), ivec4(${shader.int(Math.max(axisSize - 1, 0))}));`,
    );
    const sampler = shader.texture(source.slot, source.dtype);
    const step = shader.int(axisStride);
    const last = from.strides.length - 1;
    const value = fetched(shader, source.dtype, (kind) => {
      if (!iteration.quad) return `${kind}sAt(${sampler}, ${position(from)} + at * ${step})`;
      if (accessOf(at) === "scalar" && accessOf(from) === "texel" && axisStride % lanes === 0) {
        return `${kind}Texel(${sampler}, (${position(from)} + at.x * ${step}) >> 2)`;
      }
      const along = `${shader.int(from.strides[last])} * ivec4(0, 1, 2, 3)`;
      return `${kind}sAt(${sampler}, ${position(from)} + ${along} + at * ${step})`;
    });
    return { value, quad: iteration.quad, inside: names.inside };
  };
  builder.defer({ name: "gather", output, whole: iteration.full, flops: slotSize, emit });
}

export function prepareScatterAdd(call: ScatterAddCall, builder: PassBuilder): void {
  if (sizeOf(call.shape) === 0) return;
  checkPass(call, builder);
  const blends = builder.abilities.blend && builder.formatOf(call.output.slot).name === "rgba32f";
  if (blends) scatterByBlending(call, builder);
  else scatterBySearching(call, builder);
}

/** Draws a point onto a texel of the run's flag for each index that is out of range, the first one last. */
function checkPass(call: GatherCall | ScatterAddCall, builder: PassBuilder): void {
  const { kernel, index, axisSize } = call;
  const { view } = index;
  const { texel, isNew } = builder.check(call);
  if (!isNew) return;
  const dims = view.shape.map((_, d) => d).filter((d) => view.strides[d] !== 0 && view.shape[d] !== 1);
  const extents = dims.map((d) => view.shape[d]);
  const count = sizeOf(extents);
  const steps = { strides: dims.map((d) => view.strides[d]), offset: view.offset };
  const shader = builder.shader();
  shader.add(`int number = ${shader.int(count - 1)} - gl_VertexID;`);
  splitIndex(shader, "int", "number", extents, "i");
  const sampler = shader.texture(index.slot, index.dtype);
  const position = positionOf(
    shader,
    steps,
    extents.map((_, d) => `i${d}`),
    "int",
  );
  const size = shader.int(axisSize);
  shader.add(
    `int at = intAt(${sampler}, ${position});`,
    `sent = ivec4(${shader.int(reportNumber(reportOf(call)))}, at, ${size}, 0);`,
    `bool isOutside = (at < 0 || at >= ${size})${call.ignored === undefined ? "" : ` && at != ${shader.int(call.ignored)}`};`,
    "gl_Position = vec4(isOutside ? 0.0 : 2.0, 0.0, 0.0, 1.0);",
  );
  builder.add({
    ...shader.buildPoints({ name: `${kernel} check`, texels: 1, flops: count }, count, "ivec4", []),
    flag: texel,
  });
}

function scatterByBlending(call: ScatterAddCall, builder: PassBuilder): void {
  const { shape, source, index, output, axisStride, axisSize } = call;
  const shader = builder.shader();
  const iteration = planIteration(rowMajor(shape), sizeOf(shape), [source.view, index.view, output.view]);
  const [from, at, to] = iteration.operands;
  const last = iteration.extents.length - 1;
  // A point adds to a whole texel if its four elements are neighbours in the source and have one index.
  const byTexels =
    iteration.extents[last] % lanes === 0 &&
    at.strides[last] === 0 &&
    accessOf(to) === "texel" &&
    axisStride % lanes === 0;
  const count = byTexels ? iteration.size / lanes : iteration.size;
  shader.add(`int number = gl_VertexID${byTexels ? " << 2" : ""};`);
  splitIndex(shader, "int", "number", iteration.extents, "i");
  const indices = iteration.extents.map((_, d) => `i${d}`);
  const indexSampler = shader.texture(index.slot, index.dtype);
  const size = shader.int(axisSize);
  shader.add(
    `int at = intAt(${indexSampler}, ${positionOf(shader, at, indices, "int")});`,
    `int target = ${positionOf(shader, to, indices, "int")} + at * ${shader.int(axisStride)};`,
  );
  const sampler = shader.texture(source.slot, source.dtype);
  const position = () => positionOf(shader, from, indices, "int");
  if (byTexels) shader.add(`sent = ${loadAt(shader, { quad: true }, source, from, position)};`);
  else shader.add("sent = vec4(0.0);", `sent[target & 3] = floatAt(${sampler}, ${position()});`);
  const texels = Math.ceil(builder.sizeOf(output.slot) / lanes);
  const { width, height } = builder.target.layout.region(texels);
  shader.add(
    `vec2 place = vec2(texelPosition(${shader.shift(output.slot)}, target >> 2)) + 0.5;`,
    `place = 2.0 * place / vec2(${shader.int(width)}, ${shader.int(height)}) - 1.0;`,
    `gl_Position = vec4(at < 0 || at >= ${size} ? vec2(2.0) : place, 0.0, 1.0);`,
  );
  builder.add(
    shader.buildPoints({ name: "scatterAdd", texels, flops: iteration.size }, count, "vec4", [output.slot]),
  );
}

/** Scattering without blending: each output element loops over all indices that could refer to it. */
function scatterBySearching(call: ScatterAddCall, builder: PassBuilder): void {
  const { shape, source, index, output, axisStride, axisSize } = call;
  const dims = shape.map((_, d) => d);
  const others = dims.filter((d) => output.view.strides[d] !== 0);
  const searched = dims.filter((d) => output.view.strides[d] === 0);
  // The output with the indexed axis as its last dimension, along which source and index have stride 0.
  const target: Operand = {
    ...output,
    view: {
      shape: [...others.map((d) => shape[d]), axisSize],
      strides: [...others.map((d) => output.view.strides[d]), axisStride],
      offset: output.view.offset,
    },
  };
  if (sizeOf(target.view.shape) === 0) return;
  const along = ({ view }: Operand) => ({
    strides: [...others.map((d) => view.strides[d]), 0],
    offset: view.offset,
  });
  const axis = { strides: [...others.map(() => 0), 1], offset: 0 };
  const shader = builder.shader();
  const slotSize = builder.sizeOf(output.slot);
  const iteration = planIteration(target.view, slotSize, [along(source), along(index), axis]);
  const names = declareIteration(shader, iteration);
  const [from, at, own] = iteration.operands;
  const vector = output.dtype === "float32" ? "vec4" : "ivec4";
  const position = (steps: Steps) => operandPosition(shader, iteration, names, steps);
  const lanesAlong = (steps: Steps) =>
    iteration.quad ? ` + ${shader.int(steps.strides[steps.strides.length - 1])} * ivec4(0, 1, 2, 3)` : "";
  shader.add(
    `ivec4 own = ivec4(${position(own)})${lanesAlong(own)};`,
    `ivec4 sourceBase = ivec4(${position(from)})${lanesAlong(from)};`,
    `ivec4 indexBase = ivec4(${position(at)})${lanesAlong(at)};`,
  );
  const sourceSampler = shader.texture(source.slot, source.dtype);
  const indexSampler = shader.texture(index.slot, index.dtype);
  const extents = searched.map((d) => shape[d]);
  const steps = (operand: Operand) => {
    const strides = searched.map((d) => operand.view.strides[d]);
    return positionOf(
      shader,
      { strides, offset: 0 },
      extents.map((_, d) => `j${d}`),
      "int",
    );
  };
  const kind = output.dtype === "float32" ? "float" : "int";
  const old = shader.texture(output.slot, output.dtype);
  shader.add(
    `${vector} sum = ${kind}Texel(${old}, t);`,
    `int count = ${shader.int(sizeOf(extents))};`,
    "for (int r = 0; r < count; r++) {",
  );
  splitIndex(shader, "int", "r", extents, "j");
  shader.add(
    `bvec4 hit = equal(intsAt(${indexSampler}, indexBase + (${steps(index)})), own);`,
    `if (any(hit)) sum += select(hit, ${kind}sAt(${sourceSampler}, sourceBase + (${steps(source)})), ${vector}(0));`,
    "}",
  );
  storeInside(shader, iteration.quad, names.inside, output, output.slot, "sum");
  const texels = Math.ceil(slotSize / lanes);
  builder.add(shader.build({ name: "scatterAdd", texels, flops: slotSize * sizeOf(extents) }));
}
