/** Errors of downloads. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/**
 * A download that ended before the file was whole.
 * @example
 * const details = { received: 1, expected: 2, resumable: true };
 * new DownloadError("model.bin: 1 of 2 bytes are there", details).resumable; // true
 */
export class DownloadError extends WattgradError {
  /** Bytes that are there, and of the whole file. */
  readonly received: number;
  readonly expected: number;
  /** Whether the next try goes on behind the bytes that are there. */
  readonly resumable: boolean;

  constructor(
    message: string,
    details: ErrorDetails & {
      readonly received: number;
      readonly expected: number;
      readonly resumable: boolean;
    },
  ) {
    super("DOWNLOAD", message, details);
    this.received = details.received;
    this.expected = details.expected;
    this.resumable = details.resumable;
  }
}

/**
 * A downloaded file that is not what its source announced; nothing of it is kept.
 * @example
 * new ChecksumError("model.bin is another file").code; // "CHECKSUM"
 */
export class ChecksumError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("CHECKSUM", message, details);
  }
}
