/**
 * Constants shared with assembly/: opcodes and other numbers, payload layouts, the order of the block loops. `npm run wasm`
 * (.ci/agreement.mjs) writes them to assembly/generated/ and compiles their hash into the binaries; loading compares the hashes.
 */
import { depthwiseLanes, panelRows, stepLength } from "../../kernels/packed.js";
import { Opcode } from "./command.js";
import { gemvMaxRows as attentionGemvMaxRows, attentionLayout, blockRows } from "./encode/attention.js";
import { convGradWeightLayout, convLayout } from "./encode/conv.js";
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
import { imageLayout, windowLayout } from "./encode/image.js";
import { indexingLayout } from "./encode/indexing.js";
import { drawUniform, loadInput, loopNames } from "./encode/loops.js";
import {
  blockK,
  blockM,
  blockN,
  epilogueColumns,
  fewColumns,
  gemvMaxRows,
  matmulLayout,
} from "./encode/matmul.js";
import { PoolOp, poolLayout } from "./encode/pool.js";
import { gatherOverrun, qconvLayout } from "./encode/qconv.js";
import {
  groupEntryLayout,
  operandsLayout,
  qmatmulFloatLayout,
  qmatmulGroupsLayout,
  qmatmulLayout,
} from "./encode/qmatmul.js";
import {
  dequantizationLayout,
  gemvRows,
  gemvStreams,
  Kind,
  pieceSteps,
  rowTableLayout,
  widenedSteps,
} from "./encode/quantized.js";
import { Reduction, reduceLayout } from "./encode/reduce.js";
import { Access, Stored } from "./encode/strides.js";
import { tileBytes, widenedBytes } from "./encode/tile.js";
import { writeLayout } from "./encode/write.js";

/** Enumerations, and the block sizes and limits of kernels in elements: names to numbers. */
export const namespaces = {
  Opcode,
  Access,
  Stored,
  Mode,
  Reduction,
  PoolOp,
  Kind,
  Gemm: { blockM, blockK, blockN, fewColumns, epilogueColumns, gemvMaxRows },
  AttentionBlocks: { blockRows, gemvMaxRows: attentionGemvMaxRows },
};

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
  MatmulAt: matmulLayout,
  AttentionAt: attentionLayout,
  Window: windowLayout,
  Image: imageLayout,
  ConvAt: convLayout,
  ConvGradWeightAt: convGradWeightLayout,
  Operands: operandsLayout,
  QmatmulAt: qmatmulLayout,
  QmatmulFloatAt: qmatmulFloatLayout,
  QmatmulGroupsAt: qmatmulGroupsLayout,
  GroupEntry: groupEntryLayout,
  QconvAt: qconvLayout,
  RowTable: rowTableLayout,
  Dequantization: dequantizationLayout,
};

/** Layouts whose words follow those of another one. A template in `layouts` would bring all of them into bundles. */
export const beginnings = {
  ConvAt: windowLayout,
  ConvGradWeightAt: windowLayout,
  QconvAt: windowLayout,
  QmatmulAt: operandsLayout,
  QmatmulFloatAt: operandsLayout,
  QmatmulGroupsAt: operandsLayout,
};

export const constants = {
  registerCount,
  cellCount,
  blockLanes,
  loadInput,
  drawUniform,
  gatherOverrun,
  widenedSteps,
  gemvRows,
  gemvStreams,
  pieceSteps,
  panelRows,
  stepLength,
  depthwiseLanes,
  tileBytes,
  widenedBytes,
};

/** Block loops; the index is the loop's number. */
export const loops = loopNames;

/** 32-bit FNV-1a hash of all shared constants. */
export function hashOfAgreement(): number {
  const text = JSON.stringify([namespaces, layouts, beginnings, constants, loops]);
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
