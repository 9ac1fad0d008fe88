/** What can be wrong with a quantization: calibration data, a layer, a file. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/**
 * Unusable calibration data, a layer that a scheme does not support, or a model and a file that do not match.
 *
 * @example
 * await quantize(new Sequential(new ReLU()), int8Dynamic()); // throws QuantizationError
 */
export class QuantizationError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("QUANTIZATION", message, details);
  }
}
