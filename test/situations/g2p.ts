/** Phonemes of words, by the network of the package g2p: a user's program, in Node or in a page. */
import { openNpz, type SourceInput } from "../../src/formats/index.js";
import { argmax, type Device, noGrad, type Tensor, tensor } from "../../src/index.js";
import { Embedding, GRU, GRUCell, Linear, Module } from "../../src/nn/index.js";

/** Of the checkpoint's ref.json. */
export interface Alphabet {
  readonly graphemes: readonly string[];
  readonly phonemes: readonly string[];
}

/** The checkpoint's names for ours. */
const names: Readonly<Record<string, string>> = {
  emb: "embedding.weight",
  w_ih: "weight_ih",
  w_hh: "weight_hh",
  b_ih: "bias_ih",
  b_hh: "bias_hh",
};

/** Reads letters. */
class Encoder extends Module<[Tensor], Tensor> {
  readonly embedding: Embedding;
  readonly gru: GRU;

  constructor(letters: number, width: number, device: Device) {
    super();
    this.embedding = new Embedding(letters, width, { device });
    this.gru = new GRU(width, width, { batchFirst: true, device });
  }

  /** Letters [1, T] → what was read [1, H]. */
  forward(letters: Tensor): Tensor {
    const [, h] = this.gru.forward(this.embedding.forward(letters));
    return h.reshape([1, -1]);
  }
}

/** Speaks one phoneme after the other. */
class Decoder extends Module<[Tensor, Tensor], [Tensor, Tensor]> {
  readonly embedding: Embedding;
  readonly gru: GRUCell;
  readonly fc: Linear;

  constructor(phonemes: number, width: number, device: Device) {
    super();
    this.embedding = new Embedding(phonemes, width, { device });
    this.gru = new GRUCell(width, width, { device });
    this.fc = new Linear(width, phonemes, { device });
  }

  /** The phoneme before [1] and h → scores of the next [1, phonemes] and h. */
  forward(before: Tensor, h: Tensor): [Tensor, Tensor] {
    const next = this.gru.forward(this.embedding.forward(before), h);
    return [this.fc.forward(next), next];
  }
}

/** The most probable phonemes of words, each by itself, at most 20. */
export async function phonemesOf(
  checkpoint: SourceInput,
  { graphemes, phonemes }: Alphabet,
  words: readonly string[],
  device: Device,
): Promise<string[][]> {
  const file = await openNpz(checkpoint);
  const width = file.tensors.get("enc_emb")!.shape[1];
  const encoder = new Encoder(graphemes.length, width, device);
  const decoder = new Decoder(phonemes.length, width, device);
  const state = (side: string, layer: string, suffix: string) =>
    new Map(
      Object.entries(names).map(([theirs, ours]) => [
        ours.startsWith("embedding") ? ours : `${layer}.${ours}${suffix}`,
        file.tensors.get(`${side}_${theirs}`)!,
      ]),
    );
  await encoder.loadStateDict(state("enc", "gru", "_l0"));
  const head = new Map([
    ["fc.weight", file.tensors.get("fc_w")!],
    ["fc.bias", file.tensors.get("fc_b")!],
  ]);
  await decoder.loadStateDict(new Map([...state("dec", "gru", ""), ...head]));
  await file.close();
  const int32 = (ids: number[], shape: number[]) => tensor(Int32Array.from(ids), { shape, device });
  const end = phonemes.indexOf("</s>");
  const spoken: string[][] = [];
  for (const word of words) {
    const letters = [...word, "</s>"].map((letter) => graphemes.indexOf(letter));
    let h = noGrad(() => encoder.forward(int32(letters, [1, letters.length])));
    let last = phonemes.indexOf("<s>");
    const result: string[] = [];
    while (result.length < 20) {
      const [scores, next] = noGrad(() => decoder.forward(int32([last], [1]), h));
      [last] = await argmax(scores, 1).data();
      if (last === end) break;
      result.push(phonemes[last]);
      h = next;
    }
    spoken.push(result);
  }
  return spoken;
}
