"""Makes files of torch.save for test/formats/torch.test.ts, with PyTorch 2.15; random contents, no model's.   python make.py

state.pt (zip) and legacy.pt hold one state dict, checkpoint.pt more than one, refused.pt asks for a function. Expected values:
expected.safetensors, written by the package safetensors.
"""
import os
from collections import OrderedDict

import torch
from safetensors.torch import save_file

torch.manual_seed(5)
base = torch.randn(4, 6)
state = OrderedDict([
    ("weight", torch.randn(3, 5)),
    ("transposed", base.t()),
    ("columns", base[:, 1:4]),
    ("row", base[2]),
    ("steps", torch.arange(12)[::3]),
    ("half", torch.randn(2, 3).half()),
    ("bfloat", torch.randn(2, 3).bfloat16()),
    ("double", torch.randn(2, dtype=torch.float64)),
    ("count", torch.tensor(7)),
    ("bytes", torch.tensor([1, 2, 255], dtype=torch.uint8)),
    ("signed", torch.tensor([-128, 127], dtype=torch.int8)),
    ("short", torch.tensor([-3, 3], dtype=torch.int16)),
    ("int", torch.tensor([2**31 - 1, -(2**31)], dtype=torch.int32)),
    ("mask", torch.tensor([True, False, True])),
    ("empty", torch.zeros(0, 3)),
    ("ü.parameter", torch.nn.Parameter(torch.randn(2, 2))),
])
torch.save(state, "state.pt")
torch.save(state, "legacy.pt", _use_new_zipfile_serialization=False)
save_file({name: tensor.detach().contiguous().clone() for name, tensor in state.items()}, "expected.safetensors")

module = torch.nn.Linear(3, 2)
optimizer = torch.optim.Adam(module.parameters())
module(torch.randn(1, 3)).sum().backward()
optimizer.step()
torch.save({"model": module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "dtype": torch.float16, "none": None,
            "big": 2**80, "rate": 0.5, "device": torch.device("cpu"), "size": torch.Size([1, 2])}, "checkpoint.pt")
torch.save({"state_dict": module.state_dict(), "epoch": 1}, "nested.pt")


class Call:
    def __reduce__(self):
        return (os.system, ("echo never",))


torch.save({"weight": torch.zeros(1), "extra": Call()}, "refused.pt")
torch.save(torch.zeros(1).expand(1000), "expanded.pt")
