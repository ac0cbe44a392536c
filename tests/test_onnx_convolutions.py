"""Convolutions of ONNX files: every rank, group, stride, dilation and padding; weights that are computed."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from dsconv import io

from .onnx_files import assert_close, check_graph, model_of, node, runtime, saved


def drawn(seed):
    """A convolution of any kind: the node, its constants, the shape of x."""
    rng = np.random.default_rng(seed)
    rank, transposed = int(rng.integers(1, 4)), bool(rng.integers(2))
    kernel, stride = rng.integers(1, 4, rank), rng.integers(1, 3, rank)
    dilation = rng.integers(1, 3, rank)
    kind = rng.choice(["depthwise", "pointwise", "standard", "groups"])
    groups = {"depthwise": 4, "groups": 2}.get(str(kind), 1)
    kernel = np.ones(rank, int) if kind == "pointwise" else kernel
    outputs, sizes = 4 * int(rng.integers(1, 3)), rng.integers(6, 10, rank)
    words = {"strides": stride.tolist(), "dilations": dilation.tolist(), "group": groups}
    auto = rng.choice(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if auto == "NOTSET":
        words["pads"] = rng.integers(0, kernel.repeat(2) if transposed else 3, 2 * rank).tolist()
    elif not (transposed and auto != "VALID"):
        words["auto_pad"] = str(auto)
    if transposed and rng.integers(2):
        words["output_padding"] = rng.integers(0, np.maximum(stride, dilation)).tolist()
    if auto.startswith("SAME") and not transposed:
        words["dilations"] = [1] * rank  # ONNX Runtime refuses others there
    shape = (4, outputs // groups) if transposed else (outputs, 4 // groups)
    arrays = {
        "w": rng.standard_normal((*shape, *kernel)).astype("f"),
        "b": rng.standard_normal(outputs).astype("f"),
    }
    inputs = "x,w,b" if rng.integers(2) else "x,w"
    made = node("ConvTranspose" if transposed else "Conv", inputs, **words)
    return made, arrays, (2, 4, *sizes.tolist())


@pytest.mark.parametrize("seeds", range(10))
def test_convolutions(seeds, tmp_path):
    """Random ones of every rank, group, stride, dilation and padding."""
    ran = 0
    for seed in range(20 * seeds, 20 * seeds + 20):
        made, arrays, shape = drawn(seed)
        inputs = {"x": ("float32", ("N", 4, *map(str, range(len(shape) - 2))))}
        model = model_of([made], inputs, {"y": ("float32", None)}, arrays)
        x = np.random.default_rng(seed).standard_normal(shape).astype("f")
        try:
            expected = runtime(model.SerializeToString()).run(None, {"x": x})[0]
        except Exception:  # a size below 1, or what only ONNX Runtime refuses
            continue
        actual = io.load_onnx(saved(model, tmp_path))(x)
        try:
            assert_close(actual, expected)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {made} {shape}: {error}") from None
        ran += 1
    assert ran > 10


@pytest.mark.parametrize(
    "words", [{"output_shape": [14, 13]}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}]
)
@pytest.mark.parametrize("groups", [1, 4])
def test_transposed_to_a_size(words, groups, tmp_path, rng):
    weight = rng.standard_normal((4, 8 // groups, 3, 3)).astype("f")
    made = node("ConvTranspose", "x,w", strides=[2, 2], group=groups, **words)
    check_graph(tmp_path, [made], {"w": weight}, shapes=[(2, 4, 7, 6)])


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_other_floats(dtype, groups, tmp_path, rng):
    """No narrow sums: float16 is as near as its last bit allows."""
    w = rng.standard_normal((8, 4 // groups, 3, 3)).astype(dtype)
    made = node("Conv", "x,w", pads=[1, 1, 1, 1], group=groups)
    model = model_of([made], {"x": (dtype, ("N", 4, 7, 6))}, {"y": (dtype, None)}, {"w": w})
    wide = model_of(
        [made], {"x": ("float32", ("N", 4, 7, 6))}, {"y": ("float32", None)}, {"w": w.astype("f")}
    )
    x = rng.standard_normal((2, 4, 7, 6)).astype(dtype)
    expected = runtime(wide.SerializeToString()).run(None, {"x": x.astype("f")})[0].astype(dtype)
    assert_close(io.load_onnx(saved(model, tmp_path))(x), expected, 2e-3 if dtype == "float16" else 1e-5)


def test_weights_that_are_computed(tmp_path, rng):
    """They are an input here, other ones in each call."""
    inputs = {"x": ("float32", ("N", 4, 7, 6)), "w": ("float32", (4, 1, 3, 3))}
    network = io.load_onnx(
        saved(model_of([node("Conv", "x,w", group=4)], inputs, {"y": ("float32", None)}), tmp_path)
    )
    session = runtime(tmp_path / "model.onnx")
    for _ in range(3):
        feeds = {
            name: rng.standard_normal(shape).astype("f")
            for name, shape in (("x", (2, 4, 7, 6)), ("w", (4, 1, 3, 3)))
        }
        assert_close(network(feeds), session.run(None, feeds)[0])
