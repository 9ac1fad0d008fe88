/** Encodes `pool` and `poolGrad`; layout in assembly/pool.ts. */
import { sizeOf } from "../../../core/shape.js";
import type { Operand, PoolCall, PoolGeometry, PoolGradCall } from "../../../kernels/kernel.js";
import { type CommandWriter, Opcode } from "../command.js";

export const PoolOp = { max: 0, average: 1, argmax: 2 } as const;

/** The words of both payloads; `pool` has none from gradN on. */
export const poolLayout =
  "op batch channels height width outputH outputW kernelH kernelW strideH strideW paddingH paddingW " +
  "countPadding imageN imageC imageRow imageColumn outputN outputC outputRow outputColumn image " +
  "output gradN gradC gradRow gradColumn grad";

export function encodePool({ op, input, output, geometry }: PoolCall, writer: CommandWriter): void {
  if (sizeOf(output.view.shape) === 0) return;
  writer.begin(Opcode.pool);
  writeWindows(PoolOp[op], input, output, geometry, writer);
  writer.end();
}

export function encodePoolGrad(call: PoolGradCall, writer: CommandWriter): void {
  const { op, input, gradOutput, gradInput, geometry } = call;
  if (sizeOf(gradInput.view.shape) === 0) return;
  writer.begin(Opcode.poolGrad);
  writeWindows(PoolOp[op], input ?? gradInput, gradOutput, geometry, writer);
  writer.i32(...stridesOf(gradInput));
  writer.address(gradInput);
  writer.end();
}

function writeWindows(
  op: number,
  image: Operand,
  output: Operand,
  geometry: PoolGeometry,
  writer: CommandWriter,
): void {
  const { kernel, stride, padding, countIncludePad } = geometry;
  const [, , outputH, outputW] = output.view.shape;
  writer.i32(
    op,
    ...image.view.shape,
    outputH,
    outputW,
    ...kernel,
    ...stride,
    ...padding,
    countIncludePad ? 1 : 0,
    ...stridesOf(image),
    ...stridesOf(output),
  );
  writer.address(image);
  writer.address(output);
}

/** A single channel may have any stride. */
function stridesOf({ view }: Operand): number[] {
  return view.strides.map((stride, d) => (d === 1 && view.shape[1] === 1 ? 1 : stride));
}
