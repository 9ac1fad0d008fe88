/**
 * The kernel language between compiler and devices. It is small on purpose: every public op lowers to it, and every device implements
 * all of it. Each kernel has a file with its record; a device is a table over the same names.
 */
import { attention } from "./attention.js";
import { conv, convGradInput, convGradWeight } from "./conv.js";
import { gather } from "./gather.js";
import { map } from "./map.js";
import { matmul } from "./matmul.js";
import { pool } from "./pool.js";
import { poolGrad } from "./pool_grad.js";
import { qconv } from "./qconv.js";
import { qmatmul } from "./qmatmul.js";
import type { KernelRecord } from "./record.js";
import { reduce } from "./reduce.js";
import { scatterAdd } from "./scatter_add.js";
import { write } from "./write.js";

const records = {
  map,
  reduce,
  matmul,
  attention,
  conv,
  convGradInput,
  convGradWeight,
  pool,
  poolGrad,
  qmatmul,
  qconv,
  gather,
  scatterAdd,
  write,
};

export type KernelName = keyof typeof records;

type CallOfRecord<Record> = Record extends KernelRecord<infer Call> ? Call : never;

/** A call of the kernel with this name. */
export type CallOf<Name extends KernelName> = CallOfRecord<(typeof records)[Name]>;

/** A call of one kernel: its name, operands and sizes. */
export type KernelCall = CallOf<KernelName>;

/** One function per kernel. A missing kernel is a type error. */
export type KernelTable<More extends readonly unknown[], Result> = {
  readonly [Name in KernelName]: (call: CallOf<Name>, ...more: More) => Result;
};

/** The function of the call's kernel. */
export function entryOf<More extends readonly unknown[], Result>(
  table: KernelTable<More, Result>,
  { kernel }: KernelCall,
): (call: KernelCall, ...more: More) => Result {
  return table[kernel] as (call: KernelCall, ...more: More) => Result;
}

/** The record of the call's kernel. */
export function recordOf({ kernel }: KernelCall): KernelRecord<KernelCall> {
  return records[kernel] as unknown as KernelRecord<KernelCall>;
}
