/**
 * attention: by rows (attention_rows.ts) for few rows and small heads; by tiles (attention_tiles.ts) for others; else decomposed into
 * calls of other kernels. Each is the fastest of the three in its range, on both software rasterizers. With lengths or positions it is by
 * rows, whose loops end at the last valid key; for head widths that rows do not support it is decomposed, and its time depends on the
 * capacity instead of the lengths.
 */
import { sizeOf } from "../../../core/shape.js";
import type { AttentionCall, Operand } from "../../../kernels/kernel.js";
import { isRagged } from "../shader/attention_visibility.js";
import type { PassBuilder } from "../shader/builder.js";
import { productsOfAttention } from "./attention_products.js";
import { gemvMaxRows, rowsOfAttention, suitsRows } from "./attention_rows.js";
import { suitsTileAttention, tilesOfAttention } from "./attention_tiles.js";

/** Widths of queries and values, together, up to which rows are faster than tiles although all keys are visible. */
const narrowHead = 32;
/** Scores that are stored at a time, unless a single matrix has more: 64 MiB, twice. */
const mostScores = 2 ** 24;

export function prepareAttention(call: AttentionCall, builder: PassBuilder): void {
  if (sizeOf(call.output.view.shape) === 0) return;
  const isTiled = !isRagged(call) && suitsTileAttention(call, builder);
  if (suitsRows(call, builder) && (!isTiled || prefersRows(call))) {
    rowsOfAttention(call, builder);
    return;
  }
  const prepare = isTiled ? tilesOfAttention : productsOfAttention;
  for (const part of partsOf(call)) prepare(part, builder);
}

function prefersRows({ q, v, causal }: AttentionCall): boolean {
  const [rows, width] = q.view.shape.slice(-2);
  return rows <= gemvMaxRows || causal || width + v.view.shape.at(-1)! <= narrowHead;
}

/** The call itself, or parts of its batch of which each has fewer scores. */
function partsOf(call: AttentionCall): AttentionCall[] {
  const { shape } = call.output.view;
  const scores = sizeOf(shape.slice(0, -1)) * call.k.view.shape.at(-2)!;
  const dim = shape.slice(0, -2).findIndex((extent) => extent > 1);
  if (scores <= mostScores || dim < 0) return [call];
  const middle = Math.ceil(shape[dim] / 2);
  return [narrowed(call, dim, 0, middle), narrowed(call, dim, middle, shape[dim])].flatMap(partsOf);
}

function narrowed(call: AttentionCall, dim: number, from: number, to: number): AttentionCall {
  const part = (operand: Operand): Operand => {
    const { shape, strides, offset } = operand.view;
    const view = { shape: shape.with(dim, to - from), strides, offset: offset + from * strides[dim] };
    return { ...operand, view };
  };
  const { q, k, v, mask, keyLengths, queryPositions, output } = call;
  return {
    ...call,
    keyLengths: keyLengths && part(keyLengths),
    queryPositions: queryPositions && part(queryPositions),
    q: part(q),
    k: part(k),
    v: part(v),
    mask: mask && part(mask),
    output: part(output),
  };
}
