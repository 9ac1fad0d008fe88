/** How a quantized layer's input becomes int8. */
import type { AffineQuantization } from "../ops/quantize.js";

/**
 * How a quantized layer converts its input: not at all, with a scale per row or image computed at run time, or with one calibrated
 * scale and zero point.
 */
export type InputQuantization =
  /** It stays float32. */
  | { readonly kind: "float" }
  /** A scale for each row or image, found from its values. */
  | { readonly kind: "dynamic" }
  /** One scale and zero point, known before. */
  | ({ readonly kind: "static" } & Required<AffineQuantization>);
