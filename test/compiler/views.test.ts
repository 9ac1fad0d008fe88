/** Chains of views: strides, copies if no strides express a view, and kernels that read through both. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Shape } from "../../src/core/shape.js";
import { sizeOf } from "../../src/core/shape.js";
import {
  denseInOrder,
  expandView,
  isDense,
  isRowMajor,
  memoryOrder,
  permuteView,
  reshapeView,
  rowMajor,
  type SliceRange,
  sliceView,
  type View,
} from "../../src/core/view.js";
import type { Tensor } from "../../src/graph/tensor.js";
import * as ops from "../../src/ops/index.js";
import { readExact } from "../../src/runtime/host_data.js";
import { realize } from "../../src/runtime/realize.js";
import { devices } from "../devices.js";
import { examples, propertyTimeout } from "./properties.js";

/** The elements of a view by row-major index: their positions in memory. */
interface Elements {
  readonly shape: Shape;
  readonly positions: readonly number[];
}

/** One link of a chain: on strided views, on lists of positions, and on tensors. */
interface Link {
  readonly name: string;
  view(view: View): View | null;
  model(elements: Elements): Elements;
  tensor(x: Tensor): Tensor;
}

function indexOf(shape: Shape, index: readonly number[]): number {
  return shape.reduce((sum, extent, d) => sum * extent + index[d], 0);
}

/** Elements of `shape`, each taken from `from` at the index that `source` gives. */
function rearranged(from: Elements, shape: Shape, source: (index: number[]) => number[]): Elements {
  const positions = Array.from({ length: sizeOf(shape) }, (_, i) => {
    let rest = i;
    const index = shape.map(() => 0);
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d] = rest % shape[d];
      rest = Math.floor(rest / shape[d]);
    }
    return from.positions[indexOf(from.shape, source(index))];
  });
  return { shape, positions };
}

function permuteLink({ shape }: Elements, picks: readonly number[]): Link {
  const dims = shape.map((_, d) => d);
  for (let d = dims.length - 1; d > 0; d--) {
    const other = picks[d] % (d + 1);
    [dims[d], dims[other]] = [dims[other], dims[d]];
  }
  return {
    name: `permute ${dims}`,
    view: (view) => permuteView(view, dims),
    model: (from) =>
      rearranged(
        from,
        dims.map((d) => from.shape[d]),
        (index) => from.shape.map((_, d) => index[dims.indexOf(d)]),
      ),
    tensor: (x) => ops.permute(x, dims),
  };
}

function expandLink({ shape }: Elements, picks: readonly number[]): Link {
  const lead = picks[0] % 2;
  const target = [
    ...Array<number>(lead).fill(1 + (picks[1] % 3)),
    ...shape.map((extent, d) => (extent === 1 && picks[d + 2] % 2 === 0 ? 2 + (picks[d + 2] % 3) : extent)),
  ];
  return {
    name: `expand ${target}`,
    view: (view) => expandView(view, target),
    model: (from) =>
      rearranged(from, target, (index) =>
        from.shape.map((extent, d) => (extent === 1 ? 0 : index[d + lead])),
      ),
    tensor: (x) => ops.expand(x, target),
  };
}

function sliceLink({ shape }: Elements, picks: readonly number[]): Link {
  const ranges = shape.map((extent, d): SliceRange => {
    const [pick, step] = [picks[d], [1, 1, -1, 2, -2][picks[d + 1] % 5]];
    const [a, b] = [pick % (extent + 1), (pick >> 4) % (extent + 1)];
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    const length = Math.ceil((high - low) / Math.abs(step));
    return { start: length === 0 ? 0 : step > 0 ? low : high - 1, length, step };
  });
  const name = ranges.map(({ start, length, step }) => `${start}+${length}*${step}`);
  return {
    name: `slice ${name}`,
    view: (view) => sliceView(view, ranges),
    model: (from) =>
      rearranged(
        from,
        ranges.map(({ length }) => length),
        (index) => index.map((i, d) => ranges[d].start + i * ranges[d].step),
      ),
    tensor: (x) =>
      ranges.reduce((y, { start, length, step }, d) => {
        const last = start + length * step;
        const stop = step < 0 && last < 0 ? undefined : last;
        return length === 0 ? ops.narrow(y, d, 0, 0) : ops.slice(y, d, start, stop, step);
      }, x),
  };
}

function reshapeLink({ shape }: Elements, picks: readonly number[]): Link {
  const target = [...shape];
  const d = picks[0] % (shape.length + 1);
  if (picks[1] % 3 === 0) target.splice(d, 0, 1);
  else if (picks[1] % 3 === 1 && d + 1 < target.length) target.splice(d, 2, target[d] * target[d + 1]);
  else if (d < target.length) {
    const divisor = [2, 3, 5].find((n) => target[d] % n === 0 && target[d] > 0) ?? 1;
    target.splice(d, 1, divisor, target[d] / divisor);
  }
  return {
    name: `reshape ${target}`,
    view: (view) => reshapeView(view, target),
    model: ({ positions }) => ({ shape: target, positions }),
    tensor: (x) => ops.reshape(x, target),
  };
}

const makers = [permuteLink, permuteLink, expandLink, sliceLink, reshapeLink, reshapeLink];

interface Chain {
  readonly shape: Shape;
  readonly links: readonly Link[];
  /** What each link gives, from the whole tensor on. */
  readonly elements: readonly Elements[];
}

const pick = fc.nat({ max: 1 << 12 });
const shapes = fc.array(fc.constantFrom(1, 2, 3, 4, 6), { minLength: 1, maxLength: 4 });
const linkPicks = fc.array(fc.array(pick, { minLength: 10, maxLength: 10 }), {
  minLength: 1,
  maxLength: 7,
  size: "max",
});

function chainOf(shape: Shape, list: readonly (readonly number[])[]): Chain {
  const elements: Elements[] = [{ shape, positions: Array.from({ length: sizeOf(shape) }, (_, i) => i) }];
  const links: Link[] = [];
  for (const [maker, ...picks] of list) {
    const from = elements[elements.length - 1];
    const link = makers[maker % makers.length](from, picks);
    const next = link.model(from);
    if (next.shape.length > 6 || next.positions.length > 2000) continue;
    links.push(link);
    elements.push(next);
  }
  return { shape, links, elements };
}

function positionsOf({ shape, strides, offset }: View): number[] {
  let positions = [offset];
  shape.forEach((extent, d) => {
    positions = positions.flatMap((at) => Array.from({ length: extent }, (_, i) => at + i * strides[d]));
  });
  return positions;
}

describe("strided views", () => {
  it("a chain visits the elements that the copied tensors hold", () => {
    fc.assert(
      fc.property(shapes, linkPicks, (shape, picks) => {
        const { links, elements } = chainOf(shape, picks);
        // A view that strides cannot express starts anew from a copy.
        let view = rowMajor(shape);
        let memory: readonly number[] = elements[0].positions;
        links.forEach((link, i) => {
          let next = link.view(view);
          if (next === null) {
            memory = elements[i].positions;
            next = link.view(rowMajor(view.shape));
          }
          expect(next, link.name).not.toBeNull();
          view = next!;
          expect(view.shape, link.name).toEqual(elements[i + 1].shape);
          expect(
            positionsOf(view).map((at) => memory[at]),
            link.name,
          ).toEqual(elements[i + 1].positions);
        });
      }),
      examples(500),
    );
  });

  it("a reshape is refused only where no strides exist", () => {
    fc.assert(
      fc.property(shapes, linkPicks, (shape, picks) => {
        const { links, elements } = chainOf(shape, picks);
        let view: View | null = rowMajor(shape);
        for (const [i, link] of links.entries()) {
          const next: View | null = link.view(view);
          if (next === null) {
            expect(
              hasStrides(elements[i + 1]),
              `${link.name} after ${links.slice(0, i).map((l) => l.name)}`,
            ).toBe(false);
            return;
          }
          view = next;
        }
      }),
      examples(500),
    );
  });

  it("density and memory order agree with the positions", () => {
    fc.assert(
      fc.property(shapes, linkPicks, (shape, picks) => {
        const { links } = chainOf(shape, picks);
        let view: View = rowMajor(shape);
        for (const link of links) view = link.view(view) ?? rowMajor(view.shape);
        const positions = positionsOf(view);
        const sorted = [...positions].sort((a, b) => a - b);
        const consecutive = sorted.every((at, i) => at === view.offset + i);
        // Of an empty view both may be said.
        if (positions.length === 0) return;
        expect(isRowMajor(view)).toBe(positions.every((at, i) => at === view.offset + i));
        expect(isDense(view)).toBe(consecutive);
        const again = denseInOrder(view.shape, memoryOrder(view));
        if (isDense(view)) expect(positionsOf(again)).toEqual(positions.map((at) => at - view.offset));
      }),
      examples(500),
    );
  });
});

/** Whether one step per dimension explains all positions. */
function hasStrides({ shape, positions }: Elements): boolean {
  if (positions.length === 0) return true;
  const strides = shape.map((extent, d) => {
    const unit = shape.map((_, i) => (i === d ? 1 : 0));
    return extent > 1 ? positions[indexOf(shape, unit)] - positions[0] : 0;
  });
  const view: View = { shape, strides, offset: positions[0] };
  return positionsOf(view).every((at, i) => at === positions[i]);
}

describe("kernels that read through chains of views", () => {
  for (const { label, device } of devices) {
    it(
      `copies, maps, reductions and products on ${label}`,
      async () => {
        await fc.assert(
          fc.asyncProperty(shapes, linkPicks, linkPicks, async (shape, picks, others) => {
            // Two chains from one tensor, in one Program, so that copies for one must not serve the other.
            const chains = [chainOf(shape, picks), chainOf(shape, others)];
            const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => i % 97);
            const x = ops.tensor(data, { device, shape });
            const results: { name: string; tensor: Tensor; expected: number[] }[] = [];
            for (const { links, elements } of chains) {
              const values = elements[elements.length - 1].positions.map((at) => data[at]);
              const plus = values.map((value) => 2 * value + 1);
              const tensors = [x, ops.add(ops.mul(x, 2), 1)].map((from) =>
                links.reduce((y, link) => link.tensor(y), from),
              );
              const name = `${shape}: ${links.map((link) => link.name).join(", ")}`;
              const scaled = ops.add(ops.mul(tensors[0], 2), 1);
              results.push({ name: `${name}, copied`, tensor: ops.add(tensors[0], 0), expected: values });
              results.push({ name: `${name}, mapped after`, tensor: scaled, expected: plus });
              results.push({
                name: `${name}, mapped before`,
                tensor: ops.add(tensors[1], 0),
                expected: plus,
              });
              const sum = values.reduce((a, b) => a + b, 0);
              results.push({ name: `${name}, summed`, tensor: ops.sum(tensors[0]), expected: [sum] });
              const columns = ops.reshape(tensors[0], [-1, 1]);
              const squares = values.reduce((a, b) => a + b * b, 0);
              if (values.length > 0) {
                const product = ops.matmul(ops.transpose(columns, 0, 1), columns);
                results.push({ name: `${name}, multiplied`, tensor: product, expected: [squares] });
              }
            }
            realize(results.map(({ tensor }) => tensor));
            for (const { name, tensor, expected } of results) {
              expect([...(await readExact(tensor))], name).toEqual(expected);
            }
            for (const { tensor } of [...results, { tensor: x }]) tensor.storage?.dispose();
          }),
          examples(150),
        );
      },
      propertyTimeout,
    );
  }
});
