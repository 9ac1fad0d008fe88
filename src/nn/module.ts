/** Module: the base of layers and networks. Parameters, buffers and sub-modules are found in its own fields. */
import { leaf, overwrite, readExact } from "../compiler/realize.js";
import type { Device } from "../device/device.js";
import type { DType, TypedArray } from "../tensor/dtype.js";
import { ShapeError, WattgradError } from "../tensor/errors.js";
import { formatShape, type Shape, sameShape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";

/** Values on the host, as parsers of weight files return them. */
export interface HostValues {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: TypedArray;
}

export interface LoadOptions {
  /** Every key must be there and none besides. Default true. */
  readonly strict?: boolean;
}

/** A state dict that does not fit the module. `missing` and `unexpected` list the keys. */
export class StateDictError extends WattgradError {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];

  constructor(message: string, missing: readonly string[], unexpected: readonly string[]) {
    super("STATE_DICT", message, { op: "loadStateDict" });
    this.missing = missing;
    this.unexpected = unexpected;
  }
}

/**
 * Subclasses assign parameters (see `parameter`), buffers (`this.x = this.registerBuffer("x", value)`) and other
 * modules to fields in their constructor and implement `forward`. State-dict names are the fields' names in
 * PyTorch's spelling: `runningMean` of the field `bn1` is `bn1.running_mean`.
 *
 * @example
 * class Net extends Module {
 *   readonly fc = new Linear(784, 10);
 *   forward(x: Tensor) { return this.fc.forward(flatten(x, 1)); }
 * }
 */
export abstract class Module {
  /** Whether dropout drops and batch norm uses the batch's statistics. See `train()` and `eval()`. */
  training = true;
  readonly #buffers = new Set<string>();

  /** Computes the module's output. Lazy, as all ops. */
  abstract forward(...inputs: Tensor[]): Tensor;

  /** Marks field `field` as state that is saved but not trained; returns the value for the assignment. */
  protected registerBuffer(field: string, value: Tensor): Tensor {
    this.#buffers.add(field);
    return value;
  }

  /** This module (with the name "") and all below it, depth first in the order of the fields. */
  *namedModules(prefix = ""): Generator<[string, Module]> {
    yield [prefix, this];
    for (const [name, child] of this.children()) yield* child.namedModules(join(prefix, name));
  }

  /** The sub-modules in fields, with their names. */
  children(): [string, Module][] {
    return Object.entries(this).flatMap(([field, value]) =>
      value instanceof Module ? [[stateName(field), value] as [string, Module]] : [],
    );
  }

  /** Trainable tensors by their state-dict names. A tensor used in two places appears once. */
  namedParameters(): Map<string, Tensor> {
    const result = new Map<string, Tensor>();
    const seen = new Set<Tensor>();
    for (const { name, tensor, buffer } of this.#state()) {
      if (buffer || seen.has(tensor)) continue;
      seen.add(tensor);
      result.set(name, tensor);
    }
    return result;
  }

  parameters(): Tensor[] {
    return [...this.namedParameters().values()];
  }

  namedBuffers(): Map<string, Tensor> {
    return new Map(
      [...this.#state()].flatMap(({ name, tensor, buffer }) => (buffer ? [[name, tensor]] : [])),
    );
  }

  /** Number of trainable values. */
  parameterCount(): number {
    return this.parameters().reduce((sum, { size }) => sum + size, 0);
  }

  /** Parameters and buffers by PyTorch's names. The tensors are the module's own, not copies. */
  stateDict(): Map<string, Tensor> {
    return new Map([...this.#state()].map(({ name, tensor }) => [name, tensor]));
  }

  /**
   * Copies values into parameters and buffers. Nothing is changed unless everything fits.
   * @throws StateDictError listing missing and unexpected keys; ShapeError for a shape or dtype that differs.
   */
  async loadStateDict(
    state: ReadonlyMap<string, Tensor | HostValues>,
    { strict = true }: LoadOptions = {},
  ): Promise<void> {
    const own = this.stateDict();
    const missing = [...own.keys()].filter((name) => !state.has(name));
    const unexpected = [...state.keys()].filter((name) => !own.has(name));
    if (strict && missing.length + unexpected.length > 0) {
      const parts = [
        missing.length > 0 ? `missing ${missing.join(", ")}` : "",
        unexpected.length > 0 ? `unexpected ${unexpected.join(", ")}` : "",
      ];
      throw new StateDictError(
        `the keys do not match: ${parts.filter(Boolean).join("; ")}`,
        missing,
        unexpected,
      );
    }
    const updates: [Tensor, TypedArray][] = [];
    for (const [name, target] of own) {
      const value = state.get(name);
      if (value === undefined) continue;
      if (!sameShape(value.shape, target.shape) || value.dtype !== target.dtype) {
        throw new ShapeError(
          `${name} is ${value.dtype} ${formatShape(value.shape)}, the module has ${target.dtype} ${formatShape(target.shape)}`,
          { op: "loadStateDict" },
        );
      }
      updates.push([target, value instanceof Tensor ? await readExact(value) : value.data]);
    }
    for (const [target, data] of updates) overwrite(target, data);
  }

  /** Switches this module and all below it to training behaviour. */
  train(training = true): this {
    for (const [, module] of this.namedModules()) module.training = training;
    return this;
  }

  /** Switches to inference behaviour: no dropout, running statistics in batch norm. */
  eval(): this {
    return this.train(false);
  }

  /** Excludes all parameters from training. */
  freeze(): this {
    for (const tensor of this.parameters()) tensor.requiresGrad = false;
    return this;
  }

  /** Undoes `freeze`. */
  unfreeze(): this {
    for (const tensor of this.parameters()) tensor.requiresGrad = true;
    return this;
  }

  /** Moves parameters and buffers; make optimizers afterwards, since the tensors are new ones. */
  async to(device: Device): Promise<this> {
    const moved = new Map<Tensor, Tensor>();
    for (const { owner, field, tensor } of [...this.#state()]) {
      if (tensor.device === device) continue;
      let copy = moved.get(tensor);
      if (copy === undefined) {
        copy = leaf(device, tensor.dtype, tensor.shape, await readExact(tensor));
        copy.requiresGrad = tensor.requiresGrad;
        moved.set(tensor, copy);
      }
      (owner as unknown as Record<string, Tensor>)[field] = copy;
    }
    for (const tensor of moved.keys()) tensor.storage?.dispose();
    return this;
  }

  /** Frees the memory of all parameters and buffers. */
  dispose(): void {
    for (const { tensor } of this.#state()) tensor.storage?.dispose();
  }

  *#state(): Generator<{ name: string; tensor: Tensor; buffer: boolean; owner: Module; field: string }> {
    for (const [prefix, owner] of this.namedModules()) {
      for (const [field, tensor] of Object.entries(owner)) {
        if (!(tensor instanceof Tensor)) continue;
        const buffer = owner.#buffers.has(field);
        yield { name: join(prefix, stateName(field)), tensor, buffer, owner, field };
      }
    }
  }
}

function join(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}.${name}`;
}

/** `runningMean` → `running_mean`, as Python spells attributes. */
function stateName(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
