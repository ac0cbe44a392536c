"""OpenVINO, from the ONNX model, on shared memory."""

import numpy as np
import openvino

from ..arrays import Contender, Unsupported
from . import _network_onnx
from ._onnx import build_model

DISTRIBUTION = "openvino"


def prepare(row, arrays, threads):
    if row.training:
        raise Unsupported("inference only")
    if row.dtype != "float32":
        raise Unsupported("computes float64 in float32")
    shape = (row.batch, row.result_channels, *row.output)
    return [_contender(build_model(row, arrays), arrays.x, shape, threads)]


def prepare_network(net, x, threads):
    """A folded network with channels first, on shared memory like a row."""
    return [_contender(_network_onnx.build_model(net, x.shape), x, net.output_shape(x.shape), threads)]


def _contender(model, x, shape, threads):
    core = openvino.Core()
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        # Pinning would outlive the call and bind the other contenders too.
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(core.read_model(model), "CPU", hints).create_infer_request()
    y = np.empty(shape, x.dtype)
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(y, shared_memory=True))

    def call():
        # Without this flag every call copies the result.
        request.infer(share_outputs=True)

    def result():
        call()
        return y

    return Contender("openvino", call, result)
