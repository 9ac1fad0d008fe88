/** Where commands run things: in this process, or in headless browsers. */
import { Option } from "commander";
import { listOf } from "./options.js";

export const places = ["node", "chromium", "firefox"] as const;
export type PlaceName = (typeof places)[number];

export function whereOption(standard: readonly PlaceName[]): Option {
  return new Option("--where <places>", `of ${places.join(", ")}; browsers are headless`)
    .argParser(listOf(places))
    .default(standard, standard.join(","));
}
