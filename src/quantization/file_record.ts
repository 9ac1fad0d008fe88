/** What a file's metadata say about quantized layers: JSON that is believed only as far as it has been checked. */

import { FormatError } from "../core/errors.js";
import { formatOf, type WeightFormat, type WeightFormatName, weightFormats } from "../core/weight_format.js";
import { excerpt } from "../formats/excerpt.js";
import type { InputQuantization } from "./input.js";
import type { QuantizedLayer } from "./layer.js";

/** Of this module's JSON. */
const version = 1;

/** A layer: its weights' format, whether it has a bias, and its input. */
export type LayerRecord = WeightFormat & {
  readonly bias: boolean;
  readonly input: InputQuantization;
};

export interface QuantizationRecord {
  readonly layers: ReadonlyMap<string, LayerRecord>;
  /** Batch norms that are part of convolutions. */
  readonly folded: readonly string[];
}

export function recordOf({ description: { format }, bias, input }: QuantizedLayer): LayerRecord {
  return { ...format, bias: bias !== undefined, input };
}

export function writeRecord(
  layers: Readonly<Record<string, LayerRecord>>,
  folded: readonly string[],
): string {
  return JSON.stringify({ version, layers, folded });
}

export function damaged(message: string): FormatError {
  return new FormatError(`quantization: ${message}`, { op: "loadQuantized" });
}

/** @throws FormatError for anything that `writeRecord` does not write. */
export function parseRecord(text: string | undefined): QuantizationRecord {
  if (text === undefined) throw damaged("the file does not hold a quantized model");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged("the metadata are not JSON");
  }
  if (!isRecord(value)) throw damaged("the metadata are no object");
  if (value.version !== version) throw damaged(`version ${excerpt(value.version)} is unknown`);
  const { layers, folded } = value;
  if (!isRecord(layers)) throw damaged("there are no layers");
  if (!Array.isArray(folded) || !folded.every((name) => typeof name === "string")) {
    throw damaged("the folded batch norms are no list of names");
  }
  return {
    layers: new Map(Object.entries(layers).map(([name, layer]) => [name, parseLayer(name, layer)])),
    folded: folded as string[],
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseLayer(name: string, value: unknown): LayerRecord {
  if (!isRecord(value)) throw damaged(`${name} is no object`);
  const { bits, groupSize, bias, input } = value;
  if (!knownBits.has(bits)) throw damaged(`${name}: weights of ${excerpt(bits)} bits`);
  if (typeof bias !== "boolean") throw damaged(`${name}: bias is neither true nor false`);
  const common = { bias, input: parseInput(name, input) };
  const isGrouped = bits === 4 || groupSize !== undefined;
  if (
    isGrouped &&
    !(typeof groupSize === "number" && Number.isInteger(groupSize) && groupSize > 0 && groupSize % 32 === 0)
  ) {
    throw damaged(`${name}: the group size is a multiple of 32, not ${excerpt(groupSize)}`);
  }
  const format = formats
    .map((known) => formatOf(known, groupSize as number | undefined))
    .find((known) =>
      (["bits", "dtype", "groupSize", "offset"] as const).every(
        (part) => value[part] === (known as Partial<Record<typeof part, unknown>>)[part],
      ),
    );
  if (format === undefined) throw damaged(`${name}: no format ${excerpt(value)}`);
  if (isGrouped && common.input.kind !== "dynamic") {
    throw damaged(`${name}: weights in groups go with dynamic inputs`);
  }
  if ("dtype" in format && common.input.kind !== "float") {
    throw damaged(`${name}: weights that are floats go with inputs that are floats`);
  }
  return { ...format, ...common };
}

const formats = Object.keys(weightFormats) as WeightFormatName[];
const knownBits = new Set<unknown>(Object.values(weightFormats).map(({ bits }) => bits));

function parseInput(name: string, value: unknown): InputQuantization {
  if (!isRecord(value)) throw damaged(`${name}: the input is not described`);
  const { kind, scale, zeroPoint } = value;
  if (kind === "float" || kind === "dynamic") return { kind };
  if (kind !== "static") throw damaged(`${name}: an input of kind ${excerpt(kind)}`);
  if (typeof scale !== "number" || !(scale > 2 ** -100) || Math.fround(scale) !== scale) {
    throw damaged(`${name}: the scale is a float32 above 0, not ${excerpt(scale)}`);
  }
  if (typeof zeroPoint !== "number" || !Number.isInteger(zeroPoint) || zeroPoint < -128 || zeroPoint > 127) {
    throw damaged(`${name}: the zero point is from -128 to 127, not ${excerpt(zeroPoint)}`);
  }
  return { kind, scale, zeroPoint };
}
