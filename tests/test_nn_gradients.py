"""Every layer and combinator: finite differences in float64, shapes, purity."""

import pickle
import threading
from copy import deepcopy

import numpy as np
import pytest

from dsconv import nn
from dsconv.testing import check_gradients

SIZES = {1: (9,), 2: (6, 5), 3: (4, 3, 5)}
FIRST, LAST = "channels_first", "channels_last"


def of_rank(name, rank, *args, **words):
    return getattr(nn, f"{name}{rank}d")(*args, **words)


def same(rank, data_format):
    return of_rank("DepthwiseConv", rank, 4, 3, padding="same", data_format=data_format, rng=9)


# name -> layer of a rank and a data format for 4 channels
MAPS = {
    "depthwise": lambda r, f: of_rank(
        "DepthwiseConv", r, 4, 3, depth_multiplier=2, stride=2, padding=1, activation="silu", data_format=f
    ),
    "depthwise circular": lambda r, f: of_rank(
        "DepthwiseConv", r, 4, 2, padding="same", padding_mode="circular", bias=False, data_format=f
    ),
    "pointwise": lambda r, f: of_rank("PointwiseConv", r, 4, 3, activation="tanh", data_format=f),
    "separable": lambda r, f: of_rank(
        "SeparableConv", r, 4, 3, 3, padding="same", dilation=2, depthwise_bias=True,
        depthwise_activation="gelu", activation="sigmoid", data_format=f,
    ),
    "depthwise transposed": lambda r, f: of_rank(
        "DepthwiseConvTranspose", r, 4, 3, stride=2, padding=1, output_padding=1, data_format=f
    ),
    "separable transposed": lambda r, f: of_rank(
        "SeparableConvTranspose", r, 4, 2, 3, stride=2, padding="same", activation="hardswish", data_format=f
    ),
    "standard": lambda r, f: of_rank("Conv", r, 4, 3, 3, stride=2, padding="same", data_format=f),
    "standard reflect": lambda r, f: of_rank(
        "Conv", r, 4, 3, 2, padding=2, padding_mode="reflect", activation="tanh", bias=False, data_format=f
    ),
    "max pool": lambda r, f: of_rank("MaxPool", r, 3, stride=2, padding="same", data_format=f),
    "average pool": lambda r, f: of_rank("AveragePool", r, 2, padding=1, data_format=f),
    "average pool of inputs": lambda r, f: of_rank(
        "AveragePool", r, 3, stride=1, padding=1, count_padding=False, data_format=f
    ),
    "global pool": lambda r, f: nn.GlobalAveragePool(data_format=f),
    "global pool kept": lambda r, f: nn.GlobalAveragePool(keepdims=True, data_format=f),
    "bilinear": lambda r, f: nn.Upsample(3, data_format=f),
    "nearest": lambda r, f: nn.Upsample((2,) * r, "nearest", data_format=f),
    "squeeze excite": lambda r, f: nn.SqueezeExcite(4, 2, rank=r, activation="silu", data_format=f),
    "batch norm": lambda r, f: nn.BatchNorm(4, data_format=f),
    "batch norm inference": lambda r, f: nn.BatchNorm(4, data_format=f).eval(),
    "layer norm": lambda r, f: nn.LayerNorm(4, data_format=f),
    "attention": lambda r, f: nn.SelfAttention(4, heads=2, data_format=f),
    "reshape": lambda r, f: nn.Reshape(-1),
    "concat": lambda r, f: nn.Concat(nn.Identity(), same(r, f), data_format=f),
    "sum": lambda r, f: nn.Sum(nn.Identity(), same(r, f), nn.Activation("silu")),
    "product": lambda r, f: nn.Product(same(r, f), nn.GlobalAveragePool(True, data_format=f), nn.Identity()),
    "residual": lambda r, f: nn.Residual(nn.Sequential(same(r, f), nn.StochasticDepth(0.5))),
    "split": lambda r, f: nn.Split(
        (1, 3), of_rank("Conv", r, 1, 2, 3, padding=1, data_format=f), nn.Activation("tanh"), data_format=f
    ),
    "same size": lambda r, f: nn.SameSize(
        nn.Sequential(same(r, f), of_rank("AveragePool", r, 2, padding="same", data_format=f)), data_format=f
    ),
    "same size nearest": lambda r, f: nn.SameSize(
        of_rank("AveragePool", r, 2, data_format=f), "nearest", data_format=f
    ),
    "same size crop": lambda r, f: nn.SameSize(nn.Upsample(2, data_format=f), "crop", data_format=f),
    "split and dropout": lambda r, f: nn.Sequential(
        nn.Split((2, 2), nn.Identity(), nn.Activation("silu"), data_format=f), nn.Dropout(0.3)
    ),
}  # fmt: skip


def make(name, rank, data_format):
    rng = np.random.default_rng(rank)
    layer = MAPS[name](rank, data_format)
    for array in layer.parameters.values():
        array[...] = rng.standard_normal(array.shape) * 0.7
    shape = (3, 4, *SIZES[rank]) if data_format == FIRST else (3, *SIZES[rank], 4)
    return layer, rng.standard_normal(shape)


@pytest.mark.parametrize("data_format", [FIRST, LAST])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", MAPS)
def test_maps(name, rank, data_format):
    layer, x = make(name, rank, data_format)
    check_gradients(layer, x)
    context = {"rng": 0} if "rng" in layer.context_names else {}
    before = {key: array.tobytes() for key, array in (layer.parameters | layer.buffers).items()}
    copy = x.copy()
    y, pullback = layer.vjp(x, **context)
    assert y.shape == layer.output_shape(x.shape)
    assert layer(x, **context).tobytes() == y.tobytes()
    dx, grads = pullback(np.ones(y.shape))
    assert dx.shape == x.shape
    assert grads.keys() == layer.parameters.keys()
    assert all(grad.shape == layer.parameters[key].shape for key, grad in grads.items())
    again, _ = pullback(np.ones(y.shape))
    assert again.tobytes() == dx.tobytes()
    assert x.tobytes() == copy.tobytes()
    assert before == {key: array.tobytes() for key, array in (layer.parameters | layer.buffers).items()}


@pytest.mark.parametrize("name", MAPS)
def test_layouts_agree(name):
    """The same layer, channels last, gives the transposed result."""
    if name in ("layer norm", "reshape", "split and dropout", "residual"):
        pytest.skip("it has another layout, or draws in the order of memory")
    first, x = make(name, 2, FIRST)
    last = MAPS[name](2, LAST)
    last.load_state_dict(first.state_dict())
    expected, got = first(x), last(np.moveaxis(x, 1, -1).copy())
    np.testing.assert_allclose(got, np.moveaxis(expected, 1, -1) if got.ndim > 2 else expected, atol=1e-6)


@pytest.mark.parametrize("name", MAPS)
def test_empty_batch(name):
    layer, x = make(name, 2, FIRST)
    layer.eval()
    y, pullback = layer.vjp(x[:0])
    assert y.shape == layer.output_shape(x[:0].shape)
    dx, grads = pullback(y)
    assert dx.shape == x[:0].shape
    assert all((grad == 0).all() and grad.shape == layer.parameters[key].shape for key, grad in grads.items())


@pytest.mark.parametrize("name", MAPS)
def test_float32_stays(name):
    layer, x = make(name, 2, FIRST)
    context = {"rng": 0} if "rng" in layer.context_names else {}
    y, pullback = layer.vjp(x.astype(np.float32), **context)
    dx, grads = pullback(np.ones_like(y))
    assert {y.dtype, dx.dtype, *(each.dtype for each in grads.values())} == {np.dtype(np.float32)}
    assert all(each.dtype == np.float32 for each in getattr(pullback, "buffers", {}).values())


@pytest.mark.parametrize("name", MAPS)
def test_copies_and_state(name):
    layer, x = make(name, 2, FIRST)
    context = {"rng": 0} if "rng" in layer.context_names else {}
    y = layer(x, **context)
    for copy in deepcopy(layer), pickle.loads(pickle.dumps(layer)):
        assert copy(x, **context).tobytes() == y.tobytes()
        assert repr(copy) == repr(layer)
        for array in copy.parameters.values():
            array += 1
        assert copy.load_state_dict(layer.state_dict())(x, **context).tobytes() == y.tobytes()
    assert layer(x, **context).tobytes() == y.tobytes()
    assert "total" in layer._repr_html_()
    layer.input_shape = x.shape
    assert "total" in layer._repr_html_()


TOKENS = {
    "linear": lambda: nn.Linear(4, 3, activation="gelu", rng=0),
    "layer norm": lambda: nn.LayerNorm(4),
    "position": lambda: nn.PositionEmbedding(5, 4, rng=0),
    "attention": lambda: nn.SelfAttention(4, heads=2, rng=0),
    "attention without biases": lambda: nn.SelfAttention(4, bias=False, rng=0),
    "dropout": lambda: nn.Dropout(0.4),
    "activation": lambda: nn.Activation("hardsigmoid"),
    "lambda": lambda: nn.Lambda(np.sin, lambda x: (np.sin(x), lambda dy: dy * np.cos(x))),
    "block": lambda: nn.Residual(nn.Sequential(nn.LayerNorm(4), nn.SelfAttention(4, rng=0), nn.Dropout(0.2))),
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens(name, rng):
    layer, x = TOKENS[name](), rng.standard_normal((3, 5, 4))
    check_gradients(layer, x)
    context = {"rng": 0} if "rng" in layer.context_names else {}
    assert layer(x, **context).shape == layer.output_shape(x.shape)


def test_pixel_shuffle(rng):
    for rank in 1, 2, 3:
        x = rng.standard_normal((2, 2 * 2**rank * 3, *SIZES[rank]))
        factor = (3, 2, 2)[:rank]
        layer = of_rank("PixelShuffle", rank, factor)
        check_gradients(layer, x)
        y = layer(x)
        assert y.shape == layer.output_shape(x.shape)
        block = y.reshape(2, -1, *[n for pair in zip(SIZES[rank], factor, strict=True) for n in pair])
        index = (slice(None), 1, *(1, 2, 2, 1, 2, 1)[: 2 * rank])
        channel = np.ravel_multi_index((1, *(2, 1, 1)[:rank]), (len(block[0]), *factor))
        assert (block[index] == x[(slice(None), channel, *(1, 2, 2)[:rank])]).all()
        last = of_rank("PixelShuffle", rank, factor, data_format=LAST)
        check_gradients(last, np.moveaxis(x, 1, -1))
        assert (last(np.moveaxis(x, 1, -1)) == np.moveaxis(y, 1, -1)).all()


def test_tuples(rng):
    x = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3, 5))
    net = nn.Parallel(nn.DepthwiseConv1d(3, 3, padding=1, rng=0), nn.Activation("silu"))
    check_gradients(net, x)
    for joint in nn.Concat(), nn.Sum(), nn.Product():
        check_gradients(nn.Sequential(net, joint), x)
        assert nn.Sequential(net, joint).output_shape((x[0].shape,) * 2) == joint(x).shape


def test_shared_layer_sums_gradients(rng):
    layer = nn.DepthwiseConv1d(3, 3, padding=1, rng=0)
    net = nn.Sequential(layer, nn.Activation("silu"), nn.Residual(layer), tail=layer)
    assert list(net.parameters) == ["0.weight", "0.bias"]
    check_gradients(net, rng.standard_normal((2, 3, 7)))
    assert net[1:].parameters["2.body.weight"] is layer.weight


def test_many_threads(rng):
    net = nn.Sequential(
        nn.SeparableConv2d(3, 8, 3, padding=1, rng=0), nn.BatchNorm(8), nn.Activation("relu"), nn.Dropout(0.5)
    )
    inputs = [rng.standard_normal((2, 3, 9, 9)) for _ in range(8)]

    def run(x):
        y, pullback = net.vjp(x, rng=1)
        dx, grads = pullback(np.ones_like(y))
        return b"".join(each.tobytes() for each in (y, dx, *grads.values(), *pullback.buffers.values()))

    expected, results = [run(x) for x in inputs], [None] * len(inputs)

    def work(position):
        results[position] = run(inputs[position])

    threads = [threading.Thread(target=work, args=(position,)) for position in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == expected


class Wrong(nn.Layer):
    parameter_names = ("weight",)

    def __init__(self):
        self.weight = np.ones(1)

    def vjp(self, x):
        return x * self.weight, lambda dy: (dy * self.weight, {"weight": np.array([dy.sum()])})

    def output_shape(self, shape):
        return shape


def test_check_finds_a_wrong_gradient(rng):
    with pytest.raises(AssertionError, match=r"weight\(0,\): gradient"):
        check_gradients(Wrong(), rng.standard_normal((2, 3)))
