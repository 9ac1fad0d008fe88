/** Errors of downloads. */
import { type ErrorDetails, WattgradError } from "../core/errors.js";

/** A download that ended before the file was whole. */
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

/** A downloaded file that is not what its source announced; nothing of it is kept. */
export class ChecksumError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("CHECKSUM", message, details);
  }
}
