/** Typed errors. Each names the op (and device, where one is involved) and says the way out in `hint`. */

export interface ErrorDetails {
  /** The op or function the user called, for example `matmul`. */
  op?: string;
  /** Name of the device on which it happened. */
  device?: string;
  /** What the user can do about it. */
  hint?: string;
  cause?: unknown;
}

/** Longer messages, of many names out of a file, lose their middle. */
const longestMessage = 2000;

/** Without control and format characters, which would move the cursor of a terminal or turn the direction of text; names out of files have them. */
export function printable(text: string): string {
  return String(text).replace(
    /[^\P{C}\n]|[\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

function bounded(text: string): string {
  return text.length > longestMessage ? `${text.slice(0, longestMessage - 500)} … ${text.slice(-500)}` : text;
}

/** Base of every error wattgrad throws on purpose; `code` is stable and meant for programs. */
export class WattgradError extends Error {
  readonly code: string;
  readonly op: string | undefined;
  readonly device: string | undefined;
  readonly hint: string | undefined;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    const prefix = details.op ? `${details.op}: ` : "";
    const suffix = details.hint ? ` (${details.hint})` : "";
    super(
      bounded(printable(prefix + message + suffix)),
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = new.target.name;
    this.code = code;
    this.op = details.op;
    this.device = details.device;
    this.hint = details.hint;
  }
}

/** Shapes that do not fit an op. */
export class ShapeError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("SHAPE", message, details);
  }
}

/** A dtype that an op does not take. */
export class DTypeError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("DTYPE", message, details);
  }
}

/** An option or argument outside its domain. */
export class ArgumentError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("ARGUMENT", message, details);
  }
}

/** An index (label, token id) outside the axis that it indexes; found while a Program runs. */
export class IndexError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("INDEX", message, details);
  }
}

/** Operands that live on different devices, a device that is not available or already closed. */
export class DeviceError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("DEVICE", message, details);
  }
}

/** The device is lost, and with it the values on it, until `device.recovery.restore()` brings back a snapshot. */
export class DeviceLostError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("DEVICE_LOST", message, details);
  }
}

/** The device cannot provide the memory asked for; everything that was live before still is. */
export class OutOfMemoryError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("OUT_OF_MEMORY", message, details);
  }
}

/** A tensor that was disposed or lost with its device, or a lazy one whose input has changed since it was built. */
export class StaleTensorError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("STALE_TENSOR", message, details);
  }
}

/** What a function given to `jit` cannot do: its replays would compute something else than the function. */
export class JitError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("JIT", message, { op: "jit", ...details });
  }
}

/** NaN or infinity found by the debug mode. */
export class NumericsError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("NUMERICS", message, details);
  }
}

/** Bytes that do not follow the format they claim to be in. */
export class FormatError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("FORMAT", message, details);
  }
}
