/** Formats a profile as text tables. */
import { anObject, check, type Kind } from "../core/check.js";
import type { Profile, Usage } from "./profile.js";

/** Maximum rows; the rest is summed into one. */
const shownRows = 20;
const widestName = 72;

/** What `profile` returns. */
export const aProfile: Kind = [
  "a Profile",
  (value) => {
    const { kernels, ops, modules, calls, total } = (value ?? {}) as Partial<Profile>;
    const areRows = [kernels, ops, modules, calls].every(
      (rows) => Array.isArray(rows) && rows.every(anObject[1]),
    );
    return areRows && typeof total?.seconds === "number";
  },
];

/**
 * Three tables, by kernel, by op and by module: time, share, FLOPs, bytes, GFLOP/s and arithmetic intensity (FLOPs per byte).
 *
 * @example
 * const device = await openDevice("wasm");
 * const x = ones([2, 2], { device });
 * const report = await profile(device, () => matmul(x, x), { repetitions: 1 });
 * formatProfile(report).includes("matmul"); // true
 */
export function formatProfile(profile: Profile): string {
  const { device, total, kernels, ops, modules } = check("formatProfile", "the argument", profile, aProfile);
  return [
    `${device}: ${milliseconds(total.seconds)} in ${total.calls} kernel calls`,
    tableOf("kernel", kernels, total),
    tableOf("op", ops, total),
    tableOf("module", modules, total),
  ].join("\n\n");
}

const columns = ["calls", "ms", "share", "MFLOP", "MB", "GFLOP/s", "FLOP/byte"];

function tableOf(
  title: string,
  usages: readonly (Usage & { readonly name: string })[],
  total: Usage,
): string {
  const rows = usages.slice(0, shownRows).map((usage) => [cut(usage.name), ...figuresOf(usage)]);
  const rest = usages.slice(shownRows);
  if (rest.length > 0) {
    const share = rest.reduce((sum, usage) => sum + usage.share, 0);
    rows.push([`and ${rest.length} more`, "", "", percent(share), "", "", "", ""]);
  }
  rows.push(["all", ...figuresOf(total)]);
  return aligned([[title, ...columns], ...rows]);
}

function figuresOf({ calls, seconds, share, flops, bytes, gflops, intensity }: Usage): string[] {
  return [
    String(calls),
    (seconds * 1e3).toFixed(3),
    percent(share),
    (flops / 1e6).toFixed(2),
    (bytes / 1e6).toFixed(2),
    gflops === null ? "?" : gflops.toFixed(2),
    intensity.toFixed(2),
  ];
}

function milliseconds(seconds: number): string {
  return `${(seconds * 1e3).toFixed(2)} ms`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function cut(name: string): string {
  return name.length <= widestName ? name : `${name.slice(0, widestName - 1)}…`;
}

/** Left-aligns the first column and right-aligns numbers. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
