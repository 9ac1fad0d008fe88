/** Random ops are functions of seed and offset, so they are compared like other values; `rand` bit for bit (ulps: 0). */
import * as ops from "../../src/ops/index.js";
import { type Case, float, tails } from "./case.js";

const none = { none: "PyTorch draws other numbers; random.test.ts holds known answers and moments" };

/** The input only carries the device. */
const carrier = { ...float([1]), gradient: false };

const draws: readonly Case[] = [
  ...tails.map(
    (n): Case => ({
      name: `rand [${n}]`,
      op: "rand",
      ulps: 0,
      inputs: [carrier],
      run: ([{ device }]) => ops.rand([n], { device, generator: new ops.Generator(7) }),
      torch: none,
    }),
  ),
  {
    name: "rand of a large seed and a later offset",
    op: "rand",
    ulps: 0,
    inputs: [carrier],
    run: ([{ device }]) => {
      const generator = new ops.Generator(2 ** 52 + 12345);
      generator.setState({ seed: 2 ** 52 + 12345, offset: 99 });
      return ops.rand([5, 33], { device, generator });
    },
    torch: none,
  },
  {
    name: "rand drawn twice",
    op: "rand",
    ulps: 0,
    inputs: [carrier],
    run: ([{ device }]) => {
      const generator = new ops.Generator(7);
      return ops.concat([ops.rand([5], { device, generator }), ops.rand([5], { device, generator })]);
    },
    torch: none,
  },
  {
    name: "rand then transposed",
    op: "rand",
    ulps: 0,
    inputs: [carrier],
    run: ([{ device }]) => {
      const drawn = ops.rand([3, 5], { device, generator: new ops.Generator(3) });
      return ops.add(ops.transpose(drawn, 0, 1), 0);
    },
    torch: none,
  },
  {
    name: "randn [257]",
    op: "randn",
    inputs: [carrier],
    run: ([{ device }]) => ops.randn([257], { device, generator: new ops.Generator(11) }),
    torch: none,
    // cos is taken of an angle up to 2π and scaled by a radius up to 6.
    scale: 40,
  },
  {
    name: "randint in -3..8",
    op: "randint",
    inputs: [carrier],
    run: ([{ device }]) => ops.randint(-3, 9, [101], { device, generator: new ops.Generator(5) }),
    torch: none,
  },
  ...(["float32", "uint8", "int8", "bool"] as const).map(
    (dtype): Case => ({
      name: `randint as ${dtype}`,
      op: "randint",
      inputs: [carrier],
      run: ([{ device }]) => ops.randint(0, 100, [33], { device, generator: new ops.Generator(5), dtype }),
      torch: none,
    }),
  ),
  {
    name: "bernoulli of probabilities",
    op: "bernoulli",
    inputs: [float([65], { between: [0, 1] })],
    run: ([p]) => ops.bernoulli(p, { generator: new ops.Generator(9) }),
    torch: none,
    gradient: false,
  },
];

const drops: readonly Case[] = [
  ...[0.1, 0.5, 0.9].map(
    (p): Case => ({
      name: `dropout ${p}`,
      op: "dropout",
      inputs: [float([7, 9])],
      run: ([x]) => ops.dropout(x, p, { generator: new ops.Generator(13) }),
      torch: none,
      scale: 20,
    }),
  ),
  {
    name: "dropout of a transposed tensor",
    op: "dropout",
    inputs: [float([5, 6], undefined, "transposed")],
    run: ([x]) => ops.dropout(x, 0.5, { generator: new ops.Generator(13) }),
    torch: none,
  },
  {
    name: "dropout in evaluation",
    op: "dropout",
    inputs: [float([9])],
    run: ([x]) => ops.mul(ops.dropout(x, 0.5, { training: false }), 1),
    torch: "F.dropout(a, 0.5, training=False)",
  },
  {
    name: "dropout of everything",
    op: "dropout",
    inputs: [float([9])],
    run: ([x]) => ops.dropout(x, 1),
    torch: "F.dropout(a, 1.0)",
  },
];

export const random: readonly Case[] = [...draws, ...drops];
