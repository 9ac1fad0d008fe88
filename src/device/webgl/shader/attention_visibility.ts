/** GLSL for the range of keys that a query of attention sees, given lengths and positions as values. */
import type { AttentionCall, Operand } from "../../../kernels/kernel.js";
import { positionOf } from "./iteration.js";
import type { ShaderBuilder } from "./shader.js";

/** Whether the visible keys depend on lengths, positions or a window, not only on the row and the number of keys. */
export function isRagged({ keyLengths, queryPositions, window }: AttentionCall): boolean {
  return keyLengths !== undefined || queryPositions !== undefined || window !== undefined;
}

/**
 * Declares `firstSeen` and `seen`: the query of row `row` (GLSL) sees the keys j with firstSeen ≤ j < seen, where seen is at most the
 * number of keys. `names` are the GLSL names of the batch indices.
 */
export function declareSeen(
  call: AttentionCall,
  shader: ShaderBuilder,
  names: readonly string[],
  row: string,
): void {
  const { q, k, keyLengths, queryPositions, causal, window } = call;
  const keys = k.view.shape.at(-2)!;
  const value = ({ slot, dtype, view }: Operand) =>
    `intAt(${shader.texture(slot, dtype)}, ${positionOf(shader, view, names, "int")})`;
  const count = shader.int(keys);
  shader.add(`int seen = ${keyLengths ? `min(${value(keyLengths)}, ${count})` : count};`);
  // Clamped so that no sum overflows; larger values have the same effect as the bounds.
  const [low, high] = [-q.view.shape.at(-2)!, keys + Math.min(window ?? 0, 2 ** 30)];
  const start = queryPositions && `clamp(${value(queryPositions)}, ${shader.int(low)}, ${shader.int(high)})`;
  shader.add(`int position = ${start ? `${start} + ${row}` : row};`);
  if (causal) shader.add("seen = min(seen, position + 1);");
  const begin =
    window === undefined ? "0" : `max(0, position + 1 - ${shader.int(Math.min(window, 2 ** 30))})`;
  shader.add(`int firstSeen = ${begin};`);
}
