"""
The files that language.mjs compares on:

    python language_models.py FOLDER [SmolLM2.gguf]

writes gpt2.onnx and gpt2_int8.onnx (GPT-2 small with random weights, one step with past keys and values, logits of the last token;
int8 by onnxruntime's quantize_dynamic), and of a GGUF file its copy with Q8_0 weights. Needs onnx, onnxruntime, gguf, numpy.
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

layers, width, heads, vocabulary, positions = 12, 768, 12, 50257, 1024
head = width // heads
random = np.random.default_rng(0)


def gpt2(path):
    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(array, name))
        return name

    def weight(name, *shape):
        return constant(name, (0.02 * random.standard_normal(shape)).astype(np.float32))

    def op(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def norm(x, name):
        scale = constant(f"{name}.w", np.ones(width, np.float32))
        bias = constant(f"{name}.b", np.zeros(width, np.float32))
        return op("LayerNormalization", [x, scale, bias], f"{name}.y", axis=-1, epsilon=1e-5)

    def linear(x, name, k, n):
        product = op("MatMul", [x, weight(f"{name}.w", k, n)], f"{name}.xw")
        return op("Add", [product, constant(f"{name}.b", np.zeros(n, np.float32))], f"{name}.y")

    to_heads = constant("to_heads", np.array([1, -1, heads, head]))
    to_width = constant("to_width", np.array([1, -1, width]))
    half, one = (constant(str(v), np.array(v, np.float32)) for v in (0.5, 1.0))
    cubic, slope = (constant(str(v), np.array(v, np.float32)) for v in (0.044715, np.sqrt(2 / np.pi)))
    scale = constant("scale", np.array(head**-0.5, np.float32))
    table = weight("wte", vocabulary, width)
    x = op("Gather", [table, "input_ids"], "tokens")
    x = op("Add", [x, op("Gather", [weight("wpe", positions, width), "position_ids"], "places")], "embedded")
    for i in range(layers):
        qkv = linear(norm(x, f"{i}.ln1"), f"{i}.qkv", width, 3 * width)
        nodes.append(helper.make_node("Split", [qkv], [f"{i}.{p}" for p in "qkv"], axis=2, num_outputs=3))
        q, k, v = (
            op("Transpose", [op("Reshape", [f"{i}.{p}", to_heads], f"{i}.{p}4")], f"{i}.{p}h", perm=[0, 2, 1, 3])
            for p in "qkv"
        )
        k = op("Concat", [f"past_key_{i}", k], f"key_{i}", axis=2)
        v = op("Concat", [f"past_value_{i}", v], f"value_{i}", axis=2)
        scores = op("MatMul", [q, op("Transpose", [k], f"{i}.kt", perm=[0, 1, 3, 2])], f"{i}.qk")
        scores = op("Add", [op("Mul", [scores, scale], f"{i}.scaled"), "mask"], f"{i}.masked")
        mixed = op("MatMul", [op("Softmax", [scores], f"{i}.p", axis=-1), v], f"{i}.pv")
        joined = op("Reshape", [op("Transpose", [mixed], f"{i}.t", perm=[0, 2, 1, 3]), to_width], f"{i}.joined")
        x = op("Add", [x, linear(joined, f"{i}.proj", width, width)], f"{i}.x1")
        h = linear(norm(x, f"{i}.ln2"), f"{i}.fc", width, 4 * width)
        cube = op("Mul", [op("Mul", [op("Mul", [h, h], f"{i}.h2"), h], f"{i}.h3"), cubic], f"{i}.ch3")
        tanh = op("Tanh", [op("Mul", [op("Add", [h, cube], f"{i}.sum"), slope], f"{i}.arg")], f"{i}.tanh")
        gelu = op("Mul", [op("Mul", [h, half], f"{i}.hh"), op("Add", [tanh, one], f"{i}.1t")], f"{i}.gelu")
        x = op("Add", [x, linear(gelu, f"{i}.down", 4 * width, width)], f"{i}.x2")
    last = op("Gather", [norm(x, "lnf"), constant("minus1", np.array(-1))], "last", axis=1)
    # The head is a copy, as exporters of MatMul graphs make it.
    op("MatMul", [last, constant("head", numpy_helper.to_array(constants[[c.name for c in constants].index("wte")]).T.copy())], "logits")

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    def caches(name, length):
        return [value(f"{name}_{i}", TensorProto.FLOAT, [1, heads, length, head]) for i in range(layers)]

    inputs = [value(n, TensorProto.INT64, [1, "T"]) for n in ("input_ids", "position_ids")]
    inputs += [value("mask", TensorProto.FLOAT, ["T", "S"]), *caches("past_key", "P"), *caches("past_value", "P")]
    outputs = [value("logits", TensorProto.FLOAT, [1, vocabulary]), *caches("key", "S"), *caches("value", "S")]
    graph = helper.make_graph(nodes, "gpt2", inputs, outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def q8(source, target):
    from gguf import GGMLQuantizationType as Type
    from gguf import GGUFReader, GGUFValueType, GGUFWriter
    from gguf.quants import dequantize, quantize

    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        sub = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub)
    for tensor in reader.tensors:
        if tensor.tensor_type == Type.F32:
            writer.add_tensor(tensor.name, tensor.data)
        else:
            data = quantize(dequantize(tensor.data, tensor.tensor_type), Type.Q8_0)
            writer.add_tensor(tensor.name, data, raw_dtype=Type.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


folder = Path(sys.argv[1])
gpt2(folder / "gpt2.onnx")
from onnxruntime.quantization import QuantType, quantize_dynamic

quantize_dynamic(folder / "gpt2.onnx", folder / "gpt2_int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
if len(sys.argv) > 2:
    q8(sys.argv[2], folder / "smollm2_q8_0.gguf")
