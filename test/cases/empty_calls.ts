/** Every kernel with each of its extents zero in turn, as Programs of one call: no trap, and outputs of empty reductions. */

import { type DType, newArray } from "../../src/core/dtype.js";
import { sizeOf } from "../../src/core/shape.js";
import { rowMajor } from "../../src/core/view.js";
import type { Device } from "../../src/device/device.js";
import type { Epilogue } from "../../src/kernels/epilogue.js";
import type { Instruction, KernelCall, Operand, Program } from "../../src/kernels/kernel.js";
import { packedBytes, packedConvBytes } from "../../src/kernels/packed.js";

/** Allocates operands of a call. */
class Leaves {
  readonly slots: { dtype: DType; size: number; offset: number }[] = [];

  of(dtype: DType, ...shape: number[]): Operand {
    const slot = this.slots.push({ dtype, size: sizeOf(shape), offset: -1 }) - 1;
    return { slot, dtype, view: rowMajor(shape) };
  }
}

type Extents<Name extends string> = Readonly<Record<Name, number>>;

interface Template {
  readonly extents: Readonly<Record<string, number>>;
  build(extents: never, leaves: Leaves): KernelCall;
}

function template<Name extends string>(
  extents: Extents<Name>,
  build: (extents: Extents<Name>, leaves: Leaves) => KernelCall,
): Template {
  return { extents, build };
}

const geometry = { stride: [1, 1], padding: [1, 1], dilation: [1, 1] } as const;
const convolutions = (["conv", "convGradInput", "convGradWeight"] as const).flatMap((kernel) =>
  [1, 2].map((groups): [string, Template] => [
    `${kernel} in ${groups}`,
    template({ n: 2, c: 4, h: 5, w: 4, o: 6, kh: 3, kw: 2 }, ({ n, c, h, w, o, kh, kw }, leaves) => ({
      kernel,
      input: leaves.of("float32", n, c, h, w),
      weight: leaves.of("float32", o, c / groups, kh, kw),
      output: leaves.of("float32", n, o, Math.max(h + 3 - kh, 0), Math.max(w + 3 - kw, 0)),
      geometry: { ...geometry, groups },
    })),
  ]),
);
const reductions = (["sum", "max", "min", "prod", "argmax", "argmin"] as const).flatMap((op) =>
  (["float32", "int32"] as const).map((dtype): [string, Template] => [
    `reduce ${op} ${dtype}`,
    template({ a: 3, b: 5, c: 4 }, ({ a, b, c }, leaves) => ({
      kernel: "reduce",
      op,
      shape: [a, b, c],
      axes: [1],
      inputs: [leaves.of(dtype, a, b, c)],
      expression: { instructions: [{ op: "load", dtype, args: [], index: 0 }], results: [0] },
      output: leaves.of(op.startsWith("arg") ? "int32" : dtype, a, 1, c),
    })),
  ]),
);
const pools = (["max", "average", "argmax"] as const).flatMap((op) => {
  const window = { kernel: [2, 2], stride: [2, 2], padding: [0, 0], countIncludePad: true } as const;
  const extents = { n: 2, c: 3, h: 4, w: 6 };
  const forward = template(extents, ({ n, c, h, w }, leaves) => ({
    kernel: "pool",
    op,
    input: leaves.of("float32", n, c, h, w),
    output: leaves.of(op === "argmax" ? "int32" : "float32", n, c, h / 2, w / 2),
    geometry: window,
  }));
  if (op === "argmax") return [[`pool ${op}`, forward]] as [string, Template][];
  const backward = template({ ...extents, oh: 2, ow: 3 }, ({ n, c, h, w, oh, ow }, leaves) => ({
    kernel: "poolGrad",
    op,
    ...(op === "max" && { input: leaves.of("float32", n, c, h, w) }),
    gradOutput: leaves.of("float32", n, c, h === 0 ? 0 : oh, w === 0 ? 0 : ow),
    gradInput: leaves.of("float32", n, c, h, w),
    geometry: window,
  }));
  return [
    [`pool ${op}`, forward],
    [`poolGrad ${op}`, backward],
  ] as [string, Template][];
});
/** int32 values [n, channels, ...] as int8, by the scales of the channels. */
function rounding(shape: readonly number[], scales: Operand, zeroPoint: number): Epilogue {
  const along = { shape, strides: shape.map((_, dim) => (dim === 1 ? 1 : 0)), offset: 0 };
  const instructions: Instruction[] = [
    { op: "load", dtype: "int32", args: [], index: 0 },
    { op: "cast", dtype: "float32", args: [0] },
    { op: "load", dtype: "float32", args: [], index: 1 },
    { op: "roundedMul", dtype: "float32", args: [1, 2] },
    { op: "relu", dtype: "float32", args: [3] },
    { op: "round", dtype: "float32", args: [4] },
    { op: "constant", dtype: "float32", args: [], value: zeroPoint },
    { op: "add", dtype: "float32", args: [5, 6] },
    { op: "cast", dtype: "int8", args: [7] },
  ];
  return { shape, inputs: [{ ...scales, view: along }], expression: { instructions, results: [8] } };
}

/** What a product with values of `dtype` writes; int8 values come from an epilogue, which calls over nothing do not have. */
function ending(
  dtype: "int32" | "int8" | "float32",
  shape: number[],
  isOverNothing: boolean,
  leaves: Leaves,
) {
  if (dtype !== "int8" || isOverNothing) {
    return { output: leaves.of(dtype === "int8" ? "int32" : dtype, ...shape) };
  }
  const scales = leaves.of("float32", shape[1]);
  return { epilogue: rounding(shape, scales, -3), output: leaves.of("int8", ...shape) };
}

const products = ([8, 4] as const).flatMap((bits) =>
  (bits === 4 ? (["float32"] as const) : (["int32", "int8", "float32"] as const)).map(
    (dtype): [string, Template] => [
      `qmatmul ${bits} bits ${dtype}`,
      template({ m: 3, k: 32, n: 9 }, ({ m, k, n }, leaves) => {
        const format = bits === 4 ? ({ bits, groupSize: 32 } as const) : ({ bits } as const);
        const groups = k / 32;
        return {
          kernel: "qmatmul",
          input: leaves.of("int8", m, k),
          weight: leaves.of("int32", Math.ceil(packedBytes(n, k, format) / 4)),
          format,
          ...(dtype === "float32" && {
            scales: bits === 4 ? leaves.of("float32", Math.ceil(n / 8), groups, 8) : leaves.of("float32", n),
          }),
          ...(bits === 8 && { offsets: leaves.of("int32", n) }),
          ...(dtype === "float32" && {
            inputScales: bits === 4 ? leaves.of("float32", m, groups) : leaves.of("float32", m),
          }),
          ...ending(dtype, [m, n], k === 0, leaves),
        };
      }),
    ],
  ),
);
const qconvs = (["int32", "int8", "float32"] as const).map((dtype): [string, Template] => [
  `qconv ${dtype}`,
  template({ n: 2, c: 4, h: 5, w: 4, o: 6 }, ({ n, c, h, w, o }, leaves) => {
    const extents = { shape: [o, c, 3, 3], groups: 1 } as const;
    return {
      kernel: "qconv",
      input: leaves.of("int8", n, c, h, w),
      weight: leaves.of("int32", Math.ceil(packedConvBytes(extents, { bits: 8 }) / 4)),
      format: { bits: 8 },
      kernelSize: [3, 3],
      geometry: { ...geometry, groups: 1 },
      inputZeroPoint: 2,
      ...(dtype === "float32" && {
        scales: leaves.of("float32", o),
        inputScales: leaves.of("float32", n),
      }),
      offsets: leaves.of("int32", o),
      ...ending(dtype, [n, o, h, w], c === 0, leaves),
    };
  }),
]);
const indexing = (["gather", "scatterAdd"] as const).map((kernel): [string, Template] => [
  kernel,
  template({ a: 3, b: 4, axis: 5 }, ({ a, b, axis }, leaves) => {
    const long: Operand = leaves.of("float32", axis, b);
    const along = { ...long, view: { shape: [a, b], strides: [0, 1], offset: 0 } };
    const short = leaves.of("float32", a, b);
    return {
      kernel,
      shape: [a, b],
      source: kernel === "gather" ? along : short,
      index: leaves.of("int32", a, b),
      output: kernel === "gather" ? short : along,
      axisStride: b,
      axisSize: axis,
    };
  }),
]);

const templates: readonly (readonly [string, Template])[] = [
  [
    "map",
    template({ a: 3, b: 5 }, ({ a, b }, leaves) => ({
      kernel: "map",
      shape: [a, b],
      inputs: [leaves.of("float32", a, b)],
      outputs: [leaves.of("float32", a, b)],
      expression: {
        instructions: [
          { op: "load", dtype: "float32", args: [], index: 0 },
          { op: "neg", dtype: "float32", args: [0] },
        ],
        results: [1],
      },
    })),
  ],
  ...reductions,
  [
    "matmul",
    template({ batch: 2, m: 3, k: 5, n: 9 }, ({ batch, m, k, n }, leaves) => ({
      kernel: "matmul",
      a: leaves.of("float32", batch, m, k),
      b: leaves.of("float32", batch, k, n),
      output: leaves.of("float32", batch, m, n),
    })),
  ],
  [
    "attention",
    template({ batch: 2, rows: 3, keys: 5, d: 6 }, ({ batch, rows, keys, d }, leaves) => ({
      kernel: "attention",
      q: leaves.of("float32", batch, rows, 4),
      k: leaves.of("float32", batch, keys, 4),
      v: leaves.of("float32", batch, keys, d),
      mask: leaves.of("bool", batch, rows, keys),
      output: leaves.of("float32", batch, rows, d),
      scale: 0.5,
      causal: false,
    })),
  ],
  ...convolutions,
  ...pools,
  ...products,
  ...qconvs,
  ...indexing,
];

export interface EmptyCall {
  readonly name: string;
  readonly program: Program;
}

/** Each template with none and with each of its extents zero. */
export const emptyCalls: readonly EmptyCall[] = templates.flatMap(([name, { extents, build }]) =>
  ["nothing", ...Object.keys(extents)].map((zero) => {
    const leaves = new Leaves();
    const call = build({ ...extents, [zero]: 0 } as never, leaves);
    const { slots } = leaves;
    const cost = { flops: 0, bytes: 0 };
    const program = { calls: [call], slots, leafCount: slots.length, scalars: [], arenaBytes: 0, cost };
    return { name: `${name}, ${zero} zero`, program };
  }),
);

/** All leaves after the run, of inputs that are small integers, 0, 1, 2, …, and positive scales; or the error. */
export async function runEmptyCall({ program }: EmptyCall, device: Device): Promise<string> {
  const buffers = program.slots.map(({ dtype, size }) => device.allocate(dtype, size));
  program.slots.forEach(({ dtype, size }, slot) => {
    const values = newArray(dtype, size);
    for (let i = 0; i < size; i++) values[i] = dtype === "bool" ? 1 : (i * 7 + slot) % 5;
    device.write(buffers[slot], values);
  });
  const executable = device.prepare(program);
  device.run(executable, buffers, []);
  const found: string[] = [];
  for (const buffer of buffers) {
    const read = device.read(buffer).then(
      (values) => Array.from(values, (value) => Number(value.toPrecision(5)) + 0).join(),
      (error: unknown) => String(error),
    );
    found.push(await read);
    device.free(buffer);
  }
  device.release(executable);
  return found.join("; ");
}
