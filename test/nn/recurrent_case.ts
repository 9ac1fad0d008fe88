/** What a recurrent layer of the fixtures gives on a device, in Node or in a page: values and gradients by name. */
import { backward } from "../../src/autograd/backward.js";
import type { Device } from "../../src/device/device.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { GRU, GRUCell, LSTM, LSTMCell, type Module, RNN, RNNCell } from "../../src/nn/index.js";
import * as ops from "../../src/ops/index.js";
import { realize } from "../../src/runtime/realize.js";

interface Plain {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Of recurrent.json (test/fixtures/make_recurrent.py). */
export interface RecurrentCase {
  readonly layer: "RNN" | "GRU" | "LSTM" | "RNNCell" | "GRUCell" | "LSTMCell";
  readonly options: Readonly<Record<string, unknown>>;
  readonly x: Plain;
  readonly states: readonly Plain[] | null;
  readonly weights: Readonly<Record<string, Plain>>;
  readonly output: Plain;
  readonly last: readonly Plain[];
  readonly gradients: Readonly<Record<string, Plain>>;
}

export type Values = Readonly<Record<string, readonly number[]>>;

const layers = { RNN, GRU, LSTM, RNNCell, GRUCell, LSTMCell };

const camel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

export async function runRecurrent(given: RecurrentCase, device: Device): Promise<Values> {
  const { layer: name, x: input, weights, states, last } = given;
  const options = Object.fromEntries(
    Object.entries(given.options).map(([key, value]) => [camel(key), value]),
  );
  const isCell = name.endsWith("Cell");
  const hidden = last[0].shape.at(-1)!;
  const layer = new layers[name](input.shape.at(-1)!, hidden, { ...options, device });
  const host = ({ shape, data }: Plain) => ({
    dtype: "float32" as const,
    shape,
    data: Float32Array.from(data),
  });
  await layer.loadStateDict(new Map(Object.entries(weights).map(([key, value]) => [key, host(value)])));
  const leaf = ({ shape, data }: Plain) =>
    ops.tensor(Float32Array.from(data), { shape: [...shape], device, requiresGrad: true });
  const x = leaf(input);
  const own = states?.map(leaf);
  const state = name.startsWith("LSTM") ? own : own?.[0];
  const result = (layer as Module).forward(x, state) as Tensor | [Tensor, Tensor | Tensor[]];
  const list = [result].flat(2) as Tensor[];
  // A cell's output is its h.
  const [output, ...ends] = isCell ? [list[0], ...list] : list;
  const loss = ends.reduce((sum, end) => ops.add(sum, ops.sum(ops.pow(end, 3))), ops.sum(ops.square(output)));
  backward(loss);
  const leaves: [string, Tensor][] = [["x", x]];
  own?.forEach((each, i) => {
    leaves.push([`state${i}`, each]);
  });
  leaves.push(...layer.namedParameters());
  const wanted: [string, Tensor][] = [
    ["output", output],
    ...ends.map((end, i): [string, Tensor] => [`last${i}`, end]),
    ...leaves.map(([key, { grad }]): [string, Tensor] => [`gradient ${key}`, grad!]),
  ];
  realize(wanted.map(([, value]) => value));
  const values: Record<string, number[]> = {};
  for (const [key, value] of wanted) values[key] = [...(await value.data())];
  return values;
}

/** What PyTorch gives, by the same names. */
export function recurrentExpected({ output, last, gradients }: RecurrentCase): Values {
  return Object.fromEntries([
    ["output", output.data],
    ...last.map(({ data }, i) => [`last${i}`, data]),
    ...Object.entries(gradients).map(([key, { data }]) => [`gradient ${key}`, data]),
  ]);
}

/** The largest difference, of each name as a part of its largest value or of 1; throws where names or lengths differ. */
export function recurrentDifference(actual: Values, expected: Values): number {
  const names = Object.keys(expected).toSorted().join();
  if (Object.keys(actual).toSorted().join() !== names) throw new Error(`${Object.keys(actual)} for ${names}`);
  let worst = 0;
  for (const [name, want] of Object.entries(expected)) {
    const got = actual[name];
    if (got.length !== want.length) throw new Error(`${name}: ${got.length} values for ${want.length}`);
    const scale = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    for (const [i, value] of want.entries()) {
      const difference = Math.abs(got[i] - value) / scale;
      if (!(difference <= worst)) worst = difference;
    }
  }
  return worst;
}
