/**
 * The directory of a ZIP archive, as PyTorch and numpy write them, archives above 4 GiB (ZIP64) included: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Entries are read by range.
 */
import type { ByteSource } from "./byte_source.js";
import { quote } from "./excerpt.js";

/** Of the end of the directory, with the longest comment. */
const endBytes = 22;
const maxComment = 65_535;
/** Longest directory: a model has some thousand entries of 100 bytes. */
const maxDirectoryBytes = 64 * 2 ** 20;
const [localMark, entryMark, endMark, end64Mark, locatorMark] = [
  0x04034b50, 0x02014b50, 0x06054b50, 0x06064b50, 0x07064b50,
];
/** Of fields whose value is in the ZIP64 record. */
const elsewhere = 0xffffffff;

export interface ZipEntry {
  /** Unpacked. */
  readonly size: number;
  /** In the archive. */
  readonly storedBytes: number;
  /** 0: stored without compression; 8: deflated. */
  readonly method: number;
  /** Of its header; the data follow. */
  readonly headerOffset: number;
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * The entries by name.
 * @param fail makes and throws the error for what is no such archive.
 */
export async function readZipDirectory(
  source: ByteSource,
  fail: (reason: string) => never,
  signal: AbortSignal | undefined,
): Promise<Map<string, ZipEntry>> {
  const { count, offset, bytes } = await findDirectory(source, fail, signal);
  if (bytes > maxDirectoryBytes || offset + bytes > source.size)
    fail("the directory of the archive is damaged");
  const view = viewOf(await source.read(offset, bytes, signal));
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes || view.getUint32(at, true) !== entryMark)
      fail("the directory of the archive is damaged");
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) =>
      view.getUint16(at + field, true),
    );
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > bytes) fail("the directory of the archive is damaged");
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength));
    const method = view.getUint16(at + 10, true);
    if (entries.has(name)) fail(`the entry ${quote(name)} appears twice`);
    const extra = { at: at + 46 + nameLength, length: extraLength };
    entries.set(name, { method, ...placeOf(view, at, extra, fail) });
    at = next;
  }
  return entries;
}

/** The first byte of an entry's data, behind its own header. */
export async function dataOffset(
  source: ByteSource,
  { headerOffset, storedBytes }: ZipEntry,
  fail: (reason: string) => never,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (headerOffset + 30 > source.size) fail("an entry of the archive is damaged");
  const view = viewOf(await source.read(headerOffset, 30, signal));
  if (view.getUint32(0, true) !== localMark) fail("an entry of the archive is damaged");
  const offset = headerOffset + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (offset + storedBytes > source.size) fail("an entry of the archive ends behind the file");
  return offset;
}

interface Directory {
  readonly count: number;
  readonly offset: number;
  readonly bytes: number;
}

async function findDirectory(
  source: ByteSource,
  fail: (reason: string) => never,
  signal: AbortSignal | undefined,
): Promise<Directory> {
  const start = Math.max(0, source.size - endBytes - maxComment);
  const view = viewOf(await source.read(start, source.size - start, signal));
  let at = view.byteLength - endBytes;
  while (at >= 0 && view.getUint32(at, true) !== endMark) at--;
  if (at < 0) return fail("the archive has no directory: the file is truncated");
  const count = view.getUint16(at + 10, true);
  const [bytes, offset] = [view.getUint32(at + 12, true), view.getUint32(at + 16, true)];
  if (count !== 0xffff && bytes !== elsewhere && offset !== elsewhere) return { count, offset, bytes };
  // The ZIP64 locator is in front of the end.
  if (at < 20 || view.getUint32(at - 20, true) !== locatorMark) return { count, offset, bytes };
  const record = sizeAt(view, at - 20 + 8, fail);
  if (record + 56 > source.size) fail("the directory of the archive is damaged");
  const wide = viewOf(await source.read(record, 56, signal));
  if (wide.getUint32(0, true) !== end64Mark) fail("the directory of the archive is damaged");
  return { count: sizeAt(wide, 32, fail), bytes: sizeAt(wide, 40, fail), offset: sizeAt(wide, 48, fail) };
}

function sizeAt(view: DataView, at: number, fail: (reason: string) => never): number {
  const value = view.getBigUint64(at, true);
  if (value > Number.MAX_SAFE_INTEGER) fail("the directory of the archive is damaged");
  return Number(value);
}

/** Fields of the entry at `at`, those that do not fit 32 bits out of its extra field 1. */
function placeOf(
  view: DataView,
  at: number,
  extra: { readonly at: number; readonly length: number },
  fail: (reason: string) => never,
): Omit<ZipEntry, "method"> {
  const [stored, plain] = [view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
  let size = plain;
  let storedBytes = stored;
  let headerOffset = view.getUint32(at + 42, true);
  let field = extra.at;
  const end = extra.at + extra.length;
  while (field + 4 <= end) {
    const [id, length] = [view.getUint16(field, true), view.getUint16(field + 2, true)];
    let value = field + 4;
    field = value + length;
    if (id !== 1 || field > end) continue;
    const take = () => {
      value += 8;
      return value > field ? fail("the directory of the archive is damaged") : sizeAt(view, value - 8, fail);
    };
    // In this order, each only where its field of 32 bits is full.
    if (plain === elsewhere) size = take();
    if (stored === elsewhere) storedBytes = take();
    if (headerOffset === elsewhere) headerOffset = take();
  }
  return { size, storedBytes, headerOffset };
}
