/**
 * Constants shared with assembly/: opcodes and other numbers, payload layouts, the order of the block loops. `npm run wasm`
 * (.ci/agreement.mjs) writes them to assembly/generated/ and compiles their hash into the binaries; loading compares the hashes.
 */
import { depthwiseLanes, panelRows, stepLength } from "../../kernels/packed.js";
import { Opcode } from "./command.js";
import {
  blockLanes,
  cellCount,
  cellLayout,
  headerLayout,
  instructionLayout,
  Mode,
  operandLayout,
  outputLayout,
  registerCount,
} from "./encode/expression.js";
import { indexingLayout } from "./encode/indexing.js";
import { drawUniform, loadInput, loopNames } from "./encode/loops.js";
import { PoolOp, poolLayout } from "./encode/pool.js";
import { gatherOverrun } from "./encode/qconv.js";
import { dequantizationLayout, Kind, rowTableLayout, widenedSteps } from "./encode/quantized.js";
import { Reduction, reduceLayout } from "./encode/reduce.js";
import { Access, Stored } from "./encode/strides.js";
import { writeLayout } from "./encode/write.js";

/** Enumerations: names to numbers. */
export const namespaces = { Opcode, Access, Stored, Mode, Reduction, PoolOp, Kind };

/** Payload layouts: the names of consecutive 32-bit words, from which byte offsets are generated. Not part of bundles. */
export const layouts = {
  Header: headerLayout,
  Cell: cellLayout,
  InstructionAt: instructionLayout,
  OperandAt: operandLayout,
  OutputAt: outputLayout,
  ReduceAt: reduceLayout,
  PoolAt: poolLayout,
  IndexingAt: indexingLayout,
  WriteAt: writeLayout,
  RowTable: rowTableLayout,
  Dequantization: dequantizationLayout,
};

export const constants = {
  registerCount,
  cellCount,
  blockLanes,
  loadInput,
  drawUniform,
  gatherOverrun,
  widenedSteps,
  panelRows,
  stepLength,
  depthwiseLanes,
};

/** Block loops; the index is the loop's number. */
export const loops = loopNames;

/** 32-bit FNV-1a hash of all shared constants. */
export function hashOfAgreement(): number {
  const text = JSON.stringify([namespaces, layouts, constants, loops]);
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
