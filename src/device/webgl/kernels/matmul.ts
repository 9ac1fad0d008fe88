/** matmul: large products by tiles (product.ts), few rows by GEMV (gemv.ts), all others with one fragment per output texel. */
import { sizeOf } from "../../../core/shape.js";
import type { MatmulCall, Operand } from "../../../kernels/kernel.js";
import type { PassBuilder } from "../shader/builder.js";
import { declareIteration, operandPosition, planIteration, type Steps } from "../shader/iteration.js";
import type { Emitted } from "../shader/result.js";
import type { ShaderBuilder } from "../shader/shader.js";
import { asGemv, gemv } from "./gemv.js";
import { loadAt } from "./map.js";
import { suitsTiles, tiledProduct } from "./product.js";

export function prepareMatmul(call: MatmulCall, builder: PassBuilder): void {
  if (sizeOf(call.output.view.shape) === 0) return;
  const joined = joinBatch(call);
  const rows = asGemv(joined, builder);
  if (rows !== undefined) gemv(rows, builder);
  else if (suitsTiles(joined, builder)) tiledProduct(joined, builder);
  else generalProduct(joined, builder);
}

/** Merges the batch into the rows if all matrices share B: [..., b, m, k] × [k, n] is [..., b·m, k] × [k, n]. */
function joinBatch(call: MatmulCall): MatmulCall {
  const { a, b, output } = call;
  const rank = output.view.shape.length;
  if (rank < 3) return call;
  const [outer, row] = [rank - 3, rank - 2];
  const [count, m] = output.view.shape.slice(outer, rank - 1);
  const continues = ({ view }: Operand) =>
    count === 1 || m === 1 || view.strides[outer] === m * view.strides[row];
  const isShared = count === 1 || b.view.strides[outer] === 0;
  if (!isShared || ![a, output].every(continues)) return call;
  const join = (operand: Operand): Operand => {
    const { shape, strides, offset } = operand.view;
    const stride = m === 1 ? strides[outer] : strides[row];
    const view = {
      shape: [...shape.slice(0, outer), count * m, shape[rank - 1]],
      strides: [...strides.slice(0, outer), stride, strides[rank - 1]],
      offset,
    };
    return { ...operand, view };
  };
  const { shape, strides, offset } = b.view;
  const without = { shape: shape.toSpliced(outer, 1), strides: strides.toSpliced(outer, 1), offset };
  return joinBatch({
    ...call,
    a: join(a),
    b: { ...b, view: without },
    output: join(output),
  });
}

/** One dot product per output element, for any strides. */
function generalProduct({ a, b, output }: MatmulCall, builder: PassBuilder): void {
  const rank = output.view.shape.length;
  const [row, column] = [rank - 2, rank - 1];
  const k = a.view.shape[column];
  const slotSize = builder.sizeOf(output.slot);
  const rows: Steps = { strides: a.view.strides.with(column, 0), offset: a.view.offset };
  const columns: Steps = { strides: b.view.strides.with(row, 0), offset: b.view.offset };
  const iteration = planIteration(output.view, slotSize, [rows, columns]);
  const emit = (shader: ShaderBuilder): Emitted => {
    const names = declareIteration(shader, iteration);
    const [from, by] = iteration.operands;
    const position = (steps: Steps) => operandPosition(shader, iteration, names, steps);
    shader.add(
      `${names.type} fromA = ${position(from)};`,
      `${names.type} fromB = ${position(by)};`,
      "vec4 sum = vec4(0.0);",
      `int k = ${shader.int(k)};`,
      "for (int i = 0; i < k; i++) {",
    );
    const along = (steps: Steps, stride: number): Steps => ({
      ...steps,
      strides: [stride, ...steps.strides],
    });
    const [stepA, stepB] = [a.view.strides[column], b.view.strides[row]];
    const x = loadAt(shader, iteration, a, along(from, stepA), () => `fromA + i * ${shader.int(stepA)}`);
    const y = loadAt(shader, iteration, b, along(by, stepB), () => `fromB + i * ${shader.int(stepB)}`);
    shader.add(`sum += ${x} * ${y};`, "}");
    return { value: "sum", quad: iteration.quad, inside: names.inside };
  };
  builder.defer({ name: "matmul", output, whole: iteration.full, flops: 2 * k * iteration.size, emit });
}
