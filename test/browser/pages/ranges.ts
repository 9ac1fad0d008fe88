/** In a page: parts of buffers on WebGL2. */
import { runRanges } from "../../device/range_programs.js";
import { type DeviceLabel, open } from "./devices.js";

export async function rangesOn(label: DeviceLabel): Promise<string[]> {
  const { device, failure } = await open(label);
  const wrong = await runRanges(device, { isHalf: label === "webgl-half" });
  const error = failure();
  return error === undefined ? wrong : [...wrong, error];
}
