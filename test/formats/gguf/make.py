"""Makes types.gguf and tiny.gguf with the Python package gguf (MIT), version 0.17 or newer; random contents, no model's.

types.gguf has a tensor of every type that is read and, as F32 under the same name with ".values", what gguf.quants.dequantize
gives for it. Blocks of K types, which the package does not quantize to, are random bytes with scales that are finite.
tiny.gguf has one block each, for damaged inputs.   python make.py   (in this folder)
"""
import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFWriter
from gguf.quants import dequantize, quantize

random = np.random.default_rng(7)


def blocks(kind, rows, columns):
    sizes = {Type.Q4_K: (144, (0, 2)), Type.Q5_K: (176, (0, 2)), Type.Q6_K: (210, (208,))}
    size, halves = sizes[kind]
    raw = random.integers(0, 256, (rows, columns // 256, size), dtype=np.uint8)
    for at in halves:
        scale = random.uniform(-0.02, 0.02, (rows, columns // 256, 1)).astype(np.float16)
        raw[:, :, at : at + 2] = scale.view(np.uint8)
    return raw.reshape(rows, -1)


def write(path, rows, columns, values):
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_bool("general.flag", True)
    writer.add_uint64("general.large", 2**60 + 1)
    writer.add_int64("general.negative", -5)
    writer.add_float64("general.double", 0.1)
    writer.add_array("general.numbers", [1, -2, 3])
    writer.add_array("general.floats", [0.5, 1.5])
    writer.add_token_list(["<s>", "ü", "日本", ""])
    for kind in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1):
        data = random.standard_normal((rows, columns[0])).astype(np.float32)
        stored = quantize(data, kind)
        writer.add_tensor(kind.name, stored, raw_dtype=kind)
        if values:
            writer.add_tensor(f"{kind.name}.values", dequantize(stored, kind))
    for kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        stored = blocks(kind, rows, columns[1])
        writer.add_tensor(kind.name, stored, raw_dtype=kind)
        if values:
            writer.add_tensor(f"{kind.name}.values", dequantize(stored, kind))
    writer.add_tensor("bytes", np.array([-128, 0, 127], np.int8))
    writer.add_tensor("words", np.array([[1], [-(2**31)]], np.int32))
    # As the converter of llama.cpp permutes the projections to queries and keys: 2 heads of 4 rows.
    projection = np.arange(8 * 3, dtype=np.float32).reshape(8, 3)
    writer.add_tensor("blk.0.attn_q.weight", projection.reshape(2, 2, 2, 3).swapaxes(1, 2).reshape(8, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


write("types.gguf", 3, (96, 512), True)
write("tiny.gguf", 1, (32, 256), False)
