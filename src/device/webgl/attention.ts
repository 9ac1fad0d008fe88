/**
 * attention: row by row (attention_rows.ts) for few rows and small causal heads, by tiles (attention_tiles.ts) for large ones, else
 * as calls of other kernels. Each is the fastest of the three at what it is for, on both software rasterisers.
 */
import { sizeOf } from "../../tensor/shape.js";
import type { AttentionCall } from "../kernel.js";
import { productsOfAttention } from "./attention_products.js";
import { rowsOfAttention, suitsRows } from "./attention_rows.js";
import { suitsTileAttention, tilesOfAttention } from "./attention_tiles.js";
import type { PassBuilder } from "./builder.js";

export function prepareAttention(call: AttentionCall, builder: PassBuilder): void {
  if (sizeOf(call.output.view.shape) === 0) return;
  if (suitsRows(call, builder)) rowsOfAttention(call, builder);
  else if (suitsTileAttention(call, builder)) tilesOfAttention(call, builder);
  else productsOfAttention(call, builder);
}
