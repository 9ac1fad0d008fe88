/** Matrix products, convolutions and their gradients: random geometries and layouts against the reference. */
import fc from "fast-check";
import { describe, it } from "vitest";
import type { Shape } from "../../src/core/shape.js";
import type { AttentionCall, ConvGeometry, KernelCall, Operand } from "../../src/kernels/kernel.js";
import { uniform } from "../cases/generate.js";
import { examples, propertyTimeout } from "../compiler/properties.js";
import { devices, reference } from "../devices.js";
import { type ChosenEpilogue, epilogueOf, epilogues } from "./epilogues.js";
import { expectSame, input, type Leaf, layouts, output, plain, slotOf, sumTolerance } from "./layout.js";

const dense = plain([0, 1, 2, 3, 4, 5]);
/** [N, C, H, W] as [N, H, W, C] in memory. */
const channelsLast = plain([0, 3, 1, 2, 4, 5]);

/** Numbers in [-1, 1). */
const values = (seed: number) => (i: number) => Math.fround(2 * uniform(seed, i) - 1);

const read = layouts({ reversible: true });
const written = layouts({ reversible: false });
const small = fc.integer({ min: 1, max: 9 });

/** Extents around the tiles (4 and 8) and, one at a time, around the blocks (128, 256 and 2048) of the matrix product. */
const extents = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.nat(20), fc.nat(20), fc.nat(20)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.integer({ min: 1, max: 9 }),
        small,
        small,
        fc.constantFrom(127, 129, 255, 257, 2047, 2050),
        fc.nat(2),
      )
      .map(([m, k, n, long, at]) => [m, k, n].with(at, long) as [number, number, number]),
  },
  { weight: 1, arbitrary: fc.constantFrom([130, 260, 12], [33, 300, 70], [5, 5, 4100]) },
);

const products = fc.record({
  extents,
  batch: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }),
  /** Which batch dimensions of a and b are broadcast. */
  broadcast: fc.array(fc.constantFrom("neither", "a", "b"), { minLength: 2, maxLength: 2 }),
  epilogue: epilogues(read),
  layouts: fc.tuple(read, read, fc.oneof(fc.constant(dense), written)),
});

/** Rows and keys around the block (32) and the terms of a sum (256), widths around the tile (8). */
const attentions = fc.record({
  rows: fc.oneof({ weight: 3, arbitrary: small }, { weight: 1, arbitrary: fc.constantFrom(31, 32, 35, 66) }),
  keys: fc.oneof({ weight: 3, arbitrary: small }, { weight: 1, arbitrary: fc.constantFrom(33, 257, 300) }),
  widths: fc.tuple(fc.integer({ min: 1, max: 18 }), fc.integer({ min: 0, max: 18 })),
  batch: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 2 }),
  /** Which operands have no batch of their own along each dimension. */
  shared: fc.array(fc.constantFrom("", "q", "k", "v", "kv", "mask"), { minLength: 2, maxLength: 2 }),
  causal: fc.boolean(),
  mask: fc.constantFrom("none", "float32", "float32 rows", "float32 keys", "bool"),
  layouts: fc.tuple(read, read, read, read, written),
});

/** The operand as one of `shape`: extents of 1 and missing batches are broadcast. */
function stretched({ operand }: Leaf, shape: Shape): Operand {
  const { shape: own, strides, offset } = operand.view;
  const lead = shape.length - own.length;
  const along = shape.map((extent, d) => (d < lead || own[d - lead] !== extent ? 0 : strides[d - lead]));
  return { ...operand, view: { shape, strides: along, offset } };
}

/** Channels per group: ordinary, depthwise, and the whole image as one group. */
const channels = fc.record({
  groups: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 9 })),
  inputs: fc.oneof(fc.constant(1), small),
  outputs: fc.oneof(fc.constant(1), small, fc.integer({ min: 10, max: 17 })),
});

/** Each link of a chain may scale an error by the size of a product's sum, and round. */
function epilogueTolerance({ links }: ChosenEpilogue, terms: number): number {
  const factors = links.filter(({ op, other }) => op === "mul" && other === "own").length;
  return sumTolerance(terms + 1) * (terms + 1) ** factors * (links.length + 1);
}

const pair = (one: fc.Arbitrary<number>) => fc.tuple(one, one);

const convolutions = fc
  .record({
    kernel: fc.constantFrom("conv" as const, "convGradInput" as const, "convGradWeight" as const),
    batch: fc.integer({ min: 0, max: 3 }),
    channels,
    taps: pair(fc.integer({ min: 1, max: 4 })),
    stride: pair(fc.constantFrom(1, 1, 2, 3)),
    padding: pair(fc.constantFrom(0, 0, 1, 2, 3)),
    dilation: pair(fc.constantFrom(1, 1, 2, 3)),
    outputs: pair(small),
    /** Rows and columns that no window reaches. */
    rest: pair(fc.nat(2)),
    epilogue: epilogues(read),
    layouts: fc.tuple(read, read, fc.oneof(fc.constant(channelsLast), written)),
  })
  .map(({ outputs, taps, stride, padding, dilation, rest, ...more }) => {
    const image = outputs.map(
      (extent, d) =>
        (extent - 1) * stride[d] + dilation[d] * (taps[d] - 1) + 1 - 2 * padding[d] + (rest[d] % stride[d]),
    );
    return { ...more, outputs, taps, stride, padding, dilation, image };
  })
  .filter(({ image }) => image.every((extent) => extent > 0));

for (const { label, device } of devices) {
  if (device === reference) continue;
  describe(`products on ${label}`, () => {
    it(
      "multiplies matrices of any extents and layouts",
      async () => {
        const property = fc.asyncProperty(products, async (chosen) => {
          const { extents, batch, broadcast, epilogue, layouts: chosenLayouts } = chosen;
          const [m, k, n] = extents;
          const batchOf = (name: string) => batch.map((extent, d) => (broadcast[d] === name ? 1 : extent));
          const leaves = [
            input(slotOf(0), [...batchOf("a"), m, k], chosenLayouts[0], values(1)),
            input(slotOf(1), [...batchOf("b"), k, n], chosenLayouts[1], values(2)),
            output(slotOf(2), [...batch, m, n], chosenLayouts[2]),
          ];
          const expanded = (number: number, shape: Shape) => stretched(leaves[number], shape);
          const call: KernelCall = {
            kernel: "matmul",
            a: expanded(0, [...batch, m, k]),
            b: expanded(1, [...batch, k, n]),
            output: leaves[2].operand,
            // Products over nothing have no epilogue.
            ...(k > 0 && {
              epilogue: epilogueOf(epilogue, [...batch, m, n], batch.length + 1, leaves, values),
            }),
          };
          await expectSame(device, call, leaves, epilogueTolerance(epilogue, k));
        });
        await fc.assert(property, examples(300));
      },
      propertyTimeout,
    );

    it(
      "attends with any extents, masks and layouts",
      async () => {
        const property = fc.asyncProperty(attentions, async (chosen) => {
          const { rows, keys, widths, batch, shared, causal, mask: kind, layouts: chosenLayouts } = chosen;
          const [width, valueWidth] = widths;
          const batchOf = (name: string) =>
            batch.map((extent, d) => (name !== "" && shared[d].includes(name) ? 1 : extent));
          const leaves = [
            input(slotOf(0), [...batchOf("q"), rows, width], chosenLayouts[0], values(1)),
            input(slotOf(1), [...batchOf("k"), keys, width], chosenLayouts[1], values(2)),
            input(slotOf(2), [...batchOf("v"), keys, valueWidth], chosenLayouts[2], values(3)),
            output(slotOf(3), [...batch, rows, valueWidth], chosenLayouts[4]),
          ];
          if (kind !== "none") {
            const own = [kind === "float32 keys" ? 1 : rows, kind === "float32 rows" ? 1 : keys];
            const shape = [...batchOf("mask"), ...own];
            const drawn = values(4);
            const isBool = kind === "bool";
            leaves.push(
              input(
                slotOf(4),
                shape,
                chosenLayouts[3],
                isBool ? (i) => Number(drawn(i) < 0.6) : drawn,
                isBool ? "bool" : "float32",
              ),
            );
          }
          const call: AttentionCall = {
            kernel: "attention",
            q: stretched(leaves[0], [...batch, rows, width]),
            k: stretched(leaves[1], [...batch, keys, width]),
            v: stretched(leaves[2], [...batch, keys, valueWidth]),
            mask: kind === "none" ? undefined : stretched(leaves[4], [...batch, rows, keys]),
            output: leaves[3].operand,
            scale: 0.7,
            causal,
          };
          await expectSame(device, call, leaves, sumTolerance(keys + width));
        });
        await fc.assert(property, examples(300));
      },
      propertyTimeout,
    );

    it(
      "convolves images of any geometry and layout, and gives both gradients",
      async () => {
        const property = fc.asyncProperty(convolutions, async (chosen) => {
          const { kernel, batch, channels, taps, image, outputs, layouts: chosenLayouts } = chosen;
          const { groups } = channels;
          const shapes = {
            input: [batch, groups * channels.inputs, ...image],
            weight: [groups * channels.outputs, channels.inputs, ...taps],
            output: [batch, groups * channels.outputs, ...outputs],
          };
          const computed = { conv: "output", convGradInput: "input", convGradWeight: "weight" } as const;
          const names = ["input", "weight", "output"] as const;
          const others = names.filter((name) => name !== computed[kernel]);
          const leaves = [
            input(slotOf(0), shapes[others[0]], chosenLayouts[0], values(1)),
            input(slotOf(1), shapes[others[1]], chosenLayouts[1], values(2)),
            output(slotOf(2), shapes[computed[kernel]], chosenLayouts[2]),
          ];
          const operandOf = (name: (typeof names)[number]) =>
            leaves[name === computed[kernel] ? 2 : others.indexOf(name)].operand;
          const geometry: ConvGeometry = { ...chosen, groups };
          const call: KernelCall = {
            kernel,
            input: operandOf("input"),
            weight: operandOf("weight"),
            output: operandOf("output"),
            geometry,
            ...(kernel === "conv" && {
              epilogue: epilogueOf(chosen.epilogue, shapes.output, 1, leaves, values),
            }),
          };
          const terms =
            kernel === "convGradWeight"
              ? batch * outputs[0] * outputs[1]
              : taps[0] * taps[1] * (kernel === "conv" ? channels.inputs : channels.outputs);
          const tolerance =
            kernel === "conv" ? epilogueTolerance(chosen.epilogue, terms) : sumTolerance(terms);
          await expectSame(device, call, leaves, tolerance);
        });
        await fc.assert(property, examples(300));
      },
      propertyTimeout,
    );
  });
}
