/**
 * The debug mode: computes every op when it is called and searches its result for NaN and infinity. The next read throws an error
 * that names the first op with such a result and the line that called it.
 */
import { aBoolean, checkOptions, type Kinds } from "../core/check.js";
import { NumericsError } from "../core/errors.js";
import { formatShape } from "../core/shape.js";
import type { Tensor } from "../graph/tensor.js";
import { realize, setDebugObserver } from "./realize.js";
import { sessionOf } from "./session.js";

/** Options of `setDebug`. */
export interface DebugOptions {
  /** Computes every op at once and reports the first one whose result has NaN or infinity although its inputs are finite. */
  readonly numerics: boolean;
}

const debugOptions: Kinds<DebugOptions> = { numerics: aBoolean };

/**
 * Switches the debug mode on or off for all devices. It is slow. Reads (`data()`, `item()`) throw a NumericsError that names the first
 * op with a bad result. Calls inside jit() are not checked.
 *
 * @example
 * setDebug({ numerics: true });
 * await log(tensor([-1])).data(); // throws NumericsError
 * setDebug({ numerics: false });
 */
export function setDebug(options: DebugOptions): void {
  const { numerics } = checkOptions("setDebug", options, debugOptions);
  setDebugObserver(numerics ? check : undefined);
}

/** Per op result, in the order of creation; the first failure is the one to report. */
const checks: Promise<NumericsError | undefined>[] = [];

function check(tensor: Tensor): void {
  const session = sessionOf(tensor.device);
  if (session.capture !== undefined || tensor.dtype !== "float32") return;
  const op = tensor.node!.op.name;
  const place = new Error().stack?.split("\n").slice(4, 8).join("\n");
  realize([tensor]);
  checks.push(
    tensor.device.read(tensor.storage!.buffer).then((values) => {
      const at = values.findIndex((value) => !Number.isFinite(value));
      if (at < 0) return undefined;
      return new NumericsError(
        `the result of shape ${formatShape(tensor.shape)} holds ${values[at]} at position ${at}, called from\n${place}`,
        { op, device: tensor.device.name },
      );
    }),
  );
  session.checks ??= async () => {
    const errors = await Promise.all(checks.splice(0));
    const first = errors.find((error) => error !== undefined);
    if (first !== undefined) throw first;
  };
}
