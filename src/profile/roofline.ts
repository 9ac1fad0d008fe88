/**
 * The roofline of a device (Williams, Waterman, Patterson, CACM 2009): attainable FLOPs per second by arithmetic intensity, from its
 * measured peak FLOPs and bandwidth.
 */

import { aNumber, anObject, check, checkAll } from "../core/check.js";
import { type Shape, sizeOf } from "../core/shape.js";
import { rowMajor } from "../core/view.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, deviceNamed } from "../device/select.js";
import { costOf } from "../kernels/cost.js";
import type { KernelCall, Operand, Program } from "../kernels/kernel.js";
import { operandsOf } from "../kernels/operands.js";
import { timeCall } from "./replay.js";

/** The measured limits of a device (Williams, Waterman and Patterson 2009). */
export interface Roofline {
  readonly device: string;
  /** FLOPs per second of the fastest square product. */
  readonly peakFlops: number;
  /** Bytes per second of the fastest copy that exceeds the caches. */
  readonly peakBandwidth: number;
  /** Arithmetic intensity in FLOPs per byte above which computation is the limit. */
  readonly ridge: number;
  /** Measured matrix products. */
  readonly products: readonly Point[];
  /** Measured copies. */
  readonly copies: readonly Point[];
}

/** A measurement: the edge of a product or the elements of a copy, and the rate reached. */
export interface Point {
  readonly size: number;
  readonly seconds: number;
  /** FLOPs or bytes per second. */
  readonly rate: number;
}

const productSizes = [128, 256, 512, 1024];
/** 4 to 64 MB; the larger sizes exceed the caches. */
const copySizes = [1 << 20, 1 << 22, 1 << 24];
/** Once a size takes this long, larger ones are skipped: the reference device is slow. */
const patienceSeconds = 0.2;
const repetitions = 3;

/**
 * Measures the peak FLOPs and memory bandwidth of a device, which takes some seconds. Other load on the machine lowers them.
 *
 * @throws OutOfMemoryError if not even the smallest sizes fit.
 * @example
 * const roof = await roofline(await openDevice("wasm"));
 * roof.ridge > 0; // true
 * attainable(roof, 2 * roof.ridge) === roof.peakFlops; // true
 */
export async function roofline(target: Device | DeviceChoice): Promise<Roofline> {
  const device = await deviceNamed("roofline", target);
  const products = await rates(device, productSizes, squareProduct, "flops");
  const copies = await rates(device, copySizes, copy, "bytes");
  const peakFlops = Math.max(...products.map(({ rate }) => rate));
  // Small copies may run in a cache; only the largest measures memory.
  const peakBandwidth = copies.at(-1)!.rate;
  return {
    device: device.info.description,
    peakFlops,
    peakBandwidth,
    ridge: peakFlops / peakBandwidth,
    products,
    copies,
  };
}

/**
 * Maximum FLOPs per second at this arithmetic intensity (FLOPs per byte): min(peak, intensity · bandwidth).
 *
 * @example
 * const roof = { device: "wasm", peakFlops: 4e10, peakBandwidth: 1e10, ridge: 4, products: [], copies: [] };
 * attainable(roof, 2); // 2e10
 */
export function attainable(roof: Roofline, intensity: number): number {
  const { peakFlops, peakBandwidth } = check("attainable", "the roofline", roof, anObject);
  checkAll("attainable", { peakFlops, peakBandwidth, intensity }, aNumber);
  return Math.min(peakFlops, peakBandwidth * intensity);
}

async function rates(
  device: Device,
  sizes: readonly number[],
  callOf: (size: number) => KernelCall,
  unit: "flops" | "bytes",
): Promise<Point[]> {
  const points: Point[] = [];
  for (const size of sizes) {
    const program = alone(callOf(size));
    let seconds: number;
    try {
      seconds = await timeCall(device, program, [], repetitions);
    } catch (error) {
      // Exceeds the device's memory or texture size: use the smaller sizes.
      if (points.length === 0) throw error;
      break;
    }
    points.push({ size, seconds, rate: costOf(program, device.info)[unit] / seconds });
    if (seconds > patienceSeconds) break;
  }
  return points;
}

/** A Program of this one call; each operand fills its slot. */
function alone(call: KernelCall): Program {
  const { reads, writes } = operandsOf(call);
  const operands = [...reads, ...writes].sort((a, b) => a.slot - b.slot);
  return {
    calls: [call],
    slots: operands.map(({ dtype, view }) => ({ dtype, size: sizeOf(view.shape), offset: -1 })),
    leafCount: operands.length,
    scalars: [],
    arenaBytes: 0,
  };
}

function squareProduct(size: number): KernelCall {
  const [a, b, output] = [0, 1, 2].map((slot) => operand(slot, [size, size]));
  return { kernel: "matmul", a, b, output };
}

function copy(size: number): KernelCall {
  const shape = [size];
  return {
    kernel: "map",
    shape,
    inputs: [operand(0, shape)],
    outputs: [operand(1, shape)],
    expression: { instructions: [{ op: "load", dtype: "float32", args: [], index: 0 }], results: [0] },
  };
}

function operand(slot: number, shape: Shape): Operand {
  return { slot, dtype: "float32", view: rowMajor(shape) };
}
