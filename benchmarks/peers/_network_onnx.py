"""A network as an ONNX model whose sizes are all fixed, so that runtimes may prepare for them."""

import tempfile
from pathlib import Path

import onnx

from dsconv import io


def build_model(net, shape):
    """Serialised model of a folded network with channels first, from "x" to "y"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        io.save_onnx(net, path, shape)
        model = onnx.load(path)
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = shape[0]
    return model.SerializeToString()
