/** Selection and comparison in every dtype, and conversion between all of them. */
import { type Case, float, integers, listed, specialValues, tails } from "./case.js";
import { ops } from "./ops.js";

const selected: readonly Case[] = [
  ...tails.map(
    (n): Case => ({
      name: `where [${n}]`,
      op: "where",
      inputs: [integers([n], 0, 2, "bool"), float([n]), float([n])],
      run: ([c, a, b]) => ops.where(c, a, b),
      torch: "torch.where(a, b, c)",
    }),
  ),
  {
    name: "where broadcast",
    op: "where",
    inputs: [integers([3, 1], 0, 2, "bool"), float([5]), float([2, 1, 1])],
    run: ([c, a, b]) => ops.where(c, a, b),
    torch: "torch.where(a, b, c)",
    reductionLength: 15,
  },
  {
    name: "where with numbers",
    op: "where",
    inputs: [integers([3, 3], 0, 2, "bool"), float([3, 3])],
    run: ([c, a]) => ops.where(c, a, -1),
    torch: "torch.where(a, b, -1.0)",
  },
  {
    name: "where views",
    op: "where",
    inputs: [
      integers([5, 6], 0, 2, "bool", "transposed"),
      float([5, 6], undefined, "flipped"),
      float([5, 6], undefined, "sliced"),
    ],
    run: ([c, a, b]) => ops.where(c, a, b),
    torch: "torch.where(a, b, c)",
  },
  {
    name: "where keeps NaN on the other side",
    op: "where",
    inputs: [integers([10], 0, 2, "bool"), listed(specialValues), listed([...specialValues].reverse())],
    run: ([c, a, b]) => ops.where(c, a, b),
    torch: "torch.where(a, b, c)",
    signedZero: true,
    kink: true,
  },
  ...(["int32", "uint8", "int8", "bool"] as const).map(
    (dtype): Case => ({
      name: `where ${dtype}`,
      op: "where",
      inputs: [
        integers([11], 0, 2, "bool"),
        integers([11], 0, dtype === "bool" ? 2 : 100, dtype),
        integers([11], 0, 2, dtype),
      ],
      run: ([c, a, b]) => ops.where(c, a, b),
      torch: "torch.where(a, b, c)",
    }),
  ),
  ...(["eq", "lt", "ge"] as const).flatMap((op) =>
    (["uint8", "int8", "bool"] as const).map(
      (dtype): Case => ({
        name: `${op} ${dtype}`,
        op,
        inputs: [
          integers([11], 0, dtype === "bool" ? 2 : 5, dtype),
          integers([11], 0, dtype === "bool" ? 2 : 5, dtype),
        ],
        run: ([a, b]) => ops[op](a, b),
        torch: `torch.${op}(a, b)`,
      }),
    ),
  ),
];

const dtypes = ["float32", "int32", "uint8", "int8", "bool"] as const;

const casts: readonly Case[] = [
  ...dtypes.flatMap((from) =>
    dtypes
      .filter((to) => to !== from)
      .map(
        (to): Case => ({
          name: `cast ${from} to ${to}`,
          op: "cast",
          inputs: [
            from === "float32"
              ? float([19], { between: [0, 100] })
              : integers([19], 0, from === "bool" ? 2 : 100, from),
          ],
          run: ([x]) => ops.cast(x, to),
          torch: `a.to(torch.${to === "float32" ? "float64" : to})`,
          gradient: false,
        }),
      ),
  ),
  {
    name: "cast float32 to int32 saturates",
    op: "cast",
    inputs: [listed([Number.NaN, Infinity, -Infinity, 3e9, -3e9, -1.9, 1.9, -0.5])],
    run: ([x]) => ops.cast(x, "int32"),
    torch: { none: "conversions that overflow are undefined in PyTorch" },
    gradient: false,
  },
  {
    name: "cast float32 to uint8 saturates",
    op: "cast",
    inputs: [listed([Number.NaN, Infinity, -Infinity, 300, -5, 255.9, -0.5])],
    run: ([x]) => ops.cast(x, "uint8"),
    torch: { none: "conversions that overflow are undefined in PyTorch" },
    gradient: false,
  },
  {
    name: "cast float32 to int8 saturates",
    op: "cast",
    inputs: [listed([Number.NaN, Infinity, -Infinity, 200, -200, 127.9, -128.9, -0.5])],
    run: ([x]) => ops.cast(x, "int8"),
    torch: { none: "conversions that overflow are undefined in PyTorch" },
    gradient: false,
  },
  {
    name: "cast int32 to uint8 wraps",
    op: "cast",
    inputs: [listed([255, 256, 300, -1, -129], "int32")],
    run: ([x]) => ops.cast(x, "uint8"),
    torch: "a.to(torch.uint8)",
  },
  {
    name: "cast int32 to int8 wraps",
    op: "cast",
    inputs: [listed([127, 128, 255, 256, -129, -1], "int32")],
    run: ([x]) => ops.cast(x, "int8"),
    torch: "a.to(torch.int8)",
  },
  {
    name: "cast NaN to bool",
    op: "cast",
    inputs: [listed(specialValues)],
    run: ([x]) => ops.cast(x, "bool"),
    torch: "a.to(torch.bool)",
    gradient: false,
  },
];

export const selection: readonly Case[] = [...selected, ...casts];
