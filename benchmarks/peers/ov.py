"""OpenVINO, from the ONNX model, on shared memory."""

import numpy as np
import openvino

from ..arrays import Contender, Unsupported
from ._onnx import build_model

DISTRIBUTION = "openvino"


def prepare(row, arrays, threads):
    if row.training:
        raise Unsupported("inference only")
    if row.dtype != "float32":
        raise Unsupported("computes float64 in float32")
    core = openvino.Core()
    model = core.read_model(build_model(row, arrays))
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        # Pinning would outlive the call and bind the other contenders too.
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(model, "CPU", hints).create_infer_request()
    y = np.empty((row.batch, row.result_channels, *row.output), row.dtype)
    request.set_input_tensor(openvino.Tensor(arrays.x, shared_memory=True))
    request.set_output_tensor(openvino.Tensor(y, shared_memory=True))

    def call():
        # Without this flag every call copies the result.
        request.infer(share_outputs=True)

    def result():
        call()
        return y

    return [Contender("openvino", call, result)]
