/** The problems as ONNX graphs, with the operators that are fastest in onnxruntime, and their inputs. */
import { groupSize, inputScale, largestOfBits, signedBytes, spread, uniform } from "../inputs.js";
import type {
  AttentionProblem,
  ConvProblem,
  DispatchProblem,
  ElementwiseProblem,
  MatmulProblem,
  Problem,
  QmatmulProblem,
} from "../problem.js";
import { causalMask, transposed } from "./layouts.js";
import type { Attribute, Constant, Graph, Node, ValueType } from "./onnx.js";

export interface Feed extends ValueType {
  readonly data: Float32Array | Uint8Array;
}

/** A graph with the one output Y. */
export interface FedGraph {
  readonly graph: Graph;
  readonly feeds: Readonly<Record<string, Feed>>;
  /** Number of nodes, for problems whose rate is calls per second. */
  readonly amount?: number;
  /** Scale of Y if it is uint8; its zero point is 128. */
  readonly step?: number;
}

/** Domain of onnxruntime's own operators. */
const microsoft = "com.microsoft";
/** Newest opset in which onnxruntime-web's WebGL backend supports all operators used here. */
const opset = 13;
/** First opset with GELU. */
const geluOpset = 20;
/** int8 values as uint8 with zero point 128, onnxruntime's fastest type. */
export const zeroPoint = 128;

/** @throws Error for problems without ONNX operators. */
export function fedGraphOf(problem: Problem): FedGraph {
  switch (problem.kind) {
    case "matmul":
      return matmul(problem);
    case "qmatmul":
      return problem.bits === 4 ? matmulOf4Bits(problem) : matmulInteger(problem);
    case "conv":
      return problem.int8 ? quantizedConv(problem) : conv(problem);
    case "attention":
      return attention(problem);
    case "elementwise":
      return elementwise(problem);
    case "dispatch":
      return dispatch(problem);
    case "train":
      throw new Error("onnxruntime-web does not train");
  }
}

const floats = (shape: readonly number[], data: Float32Array): Feed => ({ type: "float32", shape, data });

/** Each operand has its own seed, which all contenders share. */
function random(shape: readonly number[], seed: number): Feed {
  return floats(shape, uniform(count(shape), seed));
}

const count = (shape: readonly number[]) => shape.reduce((size, extent) => size * extent, 1);
const scalar = (value: number): Constant => floats([], Float32Array.of(value));
const zeroOfBytes: Constant = { type: "uint8", shape: [], data: Uint8Array.of(zeroPoint) };

function shifted(data: Int8Array): Uint8Array {
  return Uint8Array.from(data, (value) => value + zeroPoint);
}

/** A graph whose last node computes Y, float32. */
function fed(
  feeds: Readonly<Record<string, Feed>>,
  constants: Readonly<Record<string, Constant>>,
  nodes: readonly Node[],
  shape: readonly number[],
  version = opset,
): FedGraph {
  const outputs = { Y: { type: "float32", shape } } as const;
  return { graph: { inputs: feeds, constants, nodes, outputs, opset: version }, feeds };
}

function node(
  op: string,
  inputs: readonly string[],
  output = "Y",
  attributes: Readonly<Record<string, Attribute>> = {},
): Node {
  return { op, inputs, output, attributes };
}

function matmul({ batch, m, k, n, transposed: side }: MatmulProblem): FedGraph {
  const lead = batch === undefined ? [] : [batch];
  const feeds = {
    A: random([...lead, ...(side === "a" ? [k, m] : [m, k])], 1),
    B: random([...lead, ...(side === "b" ? [n, k] : [k, n])], 2),
  };
  if (side === undefined) return fed(feeds, {}, [node("MatMul", ["A", "B"])], [...lead, m, n]);
  if (batch !== undefined) throw new Error("ONNX has no batched product of transposed matrices");
  const attributes = { [side === "a" ? "transA" : "transB"]: { int: 1 } };
  return fed(feeds, {}, [node("Gemm", ["A", "B"], "Y", attributes)], [m, n]);
}

/** 7-bit weights are stored as int8. */
function matmulInteger({ m, k, n, bits }: QmatmulProblem): FedGraph {
  const largest = largestOfBits[bits];
  const weights = transposed({ shape: [n, k], data: signedBytes(n * k, largest, 2) });
  const product: Node = {
    op: "MatMulIntegerToFloat",
    inputs: ["A", "B", "scaleA", "scaleB", "zeroA"],
    output: "Y",
    domain: microsoft,
  };
  return fed(
    { A: { type: "uint8", shape: [m, k], data: shifted(signedBytes(m * k, 127, 1)) } },
    {
      B: { type: "int8", ...weights },
      scaleA: scalar(inputScale),
      scaleB: scalar(1 / largest),
      zeroA: zeroOfBytes,
    },
    [product],
    [m, n],
  );
}

/** Rows are float32 with the same values: onnxruntime has no product of int8 rows and 4-bit weights. */
function matmulOf4Bits({ m, k, n }: QmatmulProblem): FedGraph {
  const weights = signedBytes(n * k, largestOfBits[4], 2);
  const blocks = k / groupSize;
  // Two weights a byte, the first in the low half, with zero point 8.
  const packed = Uint8Array.from(
    { length: weights.length / 2 },
    (_, i) => (weights[2 * i] + 8) | ((weights[2 * i + 1] + 8) << 4),
  );
  const product: Node = {
    op: "MatMulNBits",
    inputs: ["A", "B", "scales"],
    output: "Y",
    domain: microsoft,
    attributes: { K: { int: k }, N: { int: n }, bits: { int: 4 }, block_size: { int: groupSize } },
  };
  return fed(
    {
      A: floats(
        [m, k],
        Float32Array.from(signedBytes(m * k, 127, 1), (value) => value * inputScale),
      ),
    },
    {
      B: { type: "uint8", shape: [n, blocks, groupSize / 2], data: packed },
      scales: floats([n * blocks], new Float32Array(n * blocks).fill(1 / largestOfBits[4])),
    },
    [product],
    [m, n],
  );
}

function convAttributes({ kernel, padding, stride = 1, groups = 1 }: ConvProblem) {
  return {
    kernel_shape: { ints: [kernel, kernel] },
    pads: { ints: [padding, padding, padding, padding] },
    strides: { ints: [stride, stride] },
    group: { int: groups },
  };
}

function convShapes({ n, c, size, o, kernel, padding, stride = 1, groups = 1 }: ConvProblem) {
  const out = Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return { x: [n, c, size, size], w: [o, c / groups, kernel, kernel], y: [n, o, out, out] };
}

/** Filters are constants, as in models; onnxruntime packs them once. */
function conv(problem: ConvProblem): FedGraph {
  const { x, w, y } = convShapes(problem);
  return fed(
    { X: random(x, 1) },
    { W: random(w, 2) },
    [node("Conv", ["X", "W"], "Y", convAttributes(problem))],
    y,
  );
}

/** Range of uint8 in standard deviations of a sum of random products; one element in a billion exceeds it. */
const sigmas = 6;

/**
 * The result is uint8, as between layers of a quantized model. ConvInteger, which does not requantize, takes more than ten times as
 * long.
 */
function quantizedConv(problem: ConvProblem): FedGraph {
  const { x, w, y } = convShapes(problem);
  // Operands are uniform on [−1, 1], their variance 1/3.
  const step = (sigmas * Math.sqrt(count(w) / w[0])) / 3 / 127;
  const feeds = { X: { type: "uint8", shape: x, data: shifted(signedBytes(count(x), 127, 1)) } } as const;
  const graph: Graph = {
    inputs: feeds,
    constants: {
      W: { type: "int8", shape: w, data: signedBytes(count(w), 127, 2) },
      zeroX: zeroOfBytes,
      zeroW: { type: "int8", shape: [], data: Int8Array.of(0) },
      scaleX: scalar(inputScale),
      scaleW: scalar(1 / 127),
      scaleY: scalar(step),
    },
    nodes: [
      node(
        "QLinearConv",
        ["X", "scaleX", "zeroX", "W", "scaleW", "zeroW", "scaleY", "zeroX"],
        "Y",
        convAttributes(problem),
      ),
    ],
    outputs: { Y: { type: "uint8", shape: y } },
    opset,
  };
  return { graph, feeds, step };
}

function attention(problem: AttentionProblem): FedGraph {
  const { n, heads, length, headDim, keys = length, causal } = problem;
  const [shape, keyShape] = [length, keys].map((rows) => [n, heads, rows, headDim]);
  const masked = causal ? [node("Add", ["scaled", "mask"], "scores")] : [];
  return fed(
    { Q: random(shape, 1), K: random(keyShape, 2), V: random(keyShape, 3) },
    {
      scale: scalar(1 / Math.sqrt(headDim)),
      ...(causal && { mask: floats([length, length], causalMask(length)) }),
    },
    [
      node("Transpose", ["K"], "columns", { perm: { ints: [0, 1, 3, 2] } }),
      node("MatMul", ["Q", "columns"], "products"),
      node("Mul", ["products", "scale"], "scaled"),
      ...masked,
      node("Softmax", [causal ? "scores" : "scaled"], "shares", { axis: { int: 3 } }),
      node("MatMul", ["shares", "V"]),
    ],
    shape,
  );
}

function elementwise({ name, rows, columns }: ElementwiseProblem): FedGraph {
  const shape = [rows, columns];
  const [x, y] = [random(shape, 1), random(shape, 2)];
  switch (name) {
    case "add":
      return fed({ A: x, B: y }, {}, [node("Add", ["A", "B"])], shape);
    case "chain":
      return fed(
        { A: x, B: y },
        { half: scalar(0.5) },
        [
          node("Mul", ["A", "B"], "product"),
          node("Add", ["product", "A"], "sum"),
          node("Relu", ["sum"], "positive"),
          node("Mul", ["positive", "half"], "halved"),
          node("Sub", ["halved", "B"]),
        ],
        shape,
      );
    case "gelu":
      return fed(
        { A: x },
        {},
        [node("Gelu", ["A"], "Y", { approximate: { string: "tanh" } })],
        shape,
        geluOpset,
      );
    case "softmax":
      return fed({ A: x }, {}, [node("Softmax", ["A"], "Y", { axis: { int: 1 } })], shape);
  }
}

function dispatch({ ops }: DispatchProblem): FedGraph {
  const matrix = floats([4, 4], spread());
  const value = (i: number) => (i === 0 ? "A" : i === ops ? "Y" : `product${i}`);
  const nodes = Array.from({ length: ops }, (_, i) => node("MatMul", [value(i), "B"], value(i + 1)));
  return { ...fed({ A: matrix, B: matrix }, {}, nodes, [4, 4]), amount: ops };
}
