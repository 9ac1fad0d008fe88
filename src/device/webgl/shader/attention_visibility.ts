/** Which keys a query of attention sees by lengths and positions that are values, as the shaders of its rows find out. */
import type { AttentionCall, Operand } from "../../../kernels/kernel.js";
import { positionOf } from "./iteration.js";
import type { ShaderBuilder } from "./shader.js";

/** Whether the keys that a query sees depend on more than its row and their number. */
export function isRagged({ keyLengths, queryPositions, window }: AttentionCall): boolean {
  return keyLengths !== undefined || queryPositions !== undefined || window !== undefined;
}

/**
 * Declares `firstSeen` and `seen`: the query of row `row` (GLSL) sees the keys from firstSeen up to but not including seen, which
 * is at most their number. `names` are the indices of the batch.
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
  // Beyond these bounds nothing changes, and no sum overflows.
  const [low, high] = [-q.view.shape.at(-2)!, keys + Math.min(window ?? 0, 2 ** 30)];
  const start = queryPositions && `clamp(${value(queryPositions)}, ${shader.int(low)}, ${shader.int(high)})`;
  shader.add(`int position = ${start ? `${start} + ${row}` : row};`);
  if (causal) shader.add("seen = min(seen, position + 1);");
  const begin =
    window === undefined ? "0" : `max(0, position + 1 - ${shader.int(Math.min(window, 2 ** 30))})`;
  shader.add(`int firstSeen = ${begin};`);
}
