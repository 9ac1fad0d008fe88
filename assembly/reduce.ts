/**
 * `reduce`: evaluates an expression block by block and reduces the values. The encoder orders the dimensions as [outer, reduced,
 * columns]: with one column, each `length` consecutive elements are reduced to one result; otherwise `length` rows of `columns` elements
 * are accumulated into one row. Blocks may end within a row.
 *
 * Behind the expression: [op, is int32, length, columns, scratch memory, entry of the value,
 * access of the output, its address, rank, extents of the results, strides of the output].
 * float32 sums: partial sums of 512 elements (64 rows) in float32 vectors, which are added in float64.
 */
import { evaluate, open, pointer, seek } from "./expression";
import { blockLanes, Reduction, Header, ReduceAt } from "./generated/agreement";
import { locate, copyStrided } from "./strided";
import { find, reduceLanes, accumulateRows, identity, isBetter, combineBits } from "./reduce_lanes";

const rowsPerPartialSum: i32 = 64;
const results: usize = memory.data(2048, 16);
const place: usize = memory.data(256, 16);

export function reduce(payload: usize): void {
  const tail = open(payload);
  if (load<i32>(tail, ReduceAt.columns) == 1) reduceSegments(payload, tail);
  else reduceRows(payload, tail);
}

/** Writes results `first` … `first + count - 1` to the output. */
function emit(tail: usize, first: i32, count: i32, values: usize): void {
  const rank = load<i32>(tail, ReduceAt.rank);
  const extents = tail + ReduceAt.extents;
  locate(place, extents, rank, first);
  const strides = extents + (<usize>rank << 2);
  copyStrided(load<i32>(tail, ReduceAt.access), load<u32>(tail, ReduceAt.address), strides, extents, rank, place, count, values);
}

/** Blocks do not cross a multiple of this number of elements. */
// @ts-ignore: decorator
@inline
function rowLengthOf(payload: usize): i32 {
  if (!load<i32>(payload, Header.byRows)) return load<i32>(payload, Header.size);
  return load<i32>(payload + Header.extents + (<usize>(load<i32>(payload, Header.rank) - 1) << 2));
}

function reduceSegments(payload: usize, tail: usize): void {
  const op = load<i32>(tail, ReduceAt.op);
  const isInt = load<i32>(tail, ReduceAt.isInt);
  const length = load<i32>(tail, ReduceAt.length);
  const size = load<i32>(payload, Header.size);
  const block = load<i32>(payload, Header.block);
  const valueEntry = load<u32>(tail, ReduceAt.value);
  const inDouble = !isInt && (op == Reduction.sum || op == Reduction.prod);
  const extreme = op == Reduction.argmax ? Reduction.max : Reduction.min;
  const rowLength = rowLengthOf(payload);
  let left = rowLength;
  let done = 0;
  let ready = 0;
  let emitted = 0;
  let total: f64 = 0;
  let best: i32 = 0;
  let bestIndex: i32 = 0;
  for (let start = 0; start < size; ) {
    let count = min(block, left);
    seek(payload, start);
    evaluate(payload, start, count);
    start += count;
    left -= count;
    if (left == 0) left = rowLength;
    let at = pointer(valueEntry);
    while (count > 0) {
      const n = min(min(count, length - done), blockLanes);
      if (done == 0) {
        total = op == Reduction.prod ? 1 : 0;
        best = identity(op, isInt);
        bestIndex = 0;
      }
      if (op >= Reduction.argmax) {
        const part = reduceLanes(extreme, isInt, at, n);
        if (done == 0 || isBetter(extreme, isInt, part, best)) {
          best = part;
          bestIndex = done + find(isInt, at, part);
        }
      } else {
        const part = reduceLanes(op, isInt, at, n);
        if (!inDouble) best = combineBits(op, isInt, best, part);
        else if (op == Reduction.sum) total += <f64>reinterpret<f32>(part);
        else total *= <f64>reinterpret<f32>(part);
      }
      at += <usize>n << 2;
      count -= n;
      done += n;
      if (done < length) continue;
      done = 0;
      const result = results + (<usize>ready << 2);
      if (op >= Reduction.argmax) store<i32>(result, bestIndex);
      else if (inDouble) store<f32>(result, <f32>total);
      else store<i32>(result, best);
      if (++ready == blockLanes) {
        emit(tail, emitted, ready, results);
        emitted += ready;
        ready = 0;
      }
    }
  }
  if (ready > 0) emit(tail, emitted, ready, results);
}

function reduceRows(payload: usize, tail: usize): void {
  const op = load<i32>(tail, ReduceAt.op);
  const isInt = load<i32>(tail, ReduceAt.isInt);
  const length = load<i32>(tail, ReduceAt.length);
  const columns = load<i32>(tail, ReduceAt.columns);
  const size = load<i32>(payload, Header.size);
  const block = load<i32>(payload, Header.block);
  const valueEntry = load<u32>(tail, ReduceAt.value);
  const accumulator = <usize>load<u32>(tail, ReduceAt.space);
  const totals = accumulator + (((<usize>columns << 2) + 63) & ~63);
  const inDouble = !isInt && op == Reduction.sum && length > rowsPerPartialSum;
  const rowLength = rowLengthOf(payload);
  let left = rowLength;
  let column = 0;
  let row = 0;
  let emitted = 0;
  for (let start = 0; start < size; ) {
    let count = min(block, left);
    seek(payload, start);
    evaluate(payload, start, count);
    start += count;
    left -= count;
    if (left == 0) left = rowLength;
    let at = pointer(valueEntry);
    while (count > 0) {
      if (row == 0 && column == 0) {
        fillWords(accumulator, identity(op, isInt), columns);
        if (inDouble) memory.fill(totals, 0, <usize>columns << 3);
      }
      let rows = 1;
      let n = min(count, columns - column);
      if (column == 0 && n == columns) {
        rows = min(count / columns, length - row);
        if (inDouble) rows = min(rows, rowsPerPartialSum - (row & (rowsPerPartialSum - 1)));
      }
      accumulateRows(op, isInt, accumulator + (<usize>column << 2), at, n, rows, columns);
      at += <usize>(n * rows) << 2;
      count -= n * rows;
      column += n;
      if (column < columns) continue;
      column = 0;
      row += rows;
      if (inDouble && ((row & (rowsPerPartialSum - 1)) == 0 || row == length)) {
        addToTotals(accumulator, totals, columns);
      }
      if (row < length) continue;
      row = 0;
      if (inDouble) roundTotals(accumulator, totals, columns);
      emit(tail, emitted, columns, accumulator);
      emitted += columns;
    }
  }
}

function fillWords(at: usize, value: i32, count: i32): void {
  for (; count > 0; count--) {
    store<i32>(at, value);
    at += 4;
  }
}

/** totals += accumulator; accumulator = 0. */
function addToTotals(accumulator: usize, totals: usize, columns: i32): void {
  while (columns > 0) {
    const x = v128.load(accumulator);
    const high = f64x2.promote_low_f32x4(i32x4.shuffle(x, x, 2, 3, 2, 3));
    v128.store(totals, f64x2.add(v128.load(totals), f64x2.promote_low_f32x4(x)));
    v128.store(totals, f64x2.add(v128.load(totals, 16), high), 16);
    v128.store(accumulator, i32x4.splat(0));
    accumulator += 16;
    totals += 32;
    columns -= 4;
  }
}

/** accumulator = totals, rounded to float32. */
function roundTotals(accumulator: usize, totals: usize, columns: i32): void {
  for (; columns > 0; columns--) {
    store<f32>(accumulator, <f32>load<f64>(totals));
    accumulator += 4;
    totals += 8;
  }
}
