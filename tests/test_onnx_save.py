"""`save_onnx`: what ONNX Runtime and `load_onnx` make of the file is what the layer gives."""

import os

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

import dsconv as ds
from dsconv import io, models, nn

from . import test_models_sequences, test_models_vision
from .networks import lively
from .onnx_files import assert_close, check_against_runtime, runtime

FIRST, LAST = "channels_first", "channels_last"

MAP, SERIES, FILM, TOKENS = (4, 7, 6), (4, 13), (4, 5, 6, 5), (5, 8)
AVERAGE = {"count_padding": False}
# layers: maker, shape of a sample
LAYERS = {
    "conv": (lambda f: nn.Conv2d(4, 3, 3, stride=2, padding="same", data_format=f), MAP),
    "conv 1D": (lambda f: nn.Conv1d(4, 3, 5, padding="causal", dilation=2, data_format=f), SERIES),
    "conv 3D": (lambda f: nn.Conv3d(4, 3, (1, 2, 3), padding=((0, 0), (1, 0), (2, 1)), data_format=f), FILM),
    "depthwise": (lambda f: nn.DepthwiseConv2d(4, 3, depth_multiplier=2, padding="same", data_format=f), MAP),
    "depthwise full": (lambda f: nn.DepthwiseConv1d(4, 4, padding="full", bias=False, data_format=f), SERIES),
    "pointwise": (lambda f: nn.PointwiseConv3d(4, 5, activation="relu", data_format=f), FILM),
    "separable": (
        lambda f: nn.SeparableConv2d(
            4,
            5,
            3,
            padding=1,
            depthwise_bias=True,
            depthwise_activation="relu6",
            activation="silu",
            data_format=f,
        ),
        MAP,
    ),
    "transposed": (
        lambda f: nn.ConvTranspose2d(4, 3, (3, 4), stride=2, padding=1, output_padding=(1, 0), data_format=f),
        MAP,
    ),
    "transposed same": (
        lambda f: nn.DepthwiseConvTranspose2d(4, 2, stride=3, padding="same", data_format=f),
        MAP,
    ),
    "transposed depthwise": (
        lambda f: nn.DepthwiseConvTranspose1d(
            4, 3, depth_multiplier=2, stride=2, padding=((0, 2),), data_format=f
        ),
        SERIES,
    ),
    "transposed separable": (
        lambda f: nn.SeparableConvTranspose2d(
            4, 3, 4, stride=2, padding=1, dilation=2, activation="tanh", data_format=f
        ),
        MAP,
    ),
    "batch norm": (lambda f: nn.BatchNorm(4, eps=1e-2, data_format=f), MAP),
    "layer norm": (lambda f: nn.LayerNorm(4, eps=1e-2, data_format=f), MAP),
    "max pool": (lambda f: nn.MaxPool2d(3, stride=2, padding="same", dilation=1, data_format=f), MAP),
    "max pool dilated": (lambda f: nn.MaxPool1d(3, stride=1, padding=2, dilation=2, data_format=f), SERIES),
    "average pool": (lambda f: nn.AveragePool2d(3, stride=2, padding=1, data_format=f), MAP),
    "average pool same": (lambda f: nn.AveragePool2d(2, padding="same", **AVERAGE, data_format=f), MAP),
    "average pool dilated": (lambda f: nn.AveragePool1d(2, stride=1, dilation=3, data_format=f), SERIES),
    "global pool": (lambda f: nn.GlobalAveragePool(data_format=f), MAP),
    "global pool kept": (lambda f: nn.GlobalAveragePool(keepdims=True, data_format=f), FILM),
    "upsample": (lambda f: nn.Upsample((2, 3), data_format=f), MAP),
    "upsample 1D": (lambda f: nn.Upsample(3, data_format=f), SERIES),
    "upsample 3D": (lambda f: nn.Upsample(2, data_format=f), FILM),
    "upsample nearest": (lambda f: nn.Upsample(3, "nearest", data_format=f), MAP),
    "pixel shuffle": (lambda f: nn.PixelShuffle2d(2, data_format=f), MAP),
    "pixel shuffle uneven": (lambda f: nn.PixelShuffle2d((1, 2), data_format=f), MAP),
    "pixel shuffle 1D": (lambda f: nn.PixelShuffle1d(2, data_format=f), SERIES),
    "squeeze": (lambda f: nn.SqueezeExcite(4, 2, gate="hardsigmoid", data_format=f), MAP),
    "attention": (lambda f: nn.SelfAttention(4, 2, data_format=f), MAP),
    "concat": (
        lambda f: nn.Concat(nn.Identity(), nn.PointwiseConv2d(4, 2, data_format=f), data_format=f),
        MAP,
    ),
    "split": (
        lambda f: nn.Split((1, 3), nn.Identity(), nn.DepthwiseConv2d(3, 1, data_format=f), data_format=f),
        MAP,
    ),
    "same size": (lambda f: nn.SameSize(nn.MaxPool2d(2, padding="same", data_format=f), data_format=f), MAP),
    "same size nearest": (
        lambda f: nn.SameSize(nn.MaxPool2d(3, data_format=f), "nearest", data_format=f),
        MAP,
    ),
    "same size crop": (
        lambda f: nn.SameSize(
            nn.Sequential(nn.MaxPool2d(2, padding="same", data_format=f), nn.Upsample(2, data_format=f)),
            "crop",
            data_format=f,
        ),
        MAP,
    ),
}
PLAIN = {
    "tokens": (lambda: nn.SelfAttention(8, 4, bias=False), TOKENS),
    "linear": (lambda: nn.Linear(8, 3, activation="gelu"), TOKENS),
    "linear flat": (lambda: nn.Linear(8, 3, bias=False), (8,)),
    "norms flat": (lambda: nn.Sequential(nn.BatchNorm(8), nn.LayerNorm(8)), (8,)),
    "positions": (lambda: nn.PositionEmbedding(*TOKENS), TOKENS),
    "reshape": (lambda: nn.Sequential(nn.Reshape(-1), nn.Reshape(4, 10)), TOKENS),
    "nothing": (lambda: nn.Sequential(nn.Dropout(0.5), nn.StochasticDepth(0.5), nn.Identity()), MAP),
    "residual": (
        lambda: nn.Residual(nn.Dropout(0.2), nn.Product(nn.Identity(), nn.Activation("sigmoid"))),
        MAP,
    ),
    "product": (lambda: nn.Product(nn.Identity(), nn.GlobalAveragePool(keepdims=True)), MAP),
    "shared": (lambda: nn.Sequential(*[nn.PointwiseConv2d(4, 4)] * 2), MAP),
}
for _name in ("relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid", "tanh", "gelu"):
    PLAIN[_name] = (lambda name=_name: nn.Activation(name)), MAP
MODES = "reflect", "symmetric", "replicate", "circular"


def checked(layer, sample, tmp_path, tolerance=3e-5, **context):
    """Save, check with onnx, run in ONNX Runtime and here on two batch sizes; our network comes back."""
    lively(layer).train()
    path = tmp_path / "layer.onnx"
    io.save_onnx(layer, path, (2, *sample))
    onnx.checker.check_model(onnx.load(path), full_check=True)
    for batch in (1, 3):
        x = np.random.default_rng(batch).standard_normal((batch, *sample)).astype(np.float32)
        feeds = {"x": x} | context
        network = check_against_runtime(path, feeds, tolerance)
        assert_close(network(feeds), copy_eval(layer)(x, **context), tolerance)
    assert layer.training and os.listdir(tmp_path) == ["layer.onnx"]
    return network


def copy_eval(layer):
    import copy

    return copy.deepcopy(layer).eval()


@pytest.mark.parametrize("data_format", [FIRST, LAST])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, data_format, tmp_path):
    make, sample = LAYERS[name]
    sample = (*sample[1:], sample[0]) if data_format == LAST else sample
    checked(make(data_format), sample, tmp_path)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_layers(name, tmp_path):
    make, sample = PLAIN[name]
    checked(make(), sample, tmp_path)


@pytest.mark.parametrize("padding", ["same", 2, 7])
@pytest.mark.parametrize("mode", MODES)
def test_padding_modes(mode, padding, tmp_path):
    """Those that go round more than once, or that ONNX does not have, too."""
    words = {"padding": padding, "padding_mode": mode}
    net = nn.Sequential(nn.DepthwiseConv2d(4, 3, **words), nn.Conv2d(4, 2, (3, 1), **words))
    network = checked(net, MAP, tmp_path)
    if mode != "symmetric" and padding != 7:
        assert network.operators == ["Conv", "Conv", "Identity"]  # the pads are in the convolutions again


VISION = {f"vision {name}": each[:2] for name, each in test_models_vision.ALL.items()}
SEQUENCES = {
    f"{kind} {name}": each[:2]
    for kind, table in (("block", test_models_sequences.BLOCKS), ("network", test_models_sequences.NETWORKS))
    for name, each in table.items()
}


@pytest.mark.parametrize("name", [*VISION, *SEQUENCES])
def test_networks(name, tmp_path):
    make, sample = (VISION | SEQUENCES)[name]
    checked(make(rng=3), sample, tmp_path, 2e-4)


@pytest.mark.parametrize("name", ["vision mobilenet_v3 small", "vision unet", "network keyword_spotter"])
def test_networks_with_channels_last(name, tmp_path):
    make, sample = (VISION | SEQUENCES)[name]
    checked(make(rng=3, data_format=LAST), (*sample[1:], sample[0]), tmp_path, 2e-4)


@pytest.mark.parametrize("words", [{}, {"taps": 3, "separable": True}, {"separable": True, "pool": True}])
def test_graph_network(words, tmp_path):
    a = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    network = checked(models.gcn(4, 3, hidden=5, rng=0, **words), (6, 4), tmp_path, adjacency=a)
    assert network.inputs["adjacency"] == ("float32", (6, 6))


def test_tuples(tmp_path):
    """Several inputs, several outputs, one of them an input."""
    net = nn.Parallel(nn.Identity(), nn.PointwiseConv1d(2, 3, rng=0))
    path = tmp_path / "pair.onnx"
    io.save_onnx(net, path, ((1, 4, 5), (1, 2, 6)))
    x0, x1 = np.ones((2, 4, 5), np.float32), np.ones((2, 2, 6), np.float32)
    network = check_against_runtime(path, {"x0": x0, "x1": x1})
    result = network(x0=x0, x1=x1)
    assert list(result) == ["y0", "y1"] and network.outputs["y1"] == ("float32", ("N", 3, 6))
    joined = nn.Sequential(net, nn.Parallel(nn.Identity(), nn.Identity()), nn.Concat())
    io.save_onnx(joined, path, ((1, 4, 6), (1, 2, 6)))
    given = x0[..., [0, 1, 2, 3, 4, 4]], x1
    assert_close(io.load_onnx(path)({"x0": given[0], "x1": x1}), joined(given))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_dtypes(dtype, tmp_path):
    layer = nn.Sequential(nn.Linear(6, 3, dtype=dtype, rng=0), nn.Activation("relu6"))
    path = tmp_path / "layer.onnx"
    io.save_onnx(layer, path, (1, *MAP))
    x = np.random.default_rng(0).standard_normal((2, *MAP)).astype(dtype)
    assert_close(io.load_onnx(path)(x), layer(x), 2e-3 if dtype == "float16" else 1e-12)
    assert_close(runtime(path).run(None, {"x": x})[0], layer(x), 2e-2 if dtype == "float16" else 1e-12)


class Louder(nn.Activation):
    def __call__(self, x):
        return 2 * super().__call__(x)


def test_layers_without_operators(tmp_path):
    """The error names the layer and where it is; nothing is written, and what was there stays."""
    path = tmp_path / "layer.onnx"
    path.write_bytes(b"before")
    double = nn.Lambda(lambda x: 2 * x, lambda x: (2 * x, lambda dy: 2 * dy))
    net = nn.Sequential(stem=nn.Identity(), body=nn.Residual(nn.Sequential(double)))
    with pytest.raises(
        NotImplementedError, match=r"save_onnx: body\.body\.0 \(Lambda\(<lambda>\)\) is a Lambda"
    ):
        io.save_onnx(net, path, (1, 4))
    with pytest.raises(NotImplementedError, match=r"the layer .* is a Louder"):
        io.save_onnx(Louder("relu"), path, (1, 4))
    with pytest.raises(
        NotImplementedError, match="parameters must be float16, float32 or float64, got complex64"
    ):
        io.save_onnx(nn.Linear(4, 2, dtype="complex64"), path, (1, 4))
    assert path.read_bytes() == b"before" and os.listdir(tmp_path) == ["layer.onnx"]


def test_wrong_arguments(tmp_path):
    path = tmp_path / "layer.onnx"
    with pytest.raises(TypeError, match="layer: expected a dsconv.nn.Layer, got int"):
        io.save_onnx(3, path, (1, 4))
    with pytest.raises(ValueError, match="Linear takes a batch axis"):
        io.save_onnx(nn.Linear(3, 2), path, (1, 4))
    for layer in (nn.Conv2d(3, 2, 3), nn.MaxPool2d(2), nn.DepthwiseConv2d(3, 3), nn.PointwiseConv2d(3, 3)):
        for shape in ((1, 3, 8), (1, 3, 8, 8, 8)):
            with pytest.raises(ValueError, match=rf"x: {type(layer).__name__} takes 4 axes"):
                io.save_onnx(layer, path, shape)
    with pytest.raises(ValueError, match="kernel_size: the dilated kernel"):
        io.save_onnx(nn.Conv2d(3, 2, 9), path, (1, 3, 8, 8))
    with pytest.raises(ValueError, match="Parallel needs a tuple of 1 inputs"):
        io.save_onnx(nn.Parallel(nn.Identity()), path, (1, 3))
    with pytest.raises(FileNotFoundError):
        io.save_onnx(nn.Linear(3, 2), tmp_path / "no" / "folder.onnx", (1, 3))
    assert os.listdir(tmp_path) == []
    assert ds.io is io
