"""What tests of ONNX files share."""

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

from dsconv import io


def runtime(path):
    """ONNX Runtime on one core, without a word."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    source = str(path) if not isinstance(path, bytes) else path
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def as_dict(network, result):
    return result if isinstance(result, dict) else {next(iter(network.outputs)): result}


def assert_close(actual, expected, tolerance=3e-5):
    """Floats within rounding of the greatest; all else equal; shapes and types the same."""
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    scale = np.abs(expected[np.isfinite(expected)], dtype=float).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


def check_against_runtime(path, feeds, tolerance=3e-5):
    """A file here and in ONNX Runtime; our network comes back."""
    network = io.load_onnx(path)
    session = runtime(path)
    expected = dict(zip(network.outputs, session.run(list(network.outputs), feeds), strict=True))
    for name, actual in as_dict(network, network(feeds)).items():
        assert_close(actual, expected[name], tolerance)
    return network


def model_of(nodes, inputs, outputs, constants=None, opset=17, domains=()):
    """A model of nodes; inputs and outputs are {name: (dtype, shape)}, constants {name: array}."""

    def info(table):
        return [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
            for name, (dtype, shape) in table.items()
        ]

    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", info(inputs), info(outputs), arrays)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def saved(model, tmp_path, name="model.onnx"):
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    return path


ONE = {"x": ("float32", ("N", 4, "h", "w"))}


def node(operator, inputs, output="y", **attributes):
    return helper.make_node(operator, inputs.split(","), output.split(","), **attributes)


def check_graph(
    tmp_path, nodes, constants=None, inputs=None, shapes=((2, 4, 7, 6), (1, 4, 9, 5)), tolerance=3e-5, **words
):
    """A graph from x to y, here and in ONNX Runtime; our network comes back."""
    inputs = ONE if inputs is None else inputs
    model = model_of(nodes, inputs, {"y": ("float32", None)}, constants, **words)
    path = saved(model, tmp_path)
    rng = np.random.default_rng(0)
    for shape in shapes:
        feeds = {name: rng.standard_normal(shape).astype(dtype) * 3 for name, (dtype, _) in inputs.items()}
        network = check_against_runtime(path, feeds, tolerance)
    return network
