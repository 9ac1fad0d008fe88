/** matmul: products with any strides, one fragment per texel of the output. */
import reluChunk from "../../../glsl/relu.glsl";
import { sizeOf } from "../../tensor/shape.js";
import type { MatmulCall } from "../kernel.js";
import type { PassBuilder } from "./builder.js";
import { loadAt, storeInside } from "./map.js";
import { lanes } from "./storage.js";
import { declareWalk, operandPosition, planWalk, type Steps } from "./walk.js";

export function prepareMatmul(call: MatmulCall, builder: PassBuilder): void {
  if (sizeOf(call.output.view.shape) === 0) return;
  generalProduct(call, builder);
}

/** Walks along k for each output, whatever the strides. */
function generalProduct({ a, b, output, bias, activation }: MatmulCall, builder: PassBuilder): void {
  const rank = output.view.shape.length;
  const [row, column] = [rank - 2, rank - 1];
  const k = a.view.shape[column];
  const shader = builder.shader();
  const slotSize = builder.sizeOf(output.slot);
  const rows: Steps = { strides: a.view.strides.with(column, 0), offset: a.view.offset };
  const columns: Steps = { strides: b.view.strides.with(row, 0), offset: b.view.offset };
  const walk = planWalk(output.view, slotSize, [rows, columns, ...(bias ? [bias.view] : [])]);
  const names = declareWalk(shader, walk);
  const [from, by, added] = walk.operands;
  const position = (steps: Steps) => operandPosition(shader, walk, names, steps);
  shader.add(
    `${names.type} fromA = ${position(from)};`,
    `${names.type} fromB = ${position(by)};`,
    bias
      ? `vec4 sum = ${loadAt(shader, walk, bias, added, () => position(added))};`
      : "vec4 sum = vec4(0.0);",
    `int k = ${shader.int(k)};`,
    "for (int i = 0; i < k; i++) {",
  );
  const along = (steps: Steps, stride: number): Steps => ({ ...steps, strides: [stride, ...steps.strides] });
  const [stepA, stepB] = [a.view.strides[column], b.view.strides[row]];
  const x = loadAt(shader, walk, a, along(from, stepA), () => `fromA + i * ${shader.int(stepA)}`);
  const y = loadAt(shader, walk, b, along(by, stepB), () => `fromB + i * ${shader.int(stepB)}`);
  shader.add(`sum += ${x} * ${y};`, "}");
  if (activation === "relu") {
    shader.include(reluChunk);
    shader.add("sum = rectified(sum);");
  }
  storeInside(shader, walk, names, output, output.slot, "sum");
  const texels = Math.ceil(slotSize / lanes);
  builder.add(shader.build({ name: "matmul", texels, flops: 2 * k * walk.size }));
}
