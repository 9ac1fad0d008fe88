/** Module: the base class of layers and networks. Its parameters, buffers and sub-modules are its fields. */

import { aBoolean, aFunction, checkOptions, type Kinds } from "../core/check.js";
import { ArgumentError } from "../core/errors.js";
import { inspectable } from "../core/inspect.js";
import type { Device } from "../device/device.js";
import { type DeviceChoice, deviceNamed } from "../device/select.js";
import { recorder } from "../graph/observe.js";
import { requireTensor } from "../graph/require.js";
import type { Tensor } from "../graph/tensor.js";
import { refuseInJit } from "../runtime/capture.js";
import { dispose } from "../runtime/dispose.js";
import { requireModule } from "./check.js";
import { describeModule, inspectModule } from "./describe.js";
import { loadState } from "./load_state.js";
import { moveState } from "./move.js";
import { setTrainable, wasMadeParameter } from "./parameter.js";
import { watchForward } from "./reads.js";
import {
  addBuffer,
  type BufferOptions,
  fieldsOf,
  initState,
  isModule,
  isPersistent,
  modulesOf,
  stateOf,
} from "./state.js";
import type { LoadOptions, LoadReport, StateDict } from "./state_dict.js";

const bufferOptions: Kinds<BufferOptions> = {
  optional: aBoolean,
  persistent: aBoolean,
  derive: aFunction,
};

/**
 * The base class of layers and models. Subclasses assign parameters (see `parameter`), buffers
 * (`this.x = this.registerBuffer("x", value)`) and other modules to fields and implement `forward`. Other tensors in fields are not
 * part of the state.
 *
 * State-dict names are the field names in PyTorch's spelling: `runningMean` of the field `bn1` is `bn1.running_mean`; a name that
 * begins with a capital, `LayerNorm`, is unchanged. `stateNames` defines other names.
 *
 * `Module<[Tensor], Tensor>` is a module with that signature, `Module` any.
 *
 * A tensor in two places is tied: it is one parameter, is saved once, and loads from a file that has it under either name.
 *
 * Modules and parameters may also be in arrays, Maps and records: the first weight of `layers = [new Linear(2, 2)]` is
 * `layers.0.weight`. Parameters in `#private` fields and closures cannot be found: an optimizer's step throws if `forward` reads a
 * trainable one that no optimizer has.
 *
 * @example
 * class Net extends Module {
 *   readonly fc = new Linear(784, 10);
 *   forward(x: Tensor): Tensor {
 *     return this.fc.forward(flatten(x, 1));
 *   }
 * }
 * const net = new Net();
 * [...net.stateDict().keys()]; // ["fc.weight", "fc.bias"]
 * net.forward(zeros([32, 1, 28, 28])).shape; // [32, 10]
 */
// biome-ignore lint/suspicious/noExplicitAny: a module of which nothing is known takes and returns anything, as in PyTorch
export abstract class Module<Arguments extends readonly unknown[] = any[], Result = any> {
  #training = true;

  constructor() {
    initState(this);
    watchForward<Module>(
      this,
      Module.prototype,
      (module) => stateOf(module).map(({ tensor }) => tensor),
      wasMadeParameter,
    );
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

  /**
   * Computes the module's output; lazy, as all ops. Arguments and result are tensors, or arrays and records of tensors, numbers,
   * strings, booleans, null and undefined.
   *
   * @example
   * class Encoder extends Module {
   *   forward(inputIds: Tensor, { attentionMask }: { attentionMask?: Tensor } = {}): { logits: Tensor; hidden: Tensor[] } { … }
   * }
   */
  abstract forward(...inputs: Arguments): Result;

  /**
   * Marks field `field` as state that is saved but not trained; returns the value for the assignment.
   *
   * @example
   * this.positions = this.registerBuffer("positions", arange(512, { device }), { persistent: false });
   */
  protected registerBuffer(field: string, value: Tensor, options: BufferOptions = {}): Tensor {
    refuseInJit("a buffer is registered", "register it in the constructor");
    checkOptions("registerBuffer", options, bufferOptions);
    addBuffer(this, field, options);
    return requireTensor("registerBuffer", value, "the value");
  }

  /**
   * Names in state dicts, by field, where they differ from the field's own name: a name of any spelling, a path of several levels
   * (`"attention.self"`), or `""` for a level without a name, whose parts are named as if they were this module's own.
   *
   * @example
   * class BertLayer extends Module {
   *   readonly selfAttention = new SelfAttention(); // attention.self.query.weight
   *   readonly blocks = [new Block(), new Block()]; // 0.weight, 1.weight
   *   override stateNames() {
   *     return { selfAttention: "attention.self", blocks: "" };
   *   }
   * }
   */
  stateNames(): Readonly<Record<string, string>> {
    return {};
  }

  /**
   * Patterns of keys that state dicts may have and this module does not load, such as a causal mask or a table that it computes.
   * They match the part of a key after this module's name: `/^bias$/` of a module `h.0.attn` matches `h.0.attn.bias`.
   */
  ignoredKeys(): readonly RegExp[] {
    return [];
  }

  /** The entries in parentheses of `String(module)`: a layer's sizes and options, by name. */
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
    for (const { name, module } of modulesOf<Module>(this, prefix)) yield [name, module];
  }

  /** The sub-modules in fields, with their names. */
  children(): [string, Module][] {
    return fieldsOf<Module>(this).flatMap(({ name, value }) =>
      isModule(value) ? [[name, value] as [string, Module]] : [],
    );
  }

  /**
   * Replaces a sub-module; `name` is its name in `children()`.
   * @throws ArgumentError if there is none of that name.
   */
  replaceChild(name: string, module: Module): void {
    requireModule("replaceChild", module, "the new module");
    const entry = fieldsOf<Module>(this).find(({ name: own, value }) => own === name && isModule(value));
    if (entry === undefined) throw new ArgumentError(`there is no module "${name}"`, { op: "replaceChild" });
    entry.put(module);
  }

  /** Trainable tensors by their state-dict names. A tied tensor appears once, under its first name. */
  namedParameters(): Map<string, Tensor> {
    const result = new Map<string, Tensor>();
    const seen = new Set<Tensor>();
    for (const { name, tensor, buffer } of stateOf(this)) {
      if (buffer || seen.has(tensor)) continue;
      seen.add(tensor);
      result.set(name, tensor);
    }
    return result;
  }

  parameters(): Tensor[] {
    return [...this.namedParameters().values()];
  }

  /** All buffers, including non-persistent ones. */
  namedBuffers(): Map<string, Tensor> {
    return new Map(stateOf(this).flatMap(({ name, tensor, buffer }) => (buffer ? [[name, tensor]] : [])));
  }

  /** Number of trainable values. */
  parameterCount(): number {
    return this.parameters().reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * Parameters and persistent buffers by PyTorch's names. The tensors are the module's own, not copies. A tied tensor appears under
   * each of its names; `hostTensors` and checkpoints keep the first.
   */
  stateDict(): Map<string, Tensor> {
    return new Map(
      stateOf(this)
        .filter(isPersistent)
        .map(({ name, tensor }) => [name, tensor]),
    );
  }

  /**
   * Copies values into parameters and buffers. Nothing is changed unless everything fits. Buffers of integers take whole
   * numbers of any dtype. A tied tensor is loaded from any of its names; if there are several, their values must be equal.
   *
   * Tensors of a file that `openSafetensors` has opened are read and written piece by piece, in the order of the state dict. Names,
   * shapes and dtypes are checked before the first; if a read fails later, or a value does not fit, those before have their new
   * values already. With `assign` the module then stays as it was.
   *
   * @returns Which keys of the state dict were ignored, and which of the module's it lacks.
   * @example
   * await model.loadStateDict(readSafetensors(bytes).tensors, { ignore: [/position_ids$/] });
   *
   * @throws StateDictError listing all missing and unexpected keys and all shapes and dtypes that differ; what reading throws.
   */
  loadStateDict(state: StateDict, options: LoadOptions = {}): Promise<LoadReport> {
    return loadState(this, state, options);
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
    await moveState(this, await deviceNamed("to", target));
    return this;
  }

  /** Frees the memory of all parameters and buffers. */
  dispose(): void {
    for (const { tensor } of stateOf(this)) dispose(tensor);
  }
}
