/** Weights between host memory and devices: parts as in files, and the kernels' layout. */
import { formatName, type HostWeight, requireParts } from "../core/weight_format.js";
import type { Device } from "../device/device.js";
import type { Tensor } from "../graph/tensor.js";
import { storedOffset } from "../kernels/packed.js";
import { bytesOf, unpackMatrix } from "../kernels/unpack.js";
import { rowScales } from "../ops/group_scales.js";
import { readExact, readTensor } from "../runtime/host_data.js";
import { type DeviceWeight, WeightUpload } from "./device_weight.js";

/**
 * A weight in host memory on a device: packed 1024 rows at a time.
 *
 * @example
 * const scales = Float32Array.of(0.5);
 * const weight = uploadWeight({ format: "int8", shape: [1, 2], values: Int8Array.of(3, -4), scales }, defaultDevice());
 * QuantizedLinear.fromWeight(weight).forward(tensor([[1, 1]])); // [[-0.5]]
 *
 * @throws ArgumentError if the parts do not fit format and shape, or the kernels have no such groups.
 */
export function uploadWeight(weight: HostWeight, device: Device): DeviceWeight {
  requireParts(weight);
  const upload = new WeightUpload(weight, device);
  const [n] = weight.shape;
  for (let row = 0; row < n; row += slabRows) upload.write(rowsOf(weight, row, Math.min(row + slabRows, n)));
  return upload.finish();
}

/** Rows that are packed at a time. */
const slabRows = 1024;

/** Rows `start` to `end` of a weight, without a copy. */
export function rowsOf(weight: HostWeight, start: number, end: number): HostWeight {
  const { shape, values, scales, zeroPoints, minimums } = weight;
  const [n, k] = shape;
  const part = <T extends HostWeight["values"]>(array: T): T => {
    const perRow = array.length / n;
    return array.subarray(start * perRow, end * perRow) as T;
  };
  return {
    ...weight,
    shape: [end - start, k],
    values: part(values),
    ...(scales && { scales: part(scales) }),
    ...(zeroPoints && { zeroPoints: part(zeroPoints) }),
    ...(minimums && { minimums: part(minimums) }),
  };
}

/**
 * The parts of a matrix on a device, as files hold them: the inverse of `uploadWeight`.
 *
 * @example
 * const model = new Sequential(new Linear(64, 8));
 * await quantize(model, int4WeightOnly());
 * const [layer] = model.modules;
 * if (layer instanceof QuantizedLinear) (await downloadWeight(layer.deviceWeight)).values.length; // 256
 */
export async function downloadWeight({
  description,
  weight,
  scale,
  minimums,
}: DeviceWeight): Promise<HostWeight> {
  const { format } = description;
  const [n, k] = description.shape;
  const shape = [n, k] as const;
  const name = formatName(format);
  if ("dtype" in format || scale === undefined) {
    return { format: name, shape, values: (await readTensor(weight)) as HostWeight["values"] };
  }
  const whole = unpackMatrix(bytesOf(await readExact(weight)), n, k, format);
  const { groupSize, offset } = format;
  if (groupSize === undefined) return { format: name, shape, values: whole, scales: await floats(scale) };
  const ofGroups = (arranged: Tensor) => floats(rowScales(arranged, n));
  const scales = await ofGroups(scale);
  const shifts = minimums && (await ofGroups(minimums));
  const common = { format: name, shape, groupSize, scales };
  if (format.bits === 8) return { ...common, values: whole };
  const above = storedOffset(format);
  const values = Uint8Array.from(
    { length: (n * k) / 2 },
    (_, i) => (whole[2 * i] + above) | ((whole[2 * i + 1] + above) << 4),
  );
  if (shifts === undefined) return { ...common, values };
  if (offset === "minimum") return { ...common, values, minimums: shifts };
  // The minimums are (8 − zero point) · scale.
  const zeroPoints = Uint8Array.from(shifts, (shift, i) =>
    scales[i] === 0 ? above : above - Math.round(shift / scales[i]),
  );
  return { ...common, values, zeroPoints };
}

async function floats(tensor: Tensor): Promise<Float32Array> {
  return Float32Array.from(await readTensor(tensor));
}
