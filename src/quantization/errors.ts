/** What can be wrong with a quantization: calibration data, a layer, a file. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/** Calibration data that tell nothing, a layer that a scheme does not take, or a model and a file that do not fit. */
export class QuantizationError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("QUANTIZATION", message, details);
  }
}
