/** map: one generated shader per expression and access pattern, up to four outputs in one draw. */
import multiplyHighChunk from "../../../../glsl/multiply_high.glsl";
import philoxChunk from "../../../../glsl/philox.glsl";
import { type Shape, sizeOf } from "../../../core/shape.js";
import { rowMajorStrides, sameView } from "../../../core/view.js";
import { restrict } from "../../../kernels/expression.js";
import type { Expression, MapCall, Operand } from "../../../kernels/kernel.js";
import { lanes } from "../gl/storage.js";
import type { PassBuilder } from "../shader/builder.js";
import { emitExpression, type Sources } from "../shader/expression.js";
import {
  accessOf,
  declareIteration,
  type Iteration,
  type IterationNames,
  isDenseRowMajor,
  operandPosition,
  planIteration,
  type Steps,
} from "../shader/iteration.js";
import type { TextureId } from "../shader/pass.js";
import type { Result } from "../shader/result.js";
import { fetched, type ShaderBuilder, texelHere, vectorOf } from "../shader/shader.js";
import { storeInside } from "../shader/store.js";

/** Texture units that every device has. */
const mostTextures = 16;

/** A deferred result whose texel is computed by the pass of its consumer. */
interface Within {
  readonly slot: TextureId;
  value(): string;
}

interface Output {
  readonly operand: Operand;
  /** Index of the result that it gets. */
  readonly result: number;
  readonly target: TextureId;
}

/** @param computed the deferred result whose only consumer is this map: the map's pass computes it if possible. */
export function prepareMap(call: MapCall, builder: PassBuilder, computed?: Result): void {
  if (sizeOf(call.shape) === 0) return;
  const updates = call.outputs.filter((output) => builder.isUpdate(output));
  const sampled = new Set([...call.inputs, ...updates].map(({ slot }) => slot));
  if (updates.length > 0 && sampled.size > mostTextures) {
    prepareApart(call, builder);
    return;
  }
  const groups = groupOutputs(call, builder);
  // With several draws, later ones may read inputs that earlier ones replace.
  const read = new Set(call.inputs.map(({ slot }) => slot));
  const replaced =
    groups.length > 1 ? call.outputs.map(({ slot }) => slot).filter((slot) => read.has(slot)) : [];
  const stand = new Map(replaced.map((slot) => [slot, builder.standFor(slot)]));
  for (const group of groups) {
    const outputs = group.map((k) => {
      const operand = call.outputs[k];
      return { operand, result: k, target: stand.get(operand.slot) ?? operand.slot };
    });
    mapPass(call, outputs, builder, groups.length === 1 ? computed : undefined);
  }
  for (const [slot, scratch] of stand) builder.replace(slot, scratch);
}

/** Updates with too many textures for one draw: computed into temporaries, then copied to the inputs unless the run has failed. */
function prepareApart(call: MapCall, builder: PassBuilder): void {
  const { shape, outputs } = call;
  const values = outputs.map((output) => ({ ...output, slot: builder.standFor(output.slot) }));
  prepareMap({ ...call, outputs: values }, builder);
  outputs.forEach((output, k) => {
    const { dtype } = output;
    const expression: Expression = {
      instructions: [{ op: "load", dtype, args: [], index: 0 }],
      results: [0],
    };
    prepareMap({ kernel: "map", shape, inputs: [values[k]], outputs: [output], expression }, builder);
  });
}

/** Outputs that one draw can write: equal views, equal sizes, at most as many as there are render targets. */
function groupOutputs({ outputs }: MapCall, builder: PassBuilder): number[][] {
  const groups: number[][] = [];
  outputs.forEach(({ slot, view }, k) => {
    const group = groups.find(([first, ...more]) => {
      const other = outputs[first];
      const fits = sameView(other.view, view) && builder.sizeOf(other.slot) === builder.sizeOf(slot);
      const distinct = [first, ...more].every((m) => outputs[m].slot !== slot);
      return fits && distinct && more.length + 1 < builder.target.drawBuffers;
    });
    if (group) group.push(k);
    else groups.push([k]);
  });
  return groups;
}

function mapPass(
  call: MapCall,
  outputs: readonly Output[],
  builder: PassBuilder,
  computed: Result | undefined,
): void {
  const { inputs, shape } = call;
  const expression = restrict(
    call.expression.instructions,
    outputs.map(({ result }) => call.expression.results[result]),
  );
  const shader = builder.shader();
  const [{ operand: first }] = outputs;
  const slotSize = builder.sizeOf(first.slot);
  const iteration = planIteration(first.view, slotSize, sourceSteps(expression, inputs, shape));
  const names = declareIteration(shader, iteration);
  const isWithin =
    computed !== undefined && isAtTexels(computed.output.slot, call, iteration, slotSize, builder);
  const within = isWithin ? withinPass(shader, computed) : undefined;
  const line = shader.shift(first.slot);
  const sources = iterationSources(shader, iteration, names, inputs, shape, within, line);
  const results = emitExpression(shader, expression, sources);
  const unread = outputs.every(
    ({ operand, target }) => operand.slot === target && !shader.samples(target) && !builder.isUpdate(operand),
  );
  const range = unread ? discardOutside(shader, iteration, names) : undefined;
  const stored = range ? { ...names, inside: undefined } : names;
  outputs.forEach(({ operand, target }, k) => {
    const value = builder.isUpdate(operand) ? unlessFailed(shader, operand, results[k], k) : results[k];
    storeInside(shader, iteration.quad, stored.inside, operand, target, value);
  });
  const texels = Math.ceil(slotSize / lanes);
  const flops = texels * lanes * expression.instructions.length;
  if (!isWithin) {
    builder.add(shader.build({ name: "map", texels, flops, range }));
    return;
  }
  if (shader.textureCount > mostTextures) {
    mapPass(call, outputs, builder, undefined);
    return;
  }
  const name = `${computed.name} and map`;
  builder.addFused(shader.build({ name, texels, flops: flops + computed.flops, range }));
}

/** The value; for an update of a failed run, the old value. */
function unlessFailed(shader: ShaderBuilder, { slot, dtype }: Operand, value: string, k: number): string {
  const name = `updated${k}`;
  shader.add(
    `${vectorOf(dtype)} ${name} = ${value};`,
    `if (${shader.failed()}) ${name} = ${texelHere(shader, slot, dtype)};`,
  );
  return name;
}

/** Whether the map reads the slot, and each output texel depends only on the same texel of the slot. */
function isAtTexels(
  slot: TextureId,
  { inputs }: MapCall,
  iteration: Iteration,
  slotSize: number,
  builder: PassBuilder,
): boolean {
  return (
    builder.sizeOf(slot) === slotSize &&
    inputs.some((input) => input.slot === slot) &&
    inputs.every((input, k) => input.slot !== slot || isHere(iteration, iteration.operands[k]))
  );
}

/** Whether each output texel of an iteration depends only on the operand's texel of the same number. */
function isHere({ quad, full, extents }: Iteration, { strides, offset }: Steps): boolean {
  return quad && full && offset === 0 && isDenseRowMajor(extents, strides);
}

/** The vector that replaces loads of the result's slot; its statements are added at the first load. */
function withinPass(shader: ShaderBuilder, { output, emit }: Result): Within {
  let name: string | undefined;
  return {
    slot: output.slot,
    value() {
      name ??= shader.block(vectorOf(output.dtype), () => emit(shader).value);
      return name;
    },
  };
}

/**
 * The strides of all leaves of an expression: the inputs, then the row-major number of an element and its index along each dimension.
 * Unused leaves have stride 0, so that they do not prevent coalescing: fewer divisions, and calls on other shapes share the program.
 */
export function sourceSteps({ instructions }: Expression, inputs: readonly Operand[], shape: Shape): Steps[] {
  const number = inputs.length;
  const used = new Set<number>();
  for (const { op, index } of instructions) {
    if (op === "load") used.add(index!);
    if (op === "uniform") used.add(number);
    if (op === "iota") used.add(number + 1 + index!);
  }
  const numbered = { strides: rowMajorStrides(shape), offset: 0 };
  const along = shape.map((_, d) => ({ strides: shape.map((_, k) => Number(k === d)), offset: 0 }));
  const still = { strides: shape.map(() => 0), offset: 0 };
  return [...inputs.map(({ view }) => view), numbered, ...along].map((steps, k) =>
    used.has(k) ? { strides: steps.strides, offset: steps.offset } : still,
  );
}

/** The leaves at the current texel of an iteration over sourceSteps. */
function iterationSources(
  shader: ShaderBuilder,
  iteration: Iteration,
  names: IterationNames,
  inputs: readonly Operand[],
  shape: Shape,
  within: Within | undefined,
  line: number,
): Sources {
  const position = (k: number) => operandPosition(shader, iteration, names, iteration.operands[k]);
  const vectorAt = (k: number) => {
    const steps = iteration.operands[k];
    if (!iteration.quad) return position(k);
    const last = steps.strides.length - 1;
    if (steps.strides[last] === 0) return `ivec4(${position(k)})`;
    const step = steps.strides[last] === 1 ? "" : `${shader.int(steps.strides[last])} * `;
    return `${position(k)} + ${step}ivec4(0, 1, 2, 3)`;
  };
  return {
    load(index) {
      const { slot, dtype } = inputs[index];
      if (slot === within?.slot) return within.value();
      const steps = iteration.operands[index];
      if (isHere(iteration, steps) && shader.shift(slot) === line) return texelHere(shader, slot, dtype);
      const isStrided = accessOf(steps) === "strided";
      return loadAt(shader, iteration, inputs[index], steps, () =>
        operandPosition(shader, iteration, names, steps, isStrided),
      );
    },
    iota: (dim) => vectorAt(inputs.length + 1 + dim),
    uniform: (seeds) => {
      shader.include(multiplyHighChunk);
      shader.include(philoxChunk);
      const number = inputs.length;
      const blocks = iteration.quad && accessOf(iteration.operands[number]) === "texel" && shape.length > 0;
      return blocks
        ? `unitInterval(philox(uint(${position(number)}) >> 2, ${seeds}))`
        : `uniforms(${vectorAt(number)}, ${seeds})`;
    },
  };
}

/** The four elements of an operand at `position`, an int in a quad iteration and an ivec4 otherwise. */
export function loadAt(
  shader: ShaderBuilder,
  { quad }: Pick<Iteration, "quad">,
  { slot, dtype }: Operand,
  steps: Steps,
  position: () => string,
): string {
  const name = shader.texture(slot, dtype);
  const access = accessOf(steps);
  return fetched(shader, dtype, (kind) => {
    const vector = kind === "float" ? "vec4" : "ivec4";
    if (steps.strides.every((stride) => stride === 0)) {
      return `${vector}(${kind}At(${name}, ${shader.int(steps.offset)}))`;
    }
    if (!quad) return `${kind}sAt(${name}, ${position()})`;
    if (access === "texel") return `${kind}Texel(${name}, (${position()}) >> 2)`;
    if (access === "scalar") return `${vector}(${kind}At(${name}, ${position()}))`;
    const step = shader.int(steps.strides[steps.strides.length - 1]);
    return `${kind}sAt(${name}, ${position()} + ${step} * ivec4(0, 1, 2, 3))`;
  });
}

/**
 * Restricts rendering to the texels of a partial output, if none is partly inside; returns the range of texels.
 * The pass must not sample its outputs.
 */
function discardOutside(
  shader: ShaderBuilder,
  { quad, extents, output, dense, full }: Iteration,
  { inside }: IterationNames,
): readonly [number, number] | undefined {
  if (!quad || full || inside === undefined) return undefined;
  shader.add(`if (!(${inside})) discard;`);
  const span = extents.reduce((sum, extent, d) => sum + (extent - 1) * output.strides[d], 1);
  const length = dense ? sizeOf(extents) : span;
  return [output.offset / lanes, Math.ceil((output.offset + length) / lanes)];
}
