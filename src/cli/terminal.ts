/**
 * Text for people: everything that commands print goes through here. Names and messages may come out of files, and must not
 * move a cursor or set a title; tables fit the terminal.
 */
import Table from "cli-table3";
import { printable } from "../core/errors.js";

/** Line width for files and pipes, which have none. */
const defaultColumns = 80;
/** Minimum line width; narrower terminals are treated as this wide. */
const fewestColumns = 20;
/** Longer words, such as paths, are split if a column is too narrow for them. */
const longestWord = 24;

/** Characters per line: the terminal's width, else the environment variable COLUMNS, else 80. */
export function columnsOf(stream: NodeJS.WritableStream): number {
  const columns = (stream as NodeJS.WriteStream).columns || Number(process.env.COLUMNS);
  return Number.isInteger(columns) && columns > 0 ? Math.max(columns, fewestColumns) : defaultColumns;
}

/** Writes a line, or several, to stdout or another stream. */
export function print(text: string, stream: NodeJS.WritableStream = process.stdout): void {
  stream.write(`${printable(text)}\n`);
}

/** The same to stderr, for progress messages. */
export function say(text: string): void {
  print(text, process.stderr);
}

export type Cell = string | { readonly colSpan: number; readonly content: string };

export interface TableOptions {
  readonly head?: readonly string[];
  /** Columns of figures from this one on: right-aligned, not broken. Default: none. */
  readonly figuresFrom?: number;
}

/** Prints rows as a table: with lines between columns if they fit, without if not, row by row if there is no room for that. */
export function printTable(
  rows: readonly (readonly Cell[])[],
  options: TableOptions = {},
  stream: NodeJS.WritableStream = process.stdout,
): void {
  print(formatTable(rows, options, columnsOf(stream)), stream);
}

export function formatTable(
  rows: readonly (readonly Cell[])[],
  { head, figuresFrom = Number.POSITIVE_INFINITY }: TableOptions,
  columns: number,
): string {
  const clean = rows.map((row) =>
    row.map((cell) =>
      typeof cell === "string" ? printable(cell) : { ...cell, content: printable(cell.content) },
    ),
  );
  const count = Math.max(head?.length ?? 0, ...rows.map(({ length }) => length));
  const cellsOf = (i: number) =>
    clean.flatMap((row) => (typeof row[i] === "string" ? [row[i] as string] : []));
  const natural = Array.from({ length: count }, (_, i) =>
    Math.max(1, ...[...cellsOf(i), head?.[i] ?? ""].flatMap((text) => text.split("\n")).map(widthOf)),
  );
  const least = natural.map((width, i) => {
    const words = (text: string) =>
      Math.min(longestWord, ...[Math.max(0, ...text.split(/\s+/).map(widthOf))]);
    const cells = cellsOf(i).map((text) => (i >= figuresFrom ? widthOf(text) : words(text)));
    return Math.min(width, Math.max(1, ...cells, words(head?.[i] ?? "")));
  });
  for (const style of [bordered, plain]) {
    const widths = shrink(natural, least, columns - style.overhead(count));
    if (widths !== undefined) return render(clean, head, widths, figuresFrom, style, columns);
  }
  return clean.map((row) => recordOf(row, head, columns)).join(head === undefined ? "\n" : "\n\n");
}

interface Style {
  overhead(count: number): number;
  readonly options: Table.TableConstructorOptions;
}

const bordered: Style = {
  overhead: (count) => 3 * count + 1,
  options: { style: { head: [], border: [] } },
};

const borderParts = ["top", "bottom", "left", "right", "mid"].flatMap((side) =>
  side === "mid"
    ? ["mid", "mid-mid"]
    : [
        side,
        `${side}-mid`,
        ...(side === "top" || side === "bottom" ? [`${side}-left`, `${side}-right`] : []),
      ],
);
const plain: Style = {
  overhead: (count) => 2 * (count - 1),
  options: {
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    chars: {
      ...Object.fromEntries(borderParts.map((name) => [name, ""])),
      middle: "  ",
    } as Table.TableConstructorOptions["chars"],
  },
};

/** Takes from the widest columns until all fit; undefined if they do not. */
function shrink(
  natural: readonly number[],
  least: readonly number[],
  available: number,
): number[] | undefined {
  const widths = [...natural];
  for (let excess = widths.reduce((sum, width) => sum + width, 0) - available; excess > 0; excess--) {
    const spare = widths.map((width, i) => (width > least[i] ? width : 0));
    const widest = spare.indexOf(Math.max(...spare));
    if (!(spare[widest] > 0)) return undefined;
    widths[widest]--;
  }
  return widths;
}

function render(
  rows: readonly (readonly Cell[])[],
  head: readonly string[] | undefined,
  widths: readonly number[],
  figuresFrom: number,
  { options, overhead }: Style,
  columns: number,
): string {
  const table = new Table({
    ...options,
    ...(head && { head: head.map((text, i) => wrap(text, widths[i])) }),
    colAligns: widths.map((_, i) => (i >= figuresFrom ? "right" : "left")),
  });
  const wholeWidth = Math.min(
    columns,
    widths.reduce((sum, width) => sum + width, overhead(widths.length)),
  );
  for (const row of rows) {
    table.push(
      row.map((cell, i) =>
        typeof cell === "string"
          ? wrap(cell, widths[i])
          : { ...cell, content: wrap(cell.content, wholeWidth - overhead(1)) },
      ),
    );
  }
  return table.toString().replace(/ +$/gm, "");
}

function recordOf(row: readonly Cell[], head: readonly string[] | undefined, columns: number): string {
  return row
    .map((cell, i) => {
      if (typeof cell !== "string") return wrap(cell.content, columns);
      return wrap(head?.[i] ? `${head[i]}: ${cell}` : cell, columns);
    })
    .join("\n");
}

/** Breaks lines at spaces, and words that are longer than a line. */
function wrap(text: string, width: number): string {
  return text
    .split("\n")
    .map((line) => {
      if (widthOf(line) <= width) return line;
      const done: string[] = [];
      let current = "";
      for (let word of line.split(" ")) {
        const joined = current === "" ? word : `${current} ${word}`;
        if (widthOf(joined) <= width) {
          current = joined;
          continue;
        }
        if (current !== "") done.push(current);
        for (; widthOf(word) > width; word = word.slice(cut(word, width)))
          done.push(word.slice(0, cut(word, width)));
        current = word;
      }
      return [...done, current].join("\n");
    })
    .join("\n");
}

/** UTF-16 units of the longest beginning that is no wider. */
function cut(word: string, width: number): number {
  let units = 0;
  let used = 0;
  for (const character of word) {
    used += widthOf(character);
    if (used > width && units > 0) break;
    units += character.length;
  }
  return units;
}

/** Chinese, Japanese and Korean characters take two columns (East Asian Width, Unicode Annex 11). */
const wide = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/g;

function widthOf(text: string): number {
  return [...text].length + (text.match(wide)?.length ?? 0);
}
