/** jax-js as a contender, on its WebAssembly or its WebGL backend: each problem is one function, compiled by its jit. */
import { type Shape, sizeOf } from "../../core/shape.js";
import type { Backend, Contender, Work } from "../contender.js";
import { spread, uniform } from "../inputs.js";
import type {
  AttentionProblem,
  ConvProblem,
  ElementwiseProblem,
  MatmulProblem,
  Problem,
  TrainProblem,
} from "../problem.js";
import { attentionOf, type Jax, type JaxArray } from "./jax_library.js";
import { jaxStep } from "./jax_train.js";
import { causalMask } from "./layouts.js";
import type { Libraries } from "./libraries.js";
import { openPeerMeter } from "./meter.js";
import { initialWeights } from "./weights.js";

/** @throws Error if the backend does not work here. */
export async function openJax(libraries: Libraries, backend: Backend): Promise<Contender> {
  const { library: jax, threads } = await libraries.jax();
  const version = libraries.versions["jax-js"];
  if (!(await jax.init(backend)).includes(backend)) throw new Error(`jax-js has no ${backend} backend here`);
  const meter = await openPeerMeter(backend);
  // New arrays are created on the default device.
  const begin = () => {
    jax.defaultDevice(backend);
  };
  return {
    device: backend,
    peer: "jax-js",
    description: `jax-js ${version}`,
    details: { version, threads: backend === "wasm" ? threads : 1 },
    meter,
    async build(problem) {
      begin();
      const work = problem.kind === "train" ? await training(jax, problem) : computed(jax, problem);
      // Each run was awaited already.
      return { cost: null, amount: 1, ...work, begin, finish: async () => {} };
    },
    close: () => meter?.close(),
  };
}

type OwnWork = Pick<Work, "run" | "result" | "close"> & Partial<Pick<Work, "amount">>;

interface Computation {
  readonly compute: (...inputs: JaxArray[]) => JaxArray;
  readonly inputs: readonly JaxArray[];
  readonly amount?: number;
}

function computed(jax: Jax, problem: Exclude<Problem, TrainProblem>): OwnWork {
  const { compute, inputs, amount = 1 } = computationOf(jax, problem);
  const compiled = jax.jit(compute);
  // An array that is disposed before it is awaited is never computed.
  const ready = () => jax.blockUntilReady(compiled(...inputs.map(({ ref }) => ref)));
  return {
    amount,
    run: () => ready().then((y) => y.dispose()),
    // Reading consumes the array.
    result: async () => (await ready()).data(),
    close() {
      compiled.dispose();
      for (const input of inputs) input.dispose();
    },
  };
}

async function training(jax: Jax, { model }: TrainProblem): Promise<OwnWork> {
  const { step, close } = jaxStep(jax, model, await initialWeights(model));
  return {
    run: () => step().then((loss) => loss.dispose()),
    result: async () => (await step()).data(),
    close,
  };
}

/** @throws Error for work that jax-js has no operation for. */
function computationOf(jax: Jax, problem: Exclude<Problem, TrainProblem>): Computation {
  switch (problem.kind) {
    case "matmul":
      return matmul(jax, problem);
    case "conv":
      return conv(jax, problem);
    case "attention":
      return attention(jax, problem);
    case "elementwise":
      return elementwise(jax, problem);
    case "dispatch": {
      const chain = (x: JaxArray, w: JaxArray) => {
        let value = x;
        for (let i = 0; i < problem.ops; i++) value = jax.numpy.matmul(value, w.ref);
        w.dispose();
        return value;
      };
      const inputs = [0, 1].map(() => jax.numpy.array(spread()).reshape([4, 4]));
      return { compute: chain as Computation["compute"], inputs, amount: problem.ops };
    }
    case "qmatmul":
      throw new Error("jax-js has no arrays of int8");
  }
}

function random(jax: Jax, shape: Shape, seed: number): JaxArray {
  return jax.numpy.array(uniform(sizeOf(shape), seed)).reshape([...shape]);
}

function matmul(jax: Jax, { batch, m, k, n, transposed }: MatmulProblem): Computation {
  const lead = batch === undefined ? [] : [batch];
  const turned = (x: JaxArray) => {
    const axes = lead.length;
    return jax.numpy.transpose(x, [...lead.keys(), axes + 1, axes]);
  };
  return {
    compute: (a, b) =>
      jax.numpy.matmul(transposed === "a" ? turned(a) : a, transposed === "b" ? turned(b) : b),
    inputs: [
      random(jax, [...lead, ...(transposed === "a" ? [k, m] : [m, k])], 1),
      random(jax, [...lead, ...(transposed === "b" ? [n, k] : [k, n])], 2),
    ],
  };
}

function conv(jax: Jax, problem: ConvProblem): Computation {
  const { n, c, size, o, kernel, padding, stride = 1, groups = 1, int8 } = problem;
  if (int8) throw new Error("jax-js has no arrays of int8");
  const pads = [
    [padding, padding],
    [padding, padding],
  ] as const;
  return {
    compute: (x, w) =>
      jax.lax.convGeneralDilated(x, w, [stride, stride], pads, { featureGroupCount: groups }),
    inputs: [random(jax, [n, c, size, size], 1), random(jax, [o, c / groups, kernel, kernel], 2)],
  };
}

function attention(jax: Jax, problem: AttentionProblem): Computation {
  const { n, heads, length, headDim, keys = length, causal } = problem;
  const inputs = [length, keys, keys].map((rows, i) => random(jax, [n, heads, rows, headDim], i + 1));
  const mask = causal ? [jax.numpy.array(causalMask(length)).reshape([length, length])] : [];
  return {
    compute: (q, k, v, added) => attentionOf(jax, q, k, v, added),
    inputs: [...inputs, ...mask],
  };
}

function elementwise(jax: Jax, { name, rows, columns }: ElementwiseProblem): Computation {
  const x = random(jax, [rows, columns], 1);
  const second = () => random(jax, [rows, columns], 2);
  switch (name) {
    case "add":
      return { compute: (a, b) => a.add(b), inputs: [x, second()] };
    case "chain":
      return {
        compute: (a, b) => jax.nn.relu(a.ref.mul(b.ref).add(a)).mul(0.5).sub(b),
        inputs: [x, second()],
      };
    case "gelu":
      return { compute: (a) => jax.nn.gelu(a), inputs: [x] };
    case "softmax":
      return { compute: (a) => jax.nn.softmax(a, -1), inputs: [x] };
  }
}
