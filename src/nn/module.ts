/** Module: the base of layers and networks. Parameters, buffers and sub-modules are found in its own fields. */

import { aBoolean, check, checkOptions, type Kind, type Kinds } from "../core/check.js";
import { newArray } from "../core/dtype.js";
import { ArgumentError, WattgradError } from "../core/errors.js";
import { inspectable } from "../core/inspect.js";
import { formatShape, sameShape } from "../core/shape.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, deviceNamed, deviceOrName } from "../device/select.js";
import { recorder } from "../graph/observe.js";
import { requireTensor } from "../graph/require.js";
import { Tensor } from "../graph/tensor.js";
import { refuseInJit } from "../runtime/capture.js";
import { dispose, leaf } from "../runtime/realize.js";
import { describeModule, inspectModule } from "./describe.js";
import { type Entry, entriesOf, stateName } from "./fields.js";
import { isParameter, setTrainable, wasMadeParameter } from "./parameter.js";
import { watchForward } from "./reads.js";
import { converted, fill, isLoadable, type StateValue, type Values, valuesOf } from "./state_values.js";

export type { HostTensor as HostValues, StoredTensor } from "../formats/host.js";
export type { StateValue } from "./state_values.js";

export interface LoadOptions {
  /** Every key but those of optional buffers must be there, and none besides. Default true. */
  readonly strict?: boolean;
  /**
   * Makes new tensors on this device instead of copying into the module's own, as PyTorch's `assign=True`: for modules built on
   * the meta device, whose tensors have no memory.
   */
  readonly assign?: Device | DeviceChoice;
}

const loadOptions: Kinds<LoadOptions> = { strict: aBoolean, assign: deviceOrName };
const aMap: Kind = [
  "a Map of tensors by name",
  (value) => value instanceof Map,
  (value) => (typeof value === "object" && value && "tensors" in value ? "give its .tensors" : undefined),
];

export interface BufferOptions {
  /** Whether a state dict may lack it, even a strict one; the buffer then keeps its value. Default false. */
  readonly optional?: boolean;
}

const bufferOptions: Kinds<BufferOptions> = { optional: aBoolean };

/** Everything about a state dict that does not fit the module, by key. */
export interface StateDictProblems {
  /** Keys of the module that the state dict lacks; empty when not strict. */
  readonly missing: readonly string[];
  /** Keys of the state dict that the module lacks; empty when not strict. */
  readonly unexpected: readonly string[];
  /** Keys whose shape, dtype or length differs. */
  readonly mismatched: readonly string[];
}

/** A state dict that does not fit the module; the message says everything that is wrong with it. */
export class StateDictError extends WattgradError implements StateDictProblems {
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly string[];

  constructor(message: string, { missing, unexpected, mismatched }: StateDictProblems) {
    super("STATE_DICT", message, { op: "loadStateDict" });
    this.missing = missing;
    this.unexpected = unexpected;
    this.mismatched = mismatched;
  }
}

/**
 * Subclasses assign parameters (see `parameter`), buffers (`this.x = this.registerBuffer("x", value)`) and other
 * modules to fields and implement `forward`. Other tensors in fields are not part of the state.
 * State-dict names are the fields' names in PyTorch's spelling: `runningMean` of the field `bn1` is `bn1.running_mean`;
 * a name that begins with a capital, `LayerNorm`, stays.
 *
 * Modules and parameters may be in arrays, Maps and records as well: the first weight of `layers = [new Linear(2, 2)]` is
 * `layers.0.weight`. In `#private` fields and closures nobody can find them: an optimizer's step throws if `forward` reads
 * trainable parameters from there which no optimizer has.
 *
 * @example
 * class Net extends Module {
 *   readonly fc = new Linear(784, 10);
 *   forward(x: Tensor) { return this.fc.forward(flatten(x, 1)); }
 * }
 */
export abstract class Module {
  #training = true;
  readonly #buffers = new Set<string>();
  readonly #optionalBuffers = new Set<string>();

  constructor() {
    watchForward<Module>(this, Module.prototype, (module) => module.stateDict().values(), wasMadeParameter);
  }

  /** Whether dropout drops and batch norm uses the batch's statistics. See `train()` and `eval()`. */
  get training(): boolean {
    recorder?.read(this, "training", this.#training);
    return this.#training;
  }

  set training(training: boolean) {
    recorder?.write(this, "training", this.#training);
    this.#training = training;
  }

  /** Computes the module's output. Lazy, as all ops. */
  abstract forward(...inputs: Tensor[]): Tensor;

  /** Marks field `field` as state that is saved but not trained; returns the value for the assignment. */
  protected registerBuffer(field: string, value: Tensor, options: BufferOptions = {}): Tensor {
    refuseInJit("a buffer is registered", "register it in the constructor");
    const { optional } = checkOptions("registerBuffer", options, bufferOptions);
    requireTensor("registerBuffer", value, "the value");
    this.#buffers.add(field);
    if (optional) this.#optionalBuffers.add(field);
    return value;
  }

  /** What `String(module)` has in parentheses, by name: a layer's sizes and options. */
  extraRepr(): object {
    return {};
  }

  /** The tree of layers. See also `summary`. */
  toString(): string {
    return describeModule(this);
  }

  static {
    inspectable(Module.prototype, inspectModule);
  }

  /**
   * This module (with the name "") and all below it, depth first in the order of the fields.
   * @throws ArgumentError if two fields have one name in a state dict (`fooBar` beside `foo_bar`).
   */
  *namedModules(prefix = ""): Generator<[string, Module]> {
    yield* below(this, prefix, []);
  }

  /** The sub-modules in fields, with their names. */
  children(): [string, Module][] {
    return this.#entries().flatMap(({ name, value }) =>
      value instanceof Module ? [[name, value] as [string, Module]] : [],
    );
  }

  /**
   * Puts another module in the place of a sub-module: `name` as `children()` gives it.
   * @throws ArgumentError if there is none of that name.
   */
  replaceChild(name: string, module: Module): void {
    const entry = this.#entries().find(({ name: own, value }) => own === name && value instanceof Module);
    if (entry === undefined) throw new ArgumentError(`there is no module "${name}"`, { op: "replaceChild" });
    entry.put(module);
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
   * Copies values into parameters and buffers. Nothing is changed unless everything fits. Buffers of integers take whole
   * numbers of any dtype.
   *
   * Tensors of a file that `openSafetensors` has opened are read and written piece by piece, in the order of the state dict. Names,
   * shapes and dtypes are checked before the first; if a read fails later, or a value does not fit, those before have their new
   * values already. With `assign` the module then stays as it was.
   *
   * @example
   * await model.loadStateDict(readSafetensors(bytes).tensors);
   *
   * @throws StateDictError listing all missing and unexpected keys and all shapes and dtypes that differ; what reading throws.
   */
  async loadStateDict(state: ReadonlyMap<string, StateValue>, options: LoadOptions = {}): Promise<void> {
    check("loadStateDict", "the state dict", state, aMap);
    const { strict = true, assign } = checkOptions("loadStateDict", options, loadOptions);
    const own = this.stateDict();
    const required = [...this.#state()].filter(({ optional }) => !optional).map(({ name }) => name);
    requireFit(own, state, strict ? required : undefined);
    const given = await inOwnDTypes(own, state);
    if (assign) {
      const device = await deviceNamed("loadStateDict", assign);
      for (const { name, tensor, optional } of this.#state()) {
        const { dtype, shape, size } = tensor;
        if (!optional || given.has(name) || tensor.device === device) continue;
        given.set(name, { dtype, shape, data: newArray(dtype, size) });
      }
      return this.#replace(given, device);
    }
    const updates: [Tensor, Values][] = [];
    for (const [name, value] of given) {
      const target = own.get(name);
      if (target) updates.push([target, await valuesOf(value)]);
    }
    for (const [target, values] of updates) {
      const reading = fill(target, values);
      if (reading) await reading;
    }
  }

  /** Puts new tensors with these values on `device` in the place of the module's own. If one fails, the module stays as it was. */
  async #replace(values: Iterable<readonly [string, StateValue]>, device: Device): Promise<void> {
    const state = new Map([...this.#state()].map((entry) => [entry.name, entry]));
    const copies = new Map<Tensor, Tensor>();
    try {
      for (const [name, value] of values) {
        const { tensor, buffer } = state.get(name) ?? {};
        if (tensor === undefined || copies.has(tensor)) continue;
        const { dtype, shape, requiresGrad } = tensor;
        const data = await valuesOf(value);
        const copy = leaf(device, dtype, shape, undefined, { inFull: buffer });
        copies.set(tensor, copy);
        if (!buffer) setTrainable(copy, requiresGrad);
        await fill(copy, data);
      }
    } catch (error) {
      for (const copy of copies.values()) copy.storage?.dispose();
      throw error;
    }
    for (const { put, tensor } of state.values()) if (copies.has(tensor)) put(copies.get(tensor)!);
    for (const tensor of copies.keys()) dispose(tensor);
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
    for (const tensor of this.parameters()) setTrainable(tensor, false);
    return this;
  }

  /** Undoes `freeze`. */
  unfreeze(): this {
    for (const tensor of this.parameters()) setTrainable(tensor, true);
    return this;
  }

  /**
   * Moves parameters and buffers and frees their old memory. The tensors are new ones: make optimizers and jit
   * functions afterwards. If a copy fails, the module stays as it was. A name stands for the default device if that has
   * it, else for a device that all who name it share.
   *
   * @example
   * await model.to("wasm");
   */
  async to(target: Device | DeviceChoice): Promise<this> {
    const device = await deviceNamed("to", target);
    const away = [...this.stateDict()].filter(([, tensor]) => tensor.device !== device);
    await this.#replace(away, device);
    return this;
  }

  /** Frees the memory of all parameters and buffers. */
  dispose(): void {
    for (const { tensor } of this.#state()) dispose(tensor);
  }

  /** Modules, parameters and buffers in this module's own fields. */
  #entries(): Entry<Module | Tensor>[] {
    return entriesOf(
      this,
      (value, name): value is Module | Tensor =>
        value instanceof Module || (value instanceof Tensor && (isParameter(value) || this.#hasBuffer(name))),
    );
  }

  #hasBuffer(name: string, buffers = this.#buffers): boolean {
    for (const field of buffers) if (stateName(field) === name) return true;
    return false;
  }

  *#state(): Generator<StateEntry> {
    for (const [prefix, owner] of this.namedModules()) {
      for (const { name, value, put } of owner.#entries()) {
        if (value instanceof Module) continue;
        const buffer = owner.#hasBuffer(name);
        const optional = owner.#hasBuffer(name, owner.#optionalBuffers);
        yield { name: join(prefix, name), tensor: value, buffer, optional, put };
      }
    }
  }
}

/** A module that holds one above it is not below itself. */
function* below(module: Module, name: string, path: readonly Module[]): Generator<[string, Module]> {
  if (path.includes(module)) return;
  yield [name, module];
  for (const [own, child] of module.children()) yield* below(child, join(name, own), [...path, module]);
}

/** A parameter or buffer, and what replaces it where it is held. */
interface StateEntry {
  readonly name: string;
  readonly tensor: Tensor;
  readonly buffer: boolean;
  readonly optional: boolean;
  put(tensor: Tensor): void;
}

function join(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}.${name}`;
}

/** The values that the module takes, converted where they come in another dtype. @throws StateDictError */
async function inOwnDTypes(
  own: ReadonlyMap<string, Tensor>,
  state: ReadonlyMap<string, StateValue>,
): Promise<Map<string, StateValue>> {
  const result = new Map(state);
  for (const [name, { dtype, shape }] of own) {
    const value = state.get(name);
    if (value === undefined || value.dtype === dtype) continue;
    const data = await converted(value, dtype);
    if (data === undefined) {
      throw new StateDictError(`the state dict does not fit: ${name} holds what is no ${dtype}`, {
        missing: [],
        unexpected: [],
        mismatched: [name],
      });
    }
    result.set(name, { dtype, shape, data });
  }
  return result;
}

/**
 * @param required The keys that have to be there, if none besides may be; undefined takes what there is.
 * @throws StateDictError
 */
function requireFit(
  own: ReadonlyMap<string, Tensor>,
  state: ReadonlyMap<string, StateValue>,
  required: readonly string[] | undefined,
): void {
  const missing = required?.filter((name) => !state.has(name)) ?? [];
  const unexpected = required === undefined ? [] : [...state.keys()].filter((name) => !own.has(name));
  const mismatched: string[] = [];
  const parts: string[] = [];
  if (missing.length > 0) parts.push(`missing ${missing.join(", ")}`);
  if (unexpected.length > 0) parts.push(`unexpected ${unexpected.join(", ")}`);
  for (const [name, target] of own) {
    const value = state.get(name);
    if (value === undefined) continue;
    const length = ArrayBuffer.isView(value.data) ? value.data.length : target.size;
    if (!sameShape(value.shape, target.shape) || !isLoadable(value.dtype, target.dtype)) {
      parts.push(
        `${name} is ${value.dtype} ${formatShape(value.shape)}, not ${target.dtype} ${formatShape(target.shape)}`,
      );
    } else if (length !== target.size) {
      parts.push(`${name} has ${length} elements for shape ${formatShape(target.shape)}`);
    } else continue;
    mismatched.push(name);
  }
  if (parts.length === 0) return;
  throw new StateDictError(`the state dict does not fit: ${parts.join("; ")}`, {
    missing,
    unexpected,
    mismatched,
  });
}
