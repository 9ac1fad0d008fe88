/** The outcome of `wattgrad tour` in the terminal. */
import type { InferenceRow } from "../../inference/index.js";
import type { TourFile } from "../../tour/data.js";
import { type Cell, print, printTable } from "../terminal.js";

const head = ["model", "accuracy, %", "one image, ms", "in a batch, ms", "images/s", "mJ an image", "KiB"];

/** A line for each device, with its models below. */
export function printRows(stream: NodeJS.WritableStream, { rows, places, unavailable }: TourFile): void {
  const groups = new Map<string, InferenceRow[]>();
  for (const row of rows) groups.set(titleOf(row), [...(groups.get(titleOf(row)) ?? []), row]);
  const table = [...groups].flatMap(([title, group]): Cell[][] => [
    [{ colSpan: head.length, content: title }],
    ...group.map((row) => [
      row.model,
      (100 * row.accuracy).toFixed(2),
      digits(row.singleMs),
      digits(row.batchMs),
      digits(row.imagesPerSecond),
      row.joulesPerImage === null ? "unknown" : digits(1000 * row.joulesPerImage),
      (row.modelBytes / 1024).toFixed(1),
    ]),
  ]);
  printTable(table, { head, figuresFrom: 1 }, stream);
  for (const { where, version, renderer } of places) {
    print(`${where}: ${version}${renderer === null ? "" : `, WebGL by ${renderer}`}`, stream);
  }
  const methods = rows.map(({ where, energy }) => `energy in ${where}: ${energy.method}; ${energy.scope}`);
  for (const method of new Set(methods)) print(method, stream);
  for (const { device, where, reason } of unavailable) {
    print(`not there: ${device} in ${where}: ${reason}`, stream);
  }
}

/** The common part of a device's rows. */
function titleOf({ where, device, images, energy }: InferenceRow): string {
  return `${device} in ${where}: ${images.toLocaleString("en")} images, energy ${energy.kind}`;
}

function digits(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}
