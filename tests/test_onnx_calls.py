"""Calls of loaded networks: forms, wrong inputs, threads, memory."""

import doctest
import threading

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper

from dsconv import io

from .onnx_files import ONE, check_against_runtime, model_of, node, saved


@pytest.fixture
def pair(tmp_path):
    """Two inputs, two outputs."""
    inputs = {"a": ("float32", ("N", 3)), "b": ("int64", (3,))}
    made = [node("Cast", "b", "c", to=1), node("Add", "a,c", "sum"), node("Mul", "a,c", "product")]
    outputs = {"sum": ("float32", ("N", 3)), "product": ("float32", None)}
    return io.load_onnx(saved(model_of(made, inputs, outputs), tmp_path))


def test_call_forms(pair):
    a, b = np.ones((2, 3), np.float32), np.arange(3)
    assert pair.inputs == {"a": ("float32", ("N", 3)), "b": ("int64", (3,))}
    assert pair.outputs == {"sum": ("float32", ("N", 3)), "product": ("float32", None)}
    assert repr(pair).startswith("Model(a: float32 ('N', 3), b: int64 (3,)) -> sum: float32")
    first = pair({"a": a, "b": b})
    assert list(first) == ["sum", "product"]
    for again in (pair(a=a, b=b), pair({"a": a}, b=b), pair({"a": [[1, 1, 1], [1, 1, 1]], "b": [0, 1, 2]})):
        assert all((again[name] == first[name]).all() for name in first)


CALLS = {
    "missing": (dict(a=0), ValueError, "inputs: missing b; the network needs a .float32, shape"),
    "unknown": (dict(a=0, b=0, c=1), ValueError, "inputs: got unknown 'c'; the network needs a "),
    "type": (
        dict(a=np.ones((2, 3)), b=np.arange(3)),
        ValueError,
        "a: the network needs float32, got float64: use",
    ),
    "rank": (
        dict(a=np.ones(3, "f"), b=np.arange(3)),
        ValueError,
        r"a: the network needs shape \('N', 3\), got \(3,\)",
    ),
    "size": (
        dict(a=np.ones((2, 4), "f"), b=np.arange(3)),
        ValueError,
        r"a: the network needs shape \('N', 3\), got \(2, 4",
    ),
    "object": (dict(a=object(), b=np.arange(3)), TypeError, "a: expected an array of float32, got object"),
    "words": (dict(a="no", b=np.arange(3)), ValueError, "a: the network needs float32, got <U2"),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_inputs(name, pair):
    feeds, error, message = CALLS[name]
    with pytest.raises(error, match=message):
        pair(feeds)


def test_wrong_positional_inputs(pair):
    with pytest.raises(
        ValueError, match="inputs: one array goes to a network of one input; this one needs a "
    ):
        pair(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="inputs: missing a, b"):
        pair()


def test_failing_node(tmp_path):
    """The error of a call names the node and its operator."""
    inputs = {"a": ("float32", ("N", "m")), "b": ("float32", ("M", "n"))}
    made = [helper.make_node("MatMul", ["a", "b"], ["y"], "product of both")]
    network = io.load_onnx(saved(model_of(made, inputs, {"y": ("float32", None)}), tmp_path))
    with pytest.raises(ValueError, match=r"node 'product of both' \(dsconv.MatMul\): matmul"):
        network(a=np.ones((2, 3), np.float32), b=np.ones((4, 5), np.float32))


def test_threads(tmp_path, rng):
    """One network from many threads, with other channels of a computed weight in each."""
    arrays = {"w": rng.standard_normal((8, 4, 3, 3)).astype("f"), "p": rng.random((3, 8, 1, 1)).astype("f")}
    made = [
        node("Conv", "x,w", "1", pads=[1] * 4),
        node("Relu", "1", "2"),
        node("Conv", "2,p", "3"),
        node("Softmax", "3", "y", axis=1),
    ]
    network = io.load_onnx(saved(model_of(made, ONE, {"y": ("float32", None)}, arrays), tmp_path))
    inputs = [rng.standard_normal((1 + i % 3, 4, 5 + i, 6)).astype("f") for i in range(8)]
    expected = [io.load_onnx(tmp_path / "model.onnx")(x).tobytes() for x in inputs]
    wrong = []

    def run(position):
        for _ in range(20):
            if network(inputs[position]).tobytes() != expected[position]:
                wrong.append(position)

    threads = [threading.Thread(target=run, args=(position,)) for position in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_values_are_dropped(tmp_path):
    """A long chain holds two of its values at a time."""
    import tracemalloc

    made = [node("Sqrt", "x" if i == 0 else f"v{i}", f"v{i + 1}") for i in range(40)]
    network = io.load_onnx(
        saved(model_of(made, {"x": ("float32", ("N",))}, {"v40": ("float32", None)}), tmp_path)
    )
    x = np.ones(1 << 18, np.float32)
    network(x)
    tracemalloc.start()
    network(x)
    assert tracemalloc.get_traced_memory()[1] < 4 * x.nbytes
    tracemalloc.stop()


def test_outputs_that_are_not_asked_for(tmp_path, rng):
    """They are not taken for inputs that are not given, whose name is empty too."""
    arrays = {name: rng.standard_normal(shape).astype("f") for name, shape in LSTM.items()}
    made = [
        node("LSTM", "x,w,r", ",h,c", hidden_size=4),
        node("LSTM", "x,w,r,,,h,c", ",,y", hidden_size=4),
    ]
    model = model_of(made, {"x": ("float32", ("T", "N", 3))}, {"y": ("float32", None)}, arrays)
    check_against_runtime(saved(model, tmp_path), {"x": rng.standard_normal((5, 2, 3)).astype("f")})


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("operator", ["LSTM", "GRU"])
def test_recurrent(operator, direction, tmp_path, rng):
    gates, directions = {"LSTM": 4, "GRU": 3}[operator], 2 if direction == "bidirectional" else 1
    shapes = {"w": (directions, gates * 4, 3), "r": (directions, gates * 4, 4), "b": (directions, gates * 8)}
    arrays = {name: rng.standard_normal(shape).astype("f") for name, shape in shapes.items()}
    outputs = {name: ("float32", None) for name in (("y", "h", "c") if operator == "LSTM" else ("y", "h"))}
    for words in [{}] + [{"linear_before_reset": 1}] * (operator == "GRU"):
        made = [node(operator, "x,w,r,b", ",".join(outputs), hidden_size=4, direction=direction, **words)]
        model = model_of(made, {"x": ("float32", ("T", "N", 3))}, outputs, arrays)
        network = check_against_runtime(
            saved(model, tmp_path), {"x": rng.standard_normal((5, 2, 3)).astype("f")}
        )
        assert network.operators == [operator]


LSTM = {"w": (1, 16, 3), "r": (1, 16, 4)}


def test_results_that_are_constants(tmp_path):
    """They cannot be written through, or the next call would see it."""
    outputs = {"y": ("float32", None), "w": ("float32", (3,))}
    model = model_of(
        [node("Add", "x,w")], {"x": ("float32", ("N", 3))}, outputs, {"w": np.ones(3, np.float32)}
    )
    network = io.load_onnx(saved(model, tmp_path))
    result = network(np.ones((1, 3), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        result["w"][0] = 5


def test_examples():
    from dsconv.io import onnx_interface, onnx_model

    for module in (onnx_interface, onnx_model):
        result = doctest.testmod(module)
        assert result.failed == 0 < result.attempted


def test_without_onnx(run_python):
    """The rest of the package does without it, and the error says what to install."""
    script = "import sys; sys.modules['onnx'] = None\nimport dsconv as ds\nds.io.load_onnx('x')"
    done = run_python(script)
    assert "ImportError: load_onnx needs the package onnx: pip install 'numpy-dsconv[onnx]'" in done.stderr


def test_infinities_are_results(tmp_path, recwarn):
    """Without a warning, whatever makes them."""
    made = [node("Sqrt", "x", "s"), node("Div", "s,x", "d"), node("Softmax", "d", "e"), node("Erf", "e")]
    network = io.load_onnx(
        saved(model_of(made, {"x": ("float32", ("N",))}, {"y": ("float32", None)}), tmp_path)
    )
    assert np.isnan(network(np.array([-1, 0, np.inf], np.float32))).all()
    assert not recwarn
