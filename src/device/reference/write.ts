/** write. */
import type { WriteCall } from "../../kernels/write.js";
import type { Memory } from "./expression.js";
import { positions } from "./strided.js";

export function write(call: WriteCall, memory: Memory): void {
  const { source, position, output, axisStride, positionCount } = call;
  const [from, at, to] = [source, position, output].map(({ slot }) => memory(slot));
  const [sources, starts, outputs] = [source, position, output].map(({ view }) => positions(view));
  sources.forEach((place, i) => {
    const start = at[starts[i]];
    if (start >= 0 && start < positionCount) to[outputs[i] + start * axisStride] = from[place];
  });
}
