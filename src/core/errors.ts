/** Fields of a WattgradError besides its message. */

export interface ErrorDetails {
  /** The op or function the user called, for example `matmul`. */
  op?: string;
  /** Name of the device on which it happened. */
  device?: string;
  /** Advice to the user. */
  hint?: string;
  cause?: unknown;
}

/** Longer messages, of many names out of a file, lose their middle. */
const longestMessage = 2000;

/**
 * Escapes control and format characters, which could move a terminal's cursor or reverse the text direction; names in files may
 * contain them.
 *
 * @example
 * printable("a\u0007b"); // "a\\u{7}b"
 */
export function printable(text: string): string {
  return String(text).replace(
    /[^\P{C}\n]|[\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

function bounded(text: string): string {
  return text.length > longestMessage ? `${text.slice(0, longestMessage - 500)} … ${text.slice(-500)}` : text;
}

/**
 * The base class of wattgrad's errors. `code` is stable and meant for programs; `op`, `device` and `hint` are undefined if unknown.
 *
 * @example
 * const error = new ShapeError("inner sizes differ", { op: "matmul", hint: "transpose b" });
 * error instanceof WattgradError; // true
 * error.code; // "SHAPE"
 * error.message; // "matmul: inner sizes differ (transpose b)"
 */
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

/**
 * Shapes that do not fit an op.
 *
 * @example
 * add(ones([2]), ones([3])); // throws ShapeError
 */
export class ShapeError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("SHAPE", message, details);
  }
}

/**
 * A dtype that an op does not support.
 *
 * @example
 * neg(tensor([true])); // throws DTypeError
 */
export class DTypeError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("DTYPE", message, details);
  }
}

/**
 * An option or argument outside its domain.
 *
 * @example
 * softmax(ones([2]), 5); // throws ArgumentError
 */
export class ArgumentError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("ARGUMENT", message, details);
  }
}

/**
 * An index (label, token id) outside its axis; found while a Program runs, thrown by the next read.
 *
 * @example
 * await oneHot(tensor([3], { dtype: "int32" }), 3).data(); // throws IndexError
 */
export class IndexError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("INDEX", message, details);
  }
}

/**
 * Operands on different devices, or a device that is not available or is closed.
 *
 * @example
 * await openDevice("webgl", { webgl: { gl: undefined } }).catch((error) => error.name); // "DeviceError"
 */
export class DeviceError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("DEVICE", message, details);
  }
}

/**
 * The device is lost, and the values on it with it, until `device.recovery.restore()` restores a snapshot.
 *
 * @example
 * new DeviceLostError("the context is lost").code; // "DEVICE_LOST"
 */
export class DeviceLostError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("DEVICE_LOST", message, details);
  }
}

/**
 * The device cannot allocate the requested memory; existing tensors are unaffected.
 *
 * @example
 * const device = await openDevice("wasm", { wasm: { maximumBytes: 2 ** 25 } });
 * tensor(new Float32Array(2 ** 24), { device }); // throws OutOfMemoryError
 */
export class OutOfMemoryError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("OUT_OF_MEMORY", message, details);
  }
}

/**
 * A tensor that was disposed or lost with its device, or a lazy one whose input has changed since it was built.
 *
 * @example
 * const x = tensor([1]);
 * x.dispose();
 * await x.data(); // throws StaleTensorError
 */
export class StaleTensorError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("STALE_TENSOR", message, details);
  }
}

/**
 * Something inside a function given to `jit` that its replays could not repeat.
 *
 * @example
 * const f = jit((x: Tensor) => ({ x, loss: parameter(x) }));
 * f(ones([1])); // throws JitError
 */
export class JitError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("JIT", message, { op: "jit", ...details });
  }
}

/**
 * NaN or infinity, found by the debug mode (`setDebug`) or by `fit`.
 *
 * @example
 * setDebug({ numerics: true });
 * await log(tensor([-1])).data(); // throws NumericsError
 * setDebug({ numerics: false });
 */
export class NumericsError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("NUMERICS", message, details);
  }
}

/**
 * Bytes that violate the file format that they claim.
 *
 * @example
 * readSafetensors(Uint8Array.of(1, 2, 3)); // throws FormatError
 */
export class FormatError extends WattgradError {
  constructor(message: string, details?: ErrorDetails) {
    super("FORMAT", message, details);
  }
}
