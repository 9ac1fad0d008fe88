/**
 * Encodes an expression for the block interpreter (assembly/expression.ts): chooses the access mode of each operand and the length of
 * blocks, allocates registers to block values and writes the words.
 */
import { ArgumentError } from "../../../core/errors.js";
import type { Shape } from "../../../core/shape.js";
import type { Expression, Operand } from "../../../kernels/kernel.js";
import type { CommandWriter } from "../command.js";
import { drawUniform, loadInput } from "./loops.js";
import { type InputKind, type Place, type Selection, Selector, type Step } from "./select.js";
import { Access, coalesce, isLinear, loadAccess, storeAccess } from "./strides.js";

/** Block registers and cells of the interpreter. Its table of pointers has an entry for each, then inputs and outputs. */
export const registerCount = 128;
export const cellCount = 128;
const firstInput = registerCount + cellCount;
const firstOutput = firstInput + 128;
const maxOutputs = 64;
/** Lanes of a register. */
export const blockLanes = 512;
/** With more values alive than this, half blocks keep them all in a 32 KiB L1 cache. */
const wideBlockValues = 12;
/** Rows shorter than this are copied together into one block; longer ones are read in place. */
const shortestRow = 128;

/** Inputs that repeat with at most this period (a bias along channels) are read once per call. */
const longestPeriod = 256;

/** Lanes of a block for plain copies, which need no register. */
const copiedBlock = 1 << 16;

/**
 * Access modes of an operand. `linear`: element p in iteration order is element p in memory. `row`: each row is contiguous. `strided`:
 * copied to or from a block register. `block`: as `linear`, in scratch memory that contains a part of the elements.
 */
export const Mode = { linear: 0, row: 1, strided: 2, block: 3 } as const;

/** Slot of values that a kernel leaves in a block of scratch memory: four bytes each, dense in iteration order. */
export const blockSlot = -1;

/**
 * The first words of an expression: number of elements; lanes of a block (a multiple of 4 unless there is only one block); 1 if blocks
 * end at row ends, so that inputs can be read in place; 1 if some operand needs the indices of the block; then the counts of what follows
 * the extents: cells, instructions that run once on the cells, instructions that run once on a whole block, instructions of every block,
 * inputs.
 */
export const headerLayout = "size block byRows located rank cells once fills instructions inputs extents";
/** An input; one stride for each dimension. */
export const operandLayout = "mode access address entry strides";
/**
 * An output of `map`: the table entries of the value, of the value if it is computed in place (or 0), and of the register used instead
 * for ragged blocks.
 */
export const outputLayout = "mode access address value target standIn strides";
/** A cell: its entry, an access or 3 for a constant, address or value. */
export const cellLayout = "entry access source";
/** An instruction; all but the loop's number as byte offsets into the table. */
export const instructionLayout = "loop destination a b c";

/** The operand of a load, or of an iota, which is a view without memory. */
interface Input {
  readonly operand?: Operand;
  readonly access: number;
  readonly strides: readonly number[];
}

export interface EncodedExpression {
  readonly size: number;
  /** The entry of each result, as a byte offset into the pointer table. */
  readonly results: readonly number[];
  /** Writes the tail that describes outputs; empty for reductions. */
  writeOutputs(): void;
}

export function usesUniform(expression: Expression): boolean {
  return expression.instructions.some((instruction) => instruction.op === "uniform");
}

/** The distinct operands that an expression reads, and which instruction reads which. */
function collectInputs(
  shape: Shape,
  operands: readonly Operand[],
  expression: Expression,
): [Input[], Map<number, number>] {
  const inputs: Input[] = [];
  const numbers = new Map<number, number>();
  const known = new Map<string, number>();
  expression.instructions.forEach((instruction, i) => {
    if (instruction.op !== "load" && instruction.op !== "iota") return;
    const index = instruction.index ?? 0;
    const key = `${instruction.op} ${index}`;
    let number = known.get(key);
    if (number === undefined) {
      number = inputs.length;
      known.set(key, number);
      if (instruction.op === "load") {
        const operand = operands[index];
        inputs.push({ operand, access: loadAccess(operand.dtype), strides: operand.view.strides });
      } else {
        inputs.push({ access: Access.iota, strides: shape.map((_, d) => (d === index ? 1 : 0)) });
      }
    }
    numbers.set(i, number);
  });
  return [inputs, numbers];
}

/**
 * Inputs that are stored unchanged in one output although another output may overwrite them first. They are read into a register.
 */
function overwrittenInputs(
  expression: Expression,
  numbers: ReadonlyMap<number, number>,
  inputs: readonly Input[],
  outputs: readonly Operand[],
  sharesMemory: SharesMemory,
): Set<number> {
  const found = new Set<number>();
  expression.results.forEach((result, k) => {
    const number = numbers.get(underCasts(expression, result));
    const slot = number === undefined ? undefined : inputs[number].operand?.slot;
    if (number === undefined || slot === undefined) return;
    if (outputs.some((output, other) => other !== k && sharesMemory(output.slot, slot))) found.add(number);
  });
  return found;
}

/** The argument below casts and other instructions that may leave the value unchanged. */
function underCasts(expression: Expression, i: number): number {
  const { op, args } = expression.instructions[i];
  return args.length === 1 || op === "pow" ? underCasts(expression, args[0]) : i;
}

/** Whether two slots may hold the same bytes. */
export type SharesMemory = (slot: number, other: number) => boolean;

/**
 * Encodes the expression over `shape`, with dimensions iterated in `order`. Writes all words except those of the outputs.
 *
 * @param preferredBlock without outputs (reductions), the lanes of a block; `isDirect` if values are read without a register.
 * @param range the expression is evaluated in parts that begin at multiples of this number of elements.
 */
export function encodeExpression(
  call: { shape: Shape; inputs: readonly Operand[]; expression: Expression },
  order: readonly number[],
  outputs: readonly Operand[],
  preferredBlock: (isDirect: boolean) => number,
  sharesMemory: SharesMemory,
  writer: CommandWriter,
  range = 0,
): EncodedExpression {
  const { shape, expression } = call;
  const [inputs, numbers] = collectInputs(shape, call.inputs, expression);
  if (inputs.length > 128 || outputs.length > maxOutputs) {
    throw new ArgumentError("too many operands for one expression", { op: "map" });
  }
  const { extents, strides } = coalesce(shape, order, [
    ...inputs.map((input) => input.strides),
    ...outputs.map((output) => output.view.strides),
  ]);
  const rank = extents.length;
  const rowLength = extents[rank - 1];
  const size = extents.reduce((product, extent) => product * extent, 1);
  const accesses = [
    ...inputs.map((input) => input.access),
    ...outputs.map((output) => storeAccess(output.dtype)),
  ];
  const isWord = (k: number) => accesses[k] === Access.load32 || accesses[k] === Access.store32;
  const linear = strides.map((list, k) => isWord(k) && isLinear(extents, list));
  const byRows =
    rank > 1 &&
    rowLength >= shortestRow &&
    strides.some((list, k) => !linear[k] && isWord(k) && list[rank - 1] === 1);
  const fragile = overwrittenInputs(expression, numbers, inputs, outputs, sharesMemory);
  const modes = strides.map((list, k) => {
    if (inputs[k]?.operand?.slot === blockSlot) return Mode.block;
    if (fragile.has(k)) return Mode.strided;
    if (linear[k]) return Mode.linear;
    return byRows && isWord(k) && list[rank - 1] === 1 ? Mode.row : Mode.strided;
  });
  const kinds = inputs.map((_, k): InputKind => {
    if (modes[k] === Mode.block) return "direct";
    if (strides[k].every((stride) => stride === 0)) return "constant";
    const period = periodOf(extents, strides[k]);
    if (modes[k] === Mode.strided && period <= longestPeriod && range % period === 0 && !byRows)
      return "periodic";
    return modes[k] === Mode.strided ? "strided" : "direct";
  });
  const selection = new Selector(expression, numbers, kinds).select();
  const outputModes = modes.slice(inputs.length);
  const isRagged = (block: number) =>
    [byRows ? rowLength : size, block, range].some((length) => length % 4 !== 0);
  const registers = allocate(selection, inputs, outputs, outputModes, sharesMemory);
  const isDirect = selection.steps.length === 0 && selection.fills.length === 0;
  const alive = registers.count + kinds.filter((kind) => kind === "direct").length + registers.targets.size;
  let block = alive > wideBlockValues ? blockLanes / 2 : blockLanes;
  if (outputs.length === 0) block = preferredBlock(isDirect);
  else if (isDirect) block = copiedBlock;
  // Periods are products of the innermost extents, so the longest is a multiple of the others.
  const period = Math.max(
    0,
    ...inputs.map((_, k) => (kinds[k] === "periodic" ? periodOf(extents, strides[k]) : 0)),
  );
  if (period > 0) block = wholePeriods(block, period);
  if (byRows && rowLength > block) {
    block = Math.ceil(rowLength / Math.ceil(rowLength / block) / 16) * 16;
  }

  // Constants have stride 0 in every dimension and are read into cells: they are not inputs of the block loop.
  const used = inputs.map((_, k) => k).filter((k) => kinds[k] !== "constant");
  const located = modes.some(
    (mode, k) =>
      mode !== Mode.linear &&
      mode !== Mode.block &&
      (k >= inputs.length || (used.includes(k) && kinds[k] !== "periodic")),
  );
  const position = new Map(used.map((k, i) => [k, i]));

  const entry = (place: Place): number => {
    if (place.kind === "cell") return (registerCount + place.cell) * 4;
    if (place.kind === "input") return (firstInput + place.input) * 4;
    const target = registers.targets.get(place.id);
    return (target === undefined ? registers.of[place.id] : firstOutput + target) * 4;
  };
  const writeStep = (step: Step) => {
    writer.i32(step.loop, entry(step.target));
    if (step.loop === loadInput) writer.i32(position.get(step.raw!)!);
    else if (step.loop === drawUniform) writer.scalarAddress(step.raw!);
    else writer.i32(step.args.length > 0 ? entry(step.args[0]) : 0);
    writer.i32(
      step.args.length > 1 ? entry(step.args[1]) : 0,
      step.args.length > 2 ? entry(step.args[2]) : 0,
    );
  };

  const header = [
    size,
    block,
    byRows ? 1 : 0,
    located ? 1 : 0,
    rank,
    selection.cells.length,
    selection.once.length,
    selection.fills.length,
    selection.steps.length,
    used.length,
    ...extents,
  ];
  writer.i32(...header);
  for (const { cell, source } of selection.cells) {
    writer.i32((registerCount + cell) * 4);
    if (source.kind === "input") {
      writer.i32(inputs[source.input].access);
      writer.address(inputs[source.input].operand!);
    } else if (source.kind === "scalar") {
      writer.i32(Access.load32);
      writer.scalarAddress(source.index);
    } else {
      writer.i32(Access.iota);
      if (source.isFloat) writer.f32(source.value);
      else writer.i32(source.value);
    }
  }
  for (const step of selection.once) writeStep(step);
  for (const step of selection.fills) writeStep(step);
  for (const step of selection.steps) writeStep(step);
  for (const k of used) {
    writer.i32(modes[k], accesses[k]);
    const { operand } = inputs[k];
    if (operand && operand.slot !== blockSlot) writer.address(operand);
    else writer.i32(0);
    writer.i32((firstInput + k) * 4, ...strides[k]);
  }

  const results = selection.results.map(entry);
  const targetOf = new Set(registers.targets.values());
  const writeOutputs = () => {
    writer.i32(outputs.length);
    outputs.forEach((output, k) => {
      writer.i32(outputModes[k], accesses[inputs.length + k]);
      writer.address(output);
      writer.i32(
        results[k],
        targetOf.has(k) ? (firstOutput + k) * 4 : 0,
        targetOf.has(k) && isRagged(block) ? registers.standIns.get(k)! * 4 : 0,
      );
      for (const stride of strides[inputs.length + k]) writer.i32(stride);
    });
  };
  return { size, results, writeOutputs };
}

/** The number of elements, in iteration order, after which an input repeats. */
function periodOf(extents: readonly number[], strides: readonly number[]): number {
  const first = strides.findIndex((stride) => stride !== 0);
  return extents.slice(first).reduce((product, extent) => product * extent, 1);
}

/** The longest multiple of the period within `block`, if possible a multiple of 4. */
function wholePeriods(block: number, period: number): number {
  const vectors = period % 4 === 0 ? period : period % 2 === 0 ? period * 2 : period * 4;
  const unit = vectors <= block ? vectors : period;
  return Math.floor(block / unit) * unit;
}

interface Registers {
  /** The register of each block value. */
  readonly of: readonly number[];
  readonly count: number;
  /** Block values computed directly in an output: value → output. */
  readonly targets: ReadonlyMap<number, number>;
  /** The register used instead for blocks that are not whole vectors: output → register. */
  readonly standIns: ReadonlyMap<number, number>;
}

/** Linear-scan register allocation; a register is free again after the last use of its value. */
function allocate(
  selection: Selection,
  inputs: readonly Input[],
  outputs: readonly Operand[],
  outputModes: readonly number[],
  sharesMemory: SharesMemory,
): Registers {
  const { steps, fills, results, blockCount } = selection;
  const lastUse = new Array<number>(blockCount).fill(-1);
  steps.forEach((step, t) => {
    for (const arg of step.args) if (arg.kind === "block") lastUse[arg.id] = t;
  });
  for (const result of results) if (result.kind === "block") lastUse[result.id] = steps.length;
  for (const fill of fills) if (fill.target.kind === "block") lastUse[fill.target.id] = steps.length;

  const targets = new Map<number, number>();
  outputs.forEach((output, k) => {
    const result = results[k];
    if (result.kind !== "block" || outputModes[k] === Mode.strided || targets.has(result.id)) return;
    const t = steps.findIndex((step) => step.target.kind === "block" && step.target.id === result.id);
    if (t >= 0 && !readsLater(output.slot, t)) targets.set(result.id, k);
  });
  function readsLater(slot: number, t: number): boolean {
    // The output may share memory with an input: the input's elements of this block must not be needed any more.
    return steps.slice(t + 1).some((step) => {
      const reads = (input: number) => {
        const operand = inputs[input].operand;
        return operand !== undefined && sharesMemory(operand.slot, slot);
      };
      if (step.raw !== undefined && step.loop === loadInput) return reads(step.raw);
      return step.args.some((arg) => arg.kind === "input" && reads(arg.input));
    });
  }

  const of = new Array<number>(blockCount).fill(-1);
  const free: number[] = [];
  let count = 0;
  const take = () => free.pop() ?? count++;
  for (const fill of fills) if (fill.target.kind === "block") of[fill.target.id] = take();
  steps.forEach((step, t) => {
    for (const arg of step.args) {
      if (arg.kind !== "block" || lastUse[arg.id] !== t || targets.has(arg.id)) continue;
      lastUse[arg.id] = -1;
      free.push(of[arg.id]);
    }
    if (step.target.kind === "block" && !targets.has(step.target.id)) of[step.target.id] = take();
  });
  const standIns = new Map<number, number>();
  for (const k of targets.values()) standIns.set(k, count++);
  if (count > registerCount || selection.cellCount > cellCount) {
    throw new ArgumentError("the expression has too many values alive at once", { op: "map" });
  }
  return { of, count, targets, standIns };
}
