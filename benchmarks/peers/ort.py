"""ONNX Runtime, with the input and the output bound beforehand."""

import numpy as np
import onnxruntime as ort

from ..arrays import Contender, Unsupported
from ._onnx import build_model

DISTRIBUTION = "onnxruntime"


def prepare(row, arrays, threads):
    if row.training:
        raise Unsupported("inference only")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Its threads spin during a call as always, but not on into the next contender's turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = ort.InferenceSession(build_model(row, arrays), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Unsupported(str(error).splitlines()[0]) from error
    x = ort.OrtValue.ortvalue_from_numpy(arrays.x)
    shape = (row.batch, row.result_channels, *row.output)
    y = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.dtype(row.dtype).type)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_ortvalue_output("y", y)

    def call():
        session.run_with_iobinding(binding)

    def result():
        call()
        return y.numpy()

    return [Contender("onnxruntime", call, result)]
