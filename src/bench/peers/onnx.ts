/** Writes small ONNX models: the needed part of the protobuf encoding (onnx.proto3 of ONNX 1.16). */

export type ElementType = "float32" | "uint8" | "int8" | "int32";

/** TensorProto.DataType. */
const dataTypes: Readonly<Record<ElementType, number>> = { float32: 1, uint8: 2, int8: 3, int32: 6 };

export interface ValueType {
  readonly type: ElementType;
  readonly shape: readonly number[];
}

export interface Constant extends ValueType {
  readonly data: Float32Array | Uint8Array | Int8Array | Int32Array;
}

/** Integers must not be negative. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly string: string };

export interface Node {
  readonly op: string;
  /** Names; an empty name omits an optional input. */
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Default: ONNX's own operators. */
  readonly domain?: string;
}

export interface Graph {
  readonly inputs: Readonly<Record<string, ValueType>>;
  readonly constants?: Readonly<Record<string, Constant>>;
  /** In topological order. */
  readonly nodes: readonly Node[];
  readonly outputs: Readonly<Record<string, ValueType>>;
  /** Version of ONNX's operators. */
  readonly opset: number;
}

/** Version of the file format: ONNX 1.14, which has all operators used here. */
const irVersion = 9;
/** onnxruntime's own operators have a single version. */
const otherDomainsVersion = 1;

/** The bytes of a model. */
export function onnxModel({ inputs, constants = {}, nodes, outputs, opset }: Graph): Uint8Array<ArrayBuffer> {
  const domains = new Set(nodes.flatMap(({ domain }) => domain ?? []));
  const graph = message(
    ...nodes.map((node) => field(1, nodeProto(node))),
    text(2, "wattgrad bench"),
    ...Object.entries(constants).map(([name, constant]) => field(5, tensorProto(name, constant))),
    ...Object.entries(inputs).map(([name, value]) => field(11, valueInfo(name, value))),
    ...Object.entries(outputs).map(([name, value]) => field(12, valueInfo(name, value))),
  );
  return message(
    integer(1, irVersion),
    field(7, graph),
    field(8, integer(2, opset)),
    ...[...domains].map((domain) => field(8, message(text(1, domain), integer(2, otherDomainsVersion)))),
  );
}

function nodeProto({ op, inputs, output, attributes = {}, domain }: Node): Uint8Array {
  return message(
    ...inputs.map((name) => text(1, name)),
    text(2, output),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => field(5, attributeProto(name, value))),
    ...(domain === undefined ? [] : [text(7, domain)]),
  );
}

/** AttributeProto: the value in the field of its type, and the type. */
function attributeProto(name: string, value: Attribute): Uint8Array {
  if ("float" in value) return message(text(1, name), float(2, value.float), integer(20, 1));
  if ("int" in value) return message(text(1, name), integer(3, value.int), integer(20, 2));
  if ("string" in value) return message(text(1, name), text(4, value.string), integer(20, 3));
  return message(text(1, name), ...value.ints.map((each) => integer(8, each)), integer(20, 7));
}

function tensorProto(name: string, { type, shape, data }: Constant): Uint8Array {
  const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return message(
    ...shape.map((extent) => integer(1, extent)),
    integer(2, dataTypes[type]),
    text(8, name),
    field(9, raw),
  );
}

function valueInfo(name: string, { type, shape }: ValueType): Uint8Array {
  const dims = message(...shape.map((extent) => field(1, integer(1, extent))));
  const tensorType = message(integer(1, dataTypes[type]), field(2, dims));
  return message(text(1, name), field(2, field(1, tensorType)));
}

/** Wire types of protobuf. */
const [varintType, bytesType, fixed32Type] = [0, 2, 5];

/** Base-128 varint, least significant group first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

const tag = (number: number, wireType: number) => varint(number * 8 + wireType);

function integer(number: number, value: number): Uint8Array {
  return Uint8Array.from([...tag(number, varintType), ...varint(value)]);
}

function float(number: number, value: number): Uint8Array {
  return message(Uint8Array.from(tag(number, fixed32Type)), new Uint8Array(Float32Array.of(value).buffer));
}

function field(number: number, content: Uint8Array): Uint8Array {
  return message(Uint8Array.from([...tag(number, bytesType), ...varint(content.length)]), content);
}

function text(number: number, value: string): Uint8Array {
  return field(number, new TextEncoder().encode(value));
}

function message(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
