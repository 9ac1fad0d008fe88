/** Runs the recipes of random programs on a device, in all modes of execution. */

import type { Device } from "../../src/device/device.js";
import * as ops from "../../src/ops/index.js";
import { assign } from "../../src/runtime/assign.js";
import { commit, markBackward } from "../../src/runtime/commit.js";
import { leaf, readExact } from "../../src/runtime/host_data.js";
import { jit } from "../../src/runtime/jit.js";
import { realize, setDebugObserver } from "../../src/runtime/realize.js";
import "../../src/ops/methods.js";
import { isArithmetic, type TypedArray } from "../../src/core/dtype.js";
import { type Shape, sameShape } from "../../src/core/shape.js";
import { noGrad, type Tensor } from "../../src/graph/tensor.js";
import { generate, type Values } from "../cases/generate.js";
import { type Bounded, type Operation, operations, type Picker } from "./operations.js";
import type { LeafRecipe, Recipe } from "./recipe.js";

/**
 * How one step is asked for:
 * - `joint`: outputs and assignments as one Program.
 * - `apart`: some tensors in the middle, then the outputs, then the assignments.
 * - `jit`: captured at the first step, replayed at the others.
 * - `model`: every op at once, and parameters are variables that are never written to: what the others must give.
 */
export type Mode = "joint" | "apart" | "jit" | "model";

/** Everything that a recipe produces, step by step: outputs, then parameters (and their gradients). */
export type Trace = readonly (readonly TypedArray[])[];

/** Elements of parameters stay within this, however often they are updated; exact in every dtype. */
const parameterBound = 8;
/** Values beyond are cut before anything is computed from them; 2^24 would be too large for float32. */
const largestBound = 2 ** 18;
/** As above for smooth functions, whose roundings grow with their arguments. */
const largestSmoothBound = 4;
const largestSize = 4096;

/** A parameter as a recipe sees it. */
interface Variable {
  read(): Tensor;
  assign(value: Tensor): void;
}

/** A value that later steps can use. */
interface Entry {
  read(): Tensor;
  readonly bound: number;
}

function valuesOf({ family }: Recipe, { dtype }: LeafRecipe): Values {
  if (family === "smooth") return { between: [-1, 1] };
  if (dtype === "bool") return { integers: [0, 2] };
  return { integers: dtype === "uint8" ? [0, 6] : [-4, 5] };
}

function leafTensor(recipe: Recipe, one: LeafRecipe, name: string, device: Device): Tensor {
  return leaf(device, one.dtype, one.shape, generate(name, one.shape, one.dtype, valuesOf(recipe, one)));
}

/** Keeps a value small enough that what is computed from it stays exact (or nearly so). */
function bounded({ family }: Recipe, { tensor, bound }: Bounded, limit: number): Bounded {
  if (bound <= limit) return { tensor, bound };
  if (family === "smooth") return { tensor: ops.tanh(tensor), bound: 1 };
  return { tensor: ops.minimum(ops.maximum(tensor, -limit), limit), bound: limit };
}

/** Follows a recipe once; parameters are read and assigned to through `variables`. */
class Interpreter {
  readonly #recipe: Recipe;
  readonly #variables: readonly Variable[];
  readonly #entries: Entry[];
  readonly #mode: Mode;
  readonly #picker: Picker;
  readonly #computed: Tensor[] = [];
  #picks: readonly number[] = [];
  #used = 0;

  constructor(
    recipe: Recipe,
    mode: Mode,
    inputs: readonly Tensor[],
    variables: readonly Variable[],
    generator: ops.Generator,
  ) {
    this.#recipe = recipe;
    this.#mode = mode;
    this.#variables = variables;
    const leaves = [...inputs.map((input) => ({ read: () => input })), ...variables];
    this.#entries = leaves.map(({ read }) => ({ read, bound: parameterBound }));
    this.#picker = {
      number: (count) => this.#number(count),
      value: (fits) => this.#value(fits),
      generator,
    };
  }

  /** Returns the outputs that the recipe names. */
  run(): Tensor[] {
    const { steps, outputs } = this.#recipe;
    for (const { operation, picks } of steps) {
      this.#picks = picks;
      this.#used = 0;
      this.#step(operation);
    }
    if (this.#computed.length === 0) return [];
    return [...new Set(outputs.map((output) => this.#computed[output % this.#computed.length]))];
  }

  #step(operation: number): void {
    const { family, operations: chosen } = this.#recipe;
    // Smooth recipes change parameters at their end, by the gradients.
    const effects = family === "exact" ? 2 : 0;
    const choice = operation % (chosen.length + effects + 1);
    if (choice < chosen.length) this.#compute(operations[family][chosen[choice] % operations[family].length]);
    else if (choice < chosen.length + effects) this.#update();
    else this.#realizeOne();
  }

  #number(count: number): number {
    const { length } = this.#picks;
    // A second round through the picks takes other bits of them.
    const pick = this.#picks[this.#used % length] >> (this.#used >= length ? 5 : 0);
    this.#used++;
    return pick % Math.max(count, 1);
  }

  #value(fits: (candidate: Tensor) => boolean = () => true): Bounded | undefined {
    const found = this.#entries.filter((entry) => fits(entry.read()));
    if (found.length === 0) return undefined;
    // Half of the time one of the last three, so that there are long chains.
    const reach = this.#number(2) === 0 ? found.length : Math.min(found.length, 3);
    const { read, bound } = found[found.length - 1 - this.#number(reach)];
    return { tensor: read(), bound };
  }

  #compute(operation: Operation): void {
    const { family } = this.#recipe;
    const result = operation(this.#picker);
    if (result === undefined || result.tensor.size > largestSize || result.tensor.rank > 6) return;
    const kept = bounded(this.#recipe, result, family === "exact" ? largestBound : largestSmoothBound);
    // Ops that have nothing to do return their argument, and a parameter would change when it is assigned to.
    if (this.#entries.some((entry) => entry.read() === kept.tensor)) return;
    this.#computed.push(kept.tensor);
    this.#entries.push({ read: () => kept.tensor, bound: kept.bound });
  }

  #update(): void {
    const target = this.#variables[this.#number(this.#variables.length)];
    const own = target.read();
    const { shape, dtype } = own;
    switch (this.#number(4)) {
      case 0: {
        const alike = this.#variables.filter(
          (other) => other !== target && other.read().dtype === dtype && sameShape(other.read().shape, shape),
        );
        if (alike.length === 0) return;
        const other = alike[this.#number(alike.length)];
        const old = own.detach();
        target.assign(other.read());
        other.assign(old);
        return;
      }
      case 1:
        // The same memory read at other positions than it is written to.
        if (own.rank === 0) return;
        target.assign(this.#number(2) === 0 ? ops.flip(own) : rolled(own, this.#number(own.rank)));
        return;
      case 2: {
        const value = this.#value((other) => other.dtype === dtype && sameShape(other.shape, shape));
        if (value !== undefined && (value.bound <= parameterBound || isArithmetic(dtype))) {
          target.assign(bounded(this.#recipe, value, parameterBound).tensor);
        }
        return;
      }
      default: {
        if (!isArithmetic(dtype)) return;
        const part = this.#value((other) => other.dtype === dtype && expandsTo(other.shape, shape));
        if (part === undefined) return;
        const tensor = ops.add(ops.mul(own, 2), part.tensor);
        const bound = 2 * parameterBound + part.bound;
        target.assign(bounded(this.#recipe, { tensor, bound }, parameterBound).tensor);
      }
    }
  }

  #realizeOne(): void {
    if (this.#mode !== "apart" || this.#computed.length === 0) return;
    realize([this.#computed[this.#number(this.#computed.length)]]);
  }
}

/** The last element along `dim` becomes the first. */
function rolled(x: Tensor, dim: number): Tensor {
  const n = x.shape[dim];
  if (n < 2) return x;
  return ops.concat([ops.narrow(x, dim, n - 1, 1), ops.narrow(x, dim, 0, n - 1)], dim);
}

function expandsTo(from: Shape, to: Shape): boolean {
  const lead = to.length - from.length;
  return lead >= 0 && from.every((extent, i) => extent === 1 || extent === to[lead + i]);
}

/** Runs a recipe `steps` times, with new inputs and the parameters that the step before left. */
export async function trace(recipe: Recipe, device: Device, mode: Mode, steps: number): Promise<Trace> {
  const generator = new ops.Generator(7);
  const parameters = recipe.parameters.map((one, i) => leafTensor(recipe, one, `parameter ${i}`, device));
  for (const parameter of parameters) parameter.requiresGrad = recipe.family === "smooth";
  const current = [...parameters];
  const variables = parameters.map(
    (parameter, i): Variable =>
      mode === "model"
        ? {
            read: () => current[i],
            assign: (value) => {
              current[i] = value;
            },
          }
        : { read: () => parameter, assign: (value) => assign(parameter, value) },
  );
  const once = (...inputs: Tensor[]): Tensor[] => {
    const outputs = new Interpreter(recipe, mode, inputs, variables, generator).run();
    return recipe.family === "smooth" ? [...outputs, ...descend(outputs, variables)] : outputs;
  };
  const captured = jit(once);

  const results: TypedArray[][] = [];
  for (let step = 0; step < steps; step++) {
    const inputs = recipe.inputs.map((one, i) => leafTensor(recipe, one, `input ${i} ${step}`, device));
    if (mode === "model") setDebugObserver((tensor) => realize([tensor]));
    let outputs: Tensor[];
    try {
      outputs = mode === "jit" ? captured(...inputs) : once(...inputs);
    } finally {
      setDebugObserver(undefined);
    }
    if (mode === "joint") for (const output of outputs) markBackward(output);
    if (mode === "apart") realize(outputs);
    commit(device);
    const read: TypedArray[] = [];
    for (const tensor of [...outputs, ...variables.map((variable) => variable.read())]) {
      read.push(await readExact(tensor));
    }
    results.push(read);
    const kept = new Set([...parameters, ...current].map(({ storage }) => storage));
    for (const { storage } of [...inputs, ...outputs]) if (!kept.has(storage)) storage?.dispose();
  }
  for (const tensor of [...parameters, ...current]) tensor.storage?.dispose();
  return results;
}

/** A step down the gradient of Σ mean(output²): all parameters that it depends on. Returns loss and gradients. */
function descend(outputs: readonly Tensor[], variables: readonly Variable[]): Tensor[] {
  const terms = outputs.filter(({ size, requiresGrad }) => size > 0 && requiresGrad);
  if (terms.length === 0) return [];
  const loss = terms.map((term) => ops.mean(ops.square(term))).reduce((a, b) => ops.add(a, b));
  ops.backward(loss);
  const results = [loss];
  for (const variable of variables) {
    const parameter = variable.read();
    const { grad } = parameter;
    if (grad === undefined) continue;
    parameter.grad = undefined;
    results.push(grad);
    const next = noGrad(() => ops.tanh(ops.sub(parameter, ops.mul(grad, 0.1))));
    next.requiresGrad = true;
    variable.assign(next);
  }
  return results;
}
