"""Weights and networks in and out of files, and from other libraries' names and layouts into layers.

Weights are read without the libraries that wrote them; ONNX files need the package onnx.
No file can run code.

>>> import os, tempfile
>>> import numpy as np
>>> import dsconv as ds
>>> net = ds.models.mobilenet_v3("small", num_classes=10, rng=0)
>>> with tempfile.TemporaryDirectory() as directory:
...     path = os.path.join(directory, "weights.npz")
...     ds.io.save(net.state_dict(), path)
...     again = ds.io.from_torch(ds.io.load(path), ds.models.mobilenet_v3("small", num_classes=10))
>>> bool((again.parameters["classifier.linear.weight"] == net.parameters["classifier.linear.weight"]).all())
True
"""

from .keras_layouts import from_keras
from .onnx_interface import load_onnx, save_onnx
from .torch_state import from_torch
from .weights import load, save

__all__ = [
    "from_keras",
    "from_torch",
    "load",
    "load_onnx",
    "save",
    "save_onnx",
]
