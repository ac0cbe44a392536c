"""MACs against counted multiplications, for every convolution."""

import itertools

import numpy as np
import pytest

from dsconv import nn, reference, testing


class Counted:
    """A number that counts how often such numbers are multiplied."""

    multiplications = 0

    def __init__(self, value):
        self.value = value

    def __mul__(self, other):
        Counted.multiplications += 1
        return Counted(self.value * getattr(other, "value", other))

    def __add__(self, other):
        return Counted(self.value + getattr(other, "value", other))

    __radd__, __rmul__ = __add__, __mul__


def counted(array):
    return np.frompyfunc(Counted, 1, 1)(np.asarray(array, float))


def multiplications(function, *arrays, **words):
    Counted.multiplications = 0
    y = function(*map(counted, arrays), **words)
    return Counted.multiplications, y


def padded(x, pad, last):
    """x with zeros around, which count as any other input."""
    rank = x.ndim - 2
    spatial = [(pad, pad)] * rank
    return np.pad(x, [(0, 0), *spatial, (0, 0)] if last else [(0, 0), (0, 0), *spatial])


GEOMETRIES = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (2, 1, 3), "padding": 2, "dilation": (1, 2, 1)},
]


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_macs_of_an_instrumented_run(rank, geometry, data_format, rng):
    """The reference, run on numbers that count: as many products as `cost` says, padding included."""
    last = data_format == "channels_last"
    words = {key: value[:rank] if isinstance(value, tuple) else value for key, value in geometry.items()}
    sizes, kernel = (5, 4, 3)[:rank], (3, 2, 2)[:rank]
    x = rng.standard_normal((2, *sizes, 3) if last else (2, 3, *sizes))
    pad = words.get("padding", 0)
    wide = padded(x, pad, last)
    inner = {key: value for key, value in words.items() if key != "padding"} | {"data_format": data_format}
    words |= {"data_format": data_format, "bias": False, "rng": 0, "dtype": float}

    def layer_of(kind, *arguments, **more):
        return getattr(nn, f"{kind}{rank}d")(*arguments, **words | more)

    def check(layer, count, values, expected):
        assert layer.cost(x.shape).macs == count
        got = np.vectorize(lambda each: getattr(each, "value", each))(values).astype(float)
        np.testing.assert_allclose(got, expected, atol=1e-12)

    def function(name):
        return getattr(reference, f"{name}{rank}d")

    layer = layer_of("DepthwiseConv", 3, kernel, depth_multiplier=2)
    check(layer, *multiplications(function("depthwise_conv"), wide, layer.weight, **inner), layer(x))
    layer = layer_of("SeparableConv", 3, 4, kernel, depth_multiplier=2)
    arrays = layer.depthwise_weight, layer.pointwise_weight
    check(layer, *multiplications(function("separable_conv"), wide, *arrays, **inner), layer(x))
    plain = {"data_format": data_format}
    layer = getattr(nn, f"PointwiseConv{rank}d")(3, 4, bias=False, dtype=float, **plain)
    check(layer, *multiplications(function("pointwise_conv"), x, layer.weight, **plain), layer(x))

    layer = layer_of("Conv", 3, 4, kernel)
    filters = layer.weight.swapaxes(0, 1)
    count, parts = multiplications(function("depthwise_conv"), wide, filters, **inner)
    check(layer, count, summed(parts, 3, 4, last), layer(x))

    # a transposed convolution multiplies each input with each tap, whatever is cropped afterwards
    layer = layer_of("DepthwiseConvTranspose", 3, kernel, depth_multiplier=2)
    count, _ = multiplications(function("depthwise_conv_transpose"), x, layer.weight, **inner)
    assert layer.cost(x.shape).macs == count
    layer = layer_of("ConvTranspose", 3, 4, kernel)
    filters = layer.weight.swapaxes(0, 1)
    count, parts = multiplications(function("depthwise_conv_transpose"), x, filters, **inner)
    assert layer.cost(x.shape).macs == count
    expected = function("depthwise_conv_transpose")(x, filters, **inner | {"padding": pad})
    np.testing.assert_allclose(layer(x), summed(expected, 3, 4, last), atol=1e-12)
    layer = layer_of("SeparableConvTranspose", 3, 4, kernel)
    first, _ = multiplications(function("depthwise_conv_transpose"), x, layer.depthwise_weight, **inner)
    hidden = function("depthwise_conv_transpose")(x, layer.depthwise_weight, **inner | {"padding": pad})
    second, y = multiplications(function("pointwise_conv"), hidden, layer.pointwise_weight, **plain)
    check(layer, first + second, y, layer(x))


def summed(parts, channels, multiplier, last):
    """The standard convolution from the depthwise one with O filters for each channel."""
    parts = parts if not last else np.moveaxis(parts, -1, 1)
    parts = parts.reshape(len(parts), channels, multiplier, *parts.shape[2:]).sum(axis=1)
    return parts if not last else np.moveaxis(parts, 1, -1)


def test_macs_of_matrix_layers_counted(rng):
    layer = nn.Linear(4, 3, bias=False, dtype=float)
    x = rng.standard_normal((2, 5, 4))
    count, _ = multiplications(lambda x, w: x @ w.T, x, layer.weight)
    assert layer.cost(x.shape).macs == count
    layer = nn.SelfAttention(4, 2, bias=False, dtype=float)

    def attention(x, inner, outer):
        q, k, v = (part.reshape(2, 5, 2, 2).swapaxes(1, 2) for part in np.split(x @ inner.T, 3, axis=-1))
        return (((q @ k.swapaxes(2, 3)) @ v).swapaxes(1, 2).reshape(2, 5, 4)) @ outer.T

    count, _ = multiplications(attention, x, layer.in_weight, layer.out_weight)
    assert layer.cost(x.shape).macs == count


# ---- the standard transposed convolution ---------------------------------------------------------
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_standard_transposed(rank, rng):
    for words in {}, {"stride": 2, "padding": 1}, {"stride": 3, "padding": "same", "activation": "tanh"}:
        layer = getattr(nn, f"ConvTranspose{rank}d")(3, 2, (3, 2, 2)[:rank], **words, rng=0)
        x = rng.standard_normal((2, 3, *(4, 3, 2)[:rank]))
        assert layer(x).shape == layer.output_shape(x.shape)
        assert testing.check_gradients(layer, x) < 1e-6
    words = {"stride": 2, "padding": ((1, 2),) * rank, "output_padding": 1, "dilation": 2}
    layer = getattr(nn, f"ConvTranspose{rank}d")(2, 3, 4, data_format="channels_last", **words, rng=0)
    assert testing.check_gradients(layer, rng.standard_normal((1, *(4,) * rank, 2))) < 1e-6
    assert f"ConvTranspose{rank}d(2, 3, kernel_size=" in repr(layer)


TRANSPOSED = [
    {"stride": stride, "padding": padding, "dilation": rate}
    for stride, padding, rate in itertools.product((1, 2, 3), (0, 1, "same"), (1, 2))
] + [{"stride": 3, "padding": ((0, 1), (1, 0)), "output_padding": (2, 1)}]


@pytest.mark.parametrize("words", TRANSPOSED)
def test_standard_transposed_is_a_sum_of_depthwise(words, rng):
    layer = nn.ConvTranspose2d(3, 2, (4, 3), dtype=float, rng=0, **words)
    layer.bias[...] = rng.standard_normal(2)
    x = rng.standard_normal((2, 3, 4, 5))
    parts = reference.depthwise_conv_transpose2d(x, layer.weight.swapaxes(0, 1), **words)
    expected = summed(parts, 3, 2, False) + layer.bias.reshape(2, 1, 1)
    np.testing.assert_allclose(layer(x), expected, atol=1e-12)


def test_standard_transposed_is_the_adjoint(rng):
    """Of the standard convolution with the same taps."""
    forward = nn.Conv2d(3, 2, (3, 4), stride=(2, 3), padding=1, bias=False, dtype=float, rng=0)
    layer = nn.ConvTranspose2d(
        2, 3, (3, 4), stride=(2, 3), padding=1, output_padding=(1, 2), bias=False, dtype=float
    )
    layer.weight[...] = forward.weight.swapaxes(0, 1)
    x = rng.standard_normal((2, 3, 8, 13))
    y = forward(x)
    g = rng.standard_normal(y.shape)
    back = layer(g)
    assert back.shape == x.shape
    assert np.sum(back * x) == pytest.approx(np.sum(y * g), rel=1e-12)


def test_standard_transposed_folds(rng):
    norm = nn.BatchNorm(5)
    norm.running_mean[...], norm.running_var[...] = rng.standard_normal(5), rng.random(5) + 0.5
    norm.weight[...], norm.bias[...] = rng.standard_normal(5), rng.standard_normal(5)
    net = nn.Sequential(nn.ConvTranspose2d(3, 5, 3, stride=2, rng=0), norm, nn.Activation("relu")).eval()
    x = rng.standard_normal((1, 3, 4, 4)).astype(np.float32)
    (single,) = net.fold()
    np.testing.assert_allclose(single(x), net(x), rtol=1e-4, atol=1e-5)
