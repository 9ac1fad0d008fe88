/** Sequences of any length as batches of a few lengths, and a training with them. */
import { describe, expect, it } from "vitest";
import { bucketLengths, DataLoader, type Dataset, padSequences } from "../../src/data/index.js";
import { crossEntropy, Embedding, Linear, Module, MultiheadAttention } from "../../src/nn/index.js";
import { add, manualSeed, reshape } from "../../src/ops/index.js";
import { compileCount } from "../../src/runtime/counters.js";
import "../../src/ops/methods.js";
import { ArgumentError } from "../../src/core/errors.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { SGD } from "../../src/optim/index.js";
import { devices } from "../devices.js";

describe("bucketLengths", () => {
  it("gives multiples of eight, each a quarter longer, up to the longest", () => {
    expect(bucketLengths(1)).toEqual([8]);
    expect(bucketLengths(50)).toEqual([8, 16, 24, 32, 40, 56]);
    expect(bucketLengths(1024).length).toBe(19);
    expect(bucketLengths(56).at(-1)).toBe(56);
    for (const wrong of [0, 1.5, Number.NaN]) expect(() => bucketLengths(wrong)).toThrow(ArgumentError);
  });
});

describe("padSequences", () => {
  it("pads at the end and marks the padding", () => {
    const { tokens, padding } = padSequences([[5, 6, 7], Int32Array.of(8)], {
      lengths: [2, 4, 9],
      value: -100,
    });
    expect(tokens).toEqual({
      dtype: "int32",
      shape: [2, 4],
      data: Int32Array.of(5, 6, 7, -100, 8, -100, -100, -100),
    });
    expect(padding).toEqual({ dtype: "bool", shape: [2, 4], data: Uint8Array.of(0, 0, 0, 1, 0, 1, 1, 1) });
    expect(padSequences([[1]]).tokens.shape).toEqual([1, 8]);
  });

  it("says what does not fit", () => {
    expect(() => padSequences([[1, 2, 3]], { lengths: [2] })).toThrow(/3 elements, more than each of 2/);
    expect(() => padSequences([])).toThrow(/no sequences/);
    expect(() => padSequences([[1]], { length: 4 } as never)).toThrow(/lengths/);
  });
});

class Tagger extends Module {
  constructor(
    private readonly embedding: Embedding,
    private readonly attention: MultiheadAttention,
    private readonly head: Linear,
  ) {
    super();
  }

  forward(tokens: Tensor, keyPaddingMask?: Tensor): Tensor {
    const x = this.embedding.forward(tokens);
    return this.head.forward(add(x, this.attention.forward(x, { keyPaddingMask })));
  }
}

for (const { label, device } of devices) {
  it(`${label}: padded batches train as the sequences themselves do, with a few Programs`, async () => {
    const longest = 24;
    const sequences = Array.from({ length: longest }, (_, i) =>
      Int32Array.from({ length: 1 + ((i * 7) % longest) }, (_, at) => (i + 3 * at) % 5),
    );
    const targets = sequences.map((sequence) => sequence.map((token) => (token + 1) % 5));
    const make = () => {
      manualSeed(1);
      const sizes = [new Embedding(5, 8, { device }), new MultiheadAttention(8, 2, { device })] as const;
      const model = new Tagger(...sizes, new Linear(8, 5, { device }));
      return { model, optimizer: new SGD(model.parameters(), { lr: 0.1 }) };
    };
    const train = async (padded: boolean) => {
      const { model, optimizer } = make();
      const before = compileCount(device);
      const data: Dataset = {
        length: sequences.length,
        batch(indices) {
          const [i] = indices;
          const only = { lengths: [sequences[i].length] };
          const { tokens, padding } = padSequences([sequences[i]], padded ? {} : only);
          const lengths = [tokens.shape[1]];
          return [tokens, padding, padSequences([targets[i]], { lengths, value: -100 }).tokens];
        },
      };
      const losses: number[] = [];
      for await (const [tokens, padding, target] of new DataLoader(data, { device })) {
        const scores = model.forward(tokens, padding);
        const loss = crossEntropy(reshape(scores, [-1, 5]), reshape(target, [-1]), { ignoreIndex: -100 });
        loss.backward();
        optimizer.step();
        losses.push(await loss.item());
      }
      return { losses, compiled: compileCount(device) - before };
    };
    const [own, padded] = [await train(false), await train(true)];
    padded.losses.forEach((loss, i) => {
      expect(loss).toBeCloseTo(own.losses[i], 4);
    });
    expect(own.compiled).toBeGreaterThanOrEqual(longest);
    expect(padded.compiled).toBeLessThanOrEqual(bucketLengths(longest).length + 3);
  });
}
