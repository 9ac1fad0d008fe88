/** summary: output shape, parameters and FLOPs of each layer of a model, without computing anything. */
import { compile } from "../compiler/compile.js";
import { extractGraph } from "../compiler/graph.js";
import { provenanceOf } from "../compiler/provenance.js";
import { aDType, checkOptions, type Kinds } from "../core/check.js";
import type { DType } from "../core/dtype.js";
import { withCommas } from "../core/inspect.js";
import { checkShape, formatShape, type Shape, sizeOf } from "../core/shape.js";
import { deviceOf } from "../device/default.js";
import { inModule } from "../graph/scope.js";
import { Storage } from "../graph/storage.js";
import { noGrad, Tensor } from "../graph/tensor.js";
import { flopsOf } from "../kernels/cost.js";
import type { Program } from "../kernels/kernel.js";
import { tensorsIn } from "../runtime/structure.js";
import { requireModule } from "./check.js";
import type { Module } from "./module.js";
import { isParameter } from "./parameter.js";
import { fieldsOf } from "./state.js";

/** Options of `summary`. */
export interface SummaryOptions {
  /** dtype of inputs given by their shape: int32 for models that take tokens. Default float32. */
  readonly dtype?: DType;
}

/** A tensor argument, given by its shape or by shape and dtype; also arrays and records of these and values that are not tensors. */
export type SummaryInput =
  | Shape
  | { readonly dtype: DType; readonly shape: Shape }
  | undefined
  | null
  | boolean
  | string
  | readonly SummaryInput[]
  | { readonly [name: string]: SummaryInput };

/** One layer of a `Summary`. */
export interface LayerSummary {
  /** Its name in the model, "" for the model itself. */
  readonly name: string;
  /** Its class. */
  readonly type: string;
  /** Shape of the first tensor of its last output; undefined if the forward pass does not call it. */
  readonly output: Shape | undefined;
  /** Number of its own parameters, without sub-modules and without parameters shared with an earlier layer. */
  readonly parameters: number;
  /** FLOPs of its own ops, summed over all calls; includes elementwise ops that are fused into another layer's kernel. */
  readonly flops: number;
}

/** Shapes, parameters and FLOPs of a model; see `summary`. */
export interface Summary {
  readonly layers: readonly LayerSummary[];
  /** Shape of the first tensor. */
  readonly input: Shape;
  /** Number of parameters; a shared one counts once. */
  readonly parameters: number;
  /** Number of parameters with `requiresGrad`. */
  readonly trainable: number;
  /** FLOPs of one forward pass in evaluation mode. */
  readonly flops: number;
  /** The table, at most 80 columns wide. */
  toString(): string;
}

const summaryOptions: Kinds<SummaryOptions> = { dtype: aDType };

/**
 * Output shapes, parameters and FLOPs of each layer for an input of this shape, including its batch. The forward pass is built in
 * evaluation mode and compiled but not run, so that a model on the meta device will do.
 *
 * @example
 * const model = new Sequential(new Linear(784, 10), new ReLU());
 * const { flops, parameters } = summary(model, [1, 784]);
 * flops; // 15700
 * parameters; // 7850
 *
 * @throws ShapeError for an input that does not fit, and other errors of the model's `forward`.
 */
export function summary(
  model: Module,
  inputShape: Shape | readonly SummaryInput[],
  options: SummaryOptions = {},
): Summary {
  const op = "summary";
  requireModule(op, model);
  const { dtype = "float32" } = checkOptions(op, options, summaryOptions);
  const parameters = model.parameters();
  const device =
    parameters[0]?.device ?? [...model.stateDict().values()][0]?.device ?? deviceOf(op, undefined);
  const inputs: Tensor[] = [];
  // Leaves without memory: they are never read.
  const make = (of: DType, shape: Shape): Tensor => {
    checkShape(shape, op);
    const storage = new Storage(device, { dtype: of, size: sizeOf(shape) });
    const input = new Tensor(shape, of, device, { storage });
    inputs.push(input);
    return input;
  };
  const args = isShape(inputShape)
    ? [make(dtype, inputShape)]
    : (inputShape as SummaryInput[]).map((part) => madeOf(part, dtype, make));
  const outputs = new Map<string, Shape>();
  let program: Program;
  try {
    const output = evaluated(model, outputs, args);
    program = compile(extractGraph(tensorsIn(output), []).graph, device.info, {
      enabled: true,
      provenanceOf,
    });
  } finally {
    for (const { storage } of inputs) storage!.dispose();
  }
  const flops = new Map<string, number>();
  program.calls.forEach((call, i) => {
    const name = program.provenance?.[i]?.module ?? "";
    flops.set(name, (flops.get(name) ?? 0) + flopsOf(call));
  });
  const seen = new Set<Tensor>();
  const layers = [...model.namedModules()].map(([name, module]): LayerSummary => {
    const tensors = new Set(fieldsOf(module).map(({ value }) => value));
    const own = [...tensors].filter(
      (value): value is Tensor => value instanceof Tensor && isParameter(value) && !seen.has(value),
    );
    for (const tensor of own) seen.add(tensor);
    return {
      name,
      type: module.constructor.name,
      output: outputs.get(name),
      parameters: sum(own),
      flops: flops.get(name) ?? 0,
    };
  });
  const result = {
    layers,
    input: inputs[0]?.shape ?? [],
    parameters: sum(parameters),
    trainable: sum(parameters.filter(({ requiresGrad }) => requiresGrad)),
    flops: program.calls.reduce((all, call) => all + flopsOf(call), 0),
  };
  return Object.defineProperty(result, "toString", { value: () => tableOf(result) });
}

function isShape(input: unknown): input is Shape {
  return !Array.isArray(input) || input.length === 0 || typeof input[0] === "number";
}

/** An argument of forward, with tensors where `input` has their shapes. */
function madeOf(input: SummaryInput, dtype: DType, make: (dtype: DType, shape: Shape) => Tensor): unknown {
  if (Array.isArray(input)) {
    return isShape(input)
      ? make(dtype, input)
      : (input as readonly SummaryInput[]).map((part) => madeOf(part, dtype, make));
  }
  if (typeof input !== "object" || input === null) return input;
  const { dtype: own, shape } = input as { readonly dtype?: DType; readonly shape?: Shape };
  if (typeof own === "string" && Array.isArray(shape)) return make(own, shape);
  const parts = Object.entries(input as Record<string, SummaryInput>);
  return Object.fromEntries(parts.map(([name, part]) => [name, madeOf(part, dtype, make)]));
}

function sum(tensors: readonly Tensor[]): number {
  return tensors.reduce((total, { size }) => total + size, 0);
}

/** The lazy output. Records the outputs of all modules; their ops have the module's name as scope. Restores modes and methods. */
function evaluated(model: Module, outputs: Map<string, Shape>, args: readonly unknown[]): unknown {
  const undo: (() => void)[] = [];
  try {
    for (const [name, module] of model.namedModules()) {
      const { training } = module;
      const own = Object.getOwnPropertyDescriptor(module, "forward");
      const forward = module.forward.bind(module);
      Object.defineProperty(module, "forward", {
        configurable: true,
        value: (...inputs: unknown[]) => {
          const output: unknown = inModule(name, () => forward(...inputs));
          const [first] = tensorsIn(output);
          if (first) outputs.set(name, first.shape);
          return output;
        },
      });
      module.training = false;
      undo.push(() => {
        module.training = training;
        Reflect.deleteProperty(module, "forward");
        if (own) Object.defineProperty(module, "forward", own);
      });
    }
    return noGrad((): unknown => model.forward(...args));
  } finally {
    for (const restore of undo.reverse()) restore();
  }
}

/** Most characters of a line. */
const width = 80;
/** Width of the columns with numbers and shapes, including the spaces between them. */
const numberWidth = 15;
const shapeWidth = 19;

function tableOf({ layers, input, parameters, trainable, flops }: Omit<Summary, "toString">): string {
  const nameWidth = width - shapeWidth - 2 * numberWidth;
  const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const row = (name: string, shape: string, count: string, cost: string) =>
    `${cut(name, nameWidth - 1).padEnd(nameWidth)}${cut(shape, shapeWidth - 1).padEnd(shapeWidth)}${count.padStart(numberWidth)}${cost.padStart(numberWidth)}`.trimEnd();
  const rule = "─".repeat(width);
  const rows = layers.map(({ name, type, output, parameters: count, flops: cost }) => {
    const depth = name === "" ? 0 : name.split(".").length;
    const label = name === "" ? type : `${name.split(".").at(-1)} ${type}`;
    return row(
      "  ".repeat(depth) + label,
      output ? formatShape(output) : "not called",
      count === 0 ? "" : withCommas(count),
      cost === 0 ? "" : withCommas(cost),
    );
  });
  return [
    row("layer", "output", "parameters", "FLOPs"),
    rule,
    ...rows,
    rule,
    row(`input ${formatShape(input)}`, "", withCommas(parameters), withCommas(flops)),
    ...(trainable === parameters ? [] : [`trainable: ${withCommas(trainable)}`]),
  ].join("\n");
}
