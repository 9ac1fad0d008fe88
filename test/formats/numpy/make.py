"""Makes plain.npz and packed.npz (savez and savez_compressed) and expected.json, their values.

    python test/formats/numpy/make.py
"""
import json
import pathlib

import numpy

here = pathlib.Path(__file__).parent
grid = numpy.arange(24).reshape(2, 3, 4)
arrays = {
    "double": grid / 8 - 1,
    "single": (grid / 4).astype("<f4"),
    "half": (grid / 4).astype("<f2"),
    "long": grid - 12,
    "byte": grid.astype("u1"),
    "truth": grid % 3 == 0,
    "columns": numpy.asfortranarray((grid / 2).astype("<f4")),
    "scalar": numpy.float32(2.5),
    "line": numpy.float32([1, 2, 3]),
    "empty": numpy.zeros((0, 3), "<f4"),
}
numpy.savez(here / "plain.npz", **arrays)
numpy.savez_compressed(here / "packed.npz", **arrays)
numpy.savez(here / "big.npz", x=numpy.ones(2, ">f4"))
values = {
    name: {"shape": list(numpy.shape(a)), "data": numpy.asarray(a, "f8").reshape(-1).tolist()}
    for name, a in arrays.items()
}
(here / "expected.json").write_text(json.dumps(values) + "\n")
