"""The operator tests that come with the package onnx: single operators, and layers that PyTorch exported."""

import functools
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

from dsconv import io
from dsconv.io import onnx_operators

from .onnx_files import as_dict, assert_close, runtime, saved

# where this package's evaluator, ONNX Runtime and the tests do not agree, and why they need not
EXCUSED = {
    "bernoulli": "draws",
    "training_dropout": "draws",
    "test_resize_downsample_scales_linear_align_corners": "as ONNX Runtime, sizes are whole numbers first",
    "test_scan_sum": "the evaluator has Scan from version 9 on",
    "3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True": "wrong before onnx 1.18",
    "BFLOAT16": "comes as integers before onnx 1.19",
    "STRING": "the evaluator's strings are of another type",
    "string": "the evaluator's strings are of another type",
    "strnorm": "the evaluator's strings are of another type",
}
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
EXPORTED = sorted(
    path for kind in ("pytorch-converted", "pytorch-operator") for path in DATA.glob(f"{kind}/*")
)


@functools.cache
def cases():
    """All single-operator tests by the operator, which are made when they are asked for."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    table = {}
    for case in found:
        nodes = case.model.graph.node
        # functions of dozens of nodes that are written out test the evaluator more than they test us
        if len(nodes) > 6 or any(word in case.name for word in EXCUSED):
            continue
        for operator in sorted({node.op_type for node in nodes} & set(OURS))[:1]:
            table.setdefault(operator, []).append(case)
    return table


OURS = sorted(
    {*onnx_operators.ADOPTED, "Conv", "ConvTranspose", "Relu", "Gelu", "HardSwish", "Sigmoid", "Tanh"}
)


def array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def check(path, inputs, outputs, rtol=1e-3, atol=1e-7):
    network = io.load_onnx(path)
    results = as_dict(network, network(dict(zip(network.inputs, inputs, strict=True))))
    for actual, expected in zip(results.values(), outputs, strict=True):
        assert actual.shape == expected.shape and actual.dtype == expected.dtype
        if expected.dtype.kind in "fV":
            np.testing.assert_allclose(actual.astype(float), expected.astype(float), rtol, atol)
        else:
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("operator", OURS)
def test_single_operators(operator, tmp_path):
    """Everything that a test of one of our operators gives; what is refused says so at load."""
    ran = 0
    for case in cases().get(operator, []):
        path = saved(case.model, tmp_path)
        for inputs, outputs in case.data_sets:
            try:
                check(path, list(map(array, inputs)), list(map(array, outputs)), case.rtol, case.atol)
                ran += 1
            except NotImplementedError as error:
                assert "node" in str(error) or "tensors" in str(error), case.name
            except Exception as error:
                raise AssertionError(f"{case.name}: {error}") from error
    # Upsample has no tests any more
    assert ran or operator in ("Upsample",)


@pytest.mark.parametrize("folder", EXPORTED, ids=lambda path: path.name.removeprefix("test_"))
def test_exported_layers(folder):
    for data in folder.glob("test_data_set_*"):
        arrays = {}
        for kind in "input", "output":
            paths = [data / f"{kind}_{i}.pb" for i in range(len(list(data.glob(f"{kind}_*.pb"))))]
            arrays[kind] = [
                numpy_helper.to_array(TensorProto.FromString(each.read_bytes())) for each in paths
            ]
        check(folder / "model.onnx", arrays["input"], arrays["output"], 1e-3, 1e-5)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet", "inception_v1"])
def test_light_networks(name):
    """Real graphs, with constants for weights."""
    path = DATA / "light" / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip("this onnx comes without them")
    network = io.load_onnx(path)
    (_, shape) = next(iter(network.inputs.values()))
    x = np.ones(shape, np.float32)
    result = network(x)
    assert_close(result, runtime(path).run(None, {next(iter(network.inputs)): x})[0])
