"""ONNX Runtime, with the input and the output bound beforehand."""

import onnxruntime as ort

from ..arrays import Contender, Unsupported
from . import _network_onnx
from ._onnx import build_model

DISTRIBUTION = "onnxruntime"


def prepare(row, arrays, threads):
    if row.training:
        raise Unsupported("inference only")
    shape = (row.batch, row.result_channels, *row.output)
    return [_contender(build_model(row, arrays), arrays.x, shape, threads)]


def prepare_network(net, x, threads):
    """A folded network with channels first, its input bound like a row's."""
    return [_contender(_network_onnx.build_model(net, x.shape), x, net.output_shape(x.shape), threads)]


def _contender(model, x, shape, threads):
    try:
        session = ort.InferenceSession(model, _options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Unsupported(str(error).splitlines()[0]) from error
    y = ort.OrtValue.ortvalue_from_shape_and_type(shape, x.dtype.type)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", y)

    def call():
        session.run_with_iobinding(binding)

    def result():
        call()
        return y.numpy()

    return Contender("onnxruntime", call, result)


def _options(threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # Its threads spin during a call as always, but not on into the next contender's turn.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options
