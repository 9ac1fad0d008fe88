/** In a page: a model from the files of a folder, its results, gradients and greedy ids. */
import { backward } from "../../../src/autograd/backward.js";
import { createContext } from "../../../src/device/webgl/gl/context.js";
import { openWebgl } from "../../../src/device/webgl/webgl.js";
import type { WebglDevice } from "../../../src/device/webgl/webgl_device.js";
import { generate } from "../../../src/generation/index.js";
import { noGrad, type Tensor } from "../../../src/graph/tensor.js";
import { files } from "../../../src/hub/index.js";
import { type CausalModel, fromPretrained } from "../../../src/models/index.js";
import { crossEntropy } from "../../../src/nn/index.js";
import * as ops from "../../../src/ops/index.js";
import { realize } from "../../../src/runtime/realize.js";

export interface LanguageRequest {
  /** Contents in base64 by name. */
  readonly files: Readonly<Record<string, string>>;
  readonly tokens: readonly (readonly number[])[];
  readonly lengths: readonly number[];
  readonly tokenTypes?: readonly (readonly number[])[] | undefined;
  /** Class of each row of [rows, classes], of answers the place where they start: gradients of the cross-entropy are wanted. */
  readonly targets?: readonly number[] | undefined;
  /** Prompts that are continued, each by so many tokens. */
  readonly greedy?:
    | { readonly prompts: readonly (readonly number[])[]; readonly maxNewTokens: number }
    | undefined;
}

export interface LanguageOutcome {
  /** The result, or start and end of answers one after the other. */
  readonly results: readonly (readonly number[])[];
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly ids: readonly (readonly number[])[];
  /** Shader programs that were linked, with those of earlier models. */
  readonly shaders: number;
  readonly milliseconds: Readonly<Record<"load" | "forward" | "greedy" | "backward", number>>;
}

let opened: Promise<WebglDevice> | undefined;
let shaders = 0;

function open(): Promise<WebglDevice> {
  const gl = createContext();
  const link = gl.linkProgram.bind(gl);
  gl.linkProgram = (program) => {
    shaders++;
    link(program);
  };
  return openWebgl({ gl });
}

export async function runLanguage(request: LanguageRequest): Promise<LanguageOutcome> {
  opened ??= open();
  const device = await opened;
  const { tokens, lengths, tokenTypes, targets, greedy } = request;
  const bytesOf = (content: string) => Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const int32 = (rows: readonly (readonly number[])[]) =>
    ops.tensor(Int32Array.from(rows.flat()), { shape: [rows.length, rows[0].length], device });
  const milliseconds = { load: 0, forward: 0, greedy: 0, backward: 0 };
  let start = performance.now();
  const lap = (name: keyof typeof milliseconds) => {
    const now = performance.now();
    milliseconds[name] = now - start;
    start = now;
  };
  const source = files(new Map(Object.entries(request.files).map(([name, file]) => [name, bytesOf(file)])));
  const { model, head } = await fromPretrained(source, { device });
  lap("load");
  const isDecoder = head === "causalLm";
  const encoderCall = {
    lengths: ops.tensor(Int32Array.from(lengths), { shape: [lengths.length], device }),
    ...(tokenTypes && { tokenTypes: int32(tokenTypes) }),
  };
  const forward = (): Tensor | { start: Tensor; end: Tensor } =>
    isDecoder ? model.forward(int32(tokens)) : model.forward(int32(tokens), encoderCall);
  const result = noGrad(forward);
  const parts = "start" in result ? [result.start, result.end] : [result as Tensor];
  const results = await Promise.all(parts.map(async (part) => [...(await part.data())]));
  lap("forward");
  const ids: number[][] = [];
  for (const prompt of greedy?.prompts ?? []) {
    const { maxNewTokens } = greedy!;
    const { sequences } = await generate(model as CausalModel & typeof model, {
      inputIds: prompt,
      maxNewTokens,
      eosTokenId: 2,
    }).finish();
    ids.push([...sequences[0][0].ids]);
  }
  lap("greedy");
  const gradients: Record<string, number[]> = {};
  if (targets) {
    const output = forward();
    const steps = ops.arange(tokens[0].length, { device });
    const logits =
      "start" in output
        ? ops.where(ops.lt(steps, ops.unsqueeze(encoderCall.lengths, 1)), output.start, -1e9)
        : (output as Tensor);
    const rows = ops.reshape(logits, [-1, logits.shape[logits.rank - 1]]);
    const classes = ops.tensor(Int32Array.from(targets), { shape: [targets.length], device });
    backward(crossEntropy(rows, classes));
    const parameters = [...model.namedParameters()].filter(([, { grad }]) => grad !== undefined);
    // At once: each read by itself would compute all that leads to its gradient again.
    realize(parameters.map(([, { grad }]) => grad!));
    for (const [name, { grad }] of parameters) gradients[name] = [...(await grad!.data())];
  }
  lap("backward");
  model.dispose();
  return { results, gradients, ids, shaders, milliseconds };
}
