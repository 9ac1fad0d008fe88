/** The outcome of `wattgrad tour` in the terminal. */
import Table from "cli-table3";
import type { TourFile } from "../../tour/data.js";

export function printRows(stream: NodeJS.WritableStream, { rows, places, unavailable }: TourFile): void {
  const heads = ["accuracy", "images", "one image", "in a batch", "images/s", "mJ an image", "size"];
  const table = new Table({
    head: ["where", "device", "model", ...heads],
    colAligns: ["left", "left", "left", ...heads.map(() => "right" as const)],
    style: { head: [], border: [] },
  });
  for (const row of rows) {
    table.push([
      row.where,
      row.device,
      row.model,
      `${(100 * row.accuracy).toFixed(2)} %`,
      row.images.toLocaleString("en"),
      `${digits(row.singleMs)} ms`,
      `${digits(row.batchMs)} ms`,
      digits(row.imagesPerSecond),
      row.joulesPerImage === null ? "unknown" : `${digits(1000 * row.joulesPerImage)} ${row.energy.kind}`,
      `${(row.modelBytes / 1024).toFixed(1)} KiB`,
    ]);
  }
  stream.write(`${table}\n`);
  for (const { where, version, renderer } of places) {
    stream.write(`${where}: ${version}${renderer === null ? "" : `, WebGL by ${renderer}`}\n`);
  }
  const methods = rows.map(({ where, energy }) => `energy in ${where}: ${energy.method}; ${energy.scope}`);
  for (const method of new Set(methods)) stream.write(`${method}\n`);
  for (const { device, where, reason } of unavailable) {
    stream.write(`not there: ${device} in ${where}: ${reason}\n`);
  }
}

function digits(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
