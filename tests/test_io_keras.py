"""Arrays in Keras's layouts into layers, beside Keras's definitions written out position by position."""

import itertools

import numpy as np
import pytest

import dsconv as ds
from dsconv import models, nn, reference


def integers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).integers(-4, 5, shape).astype(np.float32)


def positions(x, kernel):
    """For x of shape (n, *sizes, C): every output position, and the window (n, *kernel, C) under it."""
    sizes = [size - taps + 1 for size, taps in zip(x.shape[1:-1], kernel, strict=True)]
    for place in itertools.product(*map(range, sizes)):
        window = tuple(slice(start, start + taps) for start, taps in zip(place, kernel, strict=True))
        yield place, x[(slice(None), *window)]


def keras_depthwise(x, kernel):
    """``y[..., c*M + m] = sum over taps of x[..., c] * kernel[taps, c, m]``, as Keras numbers channels."""
    *taps, channels, multiplier = kernel.shape
    found = {}
    for place, window in positions(x, taps):
        each = window[..., np.newaxis] * kernel
        found[place] = each.sum(axis=tuple(range(1, 1 + len(taps)))).reshape(len(x), channels * multiplier)
    return gathered(x, found)


def keras_conv(x, kernel):
    """``y[..., o] = sum over taps and c of x[..., c] * kernel[taps, c, o]``."""
    *taps, _, _ = kernel.shape
    axes = list(range(1, 2 + len(taps))), list(range(1 + len(taps)))
    return gathered(x, {place: np.tensordot(window, kernel, axes) for place, window in positions(x, taps)})


def gathered(x, found):
    sizes = np.max(list(found), axis=0) + 1
    return np.stack([found[place] for place in sorted(found)], axis=1).reshape(len(x), *sizes, -1)


def last(layer_class, *arguments, **words):
    return layer_class(*arguments, data_format="channels_last", **words)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions(rank):
    kernel, sizes = (3, 2, 2)[:rank], (5, 4, 3)[:rank]
    x, ones = integers(2, *sizes, 3), (1,) * rank
    depthwise, pointwise = integers(*kernel, 3, 2), integers(*ones, 6, 4)
    standard, bias, wide = integers(*kernel, 3, 4), integers(4), integers(6)

    def of_rank(kind):
        return getattr(nn, f"{kind}{rank}d")

    layer = ds.io.from_keras([depthwise, wide], last(of_rank("DepthwiseConv"), 3, kernel, depth_multiplier=2))
    np.testing.assert_array_equal(layer(x), keras_depthwise(x, depthwise) + wide)
    layer = last(of_rank("SeparableConv"), 3, 4, kernel, depth_multiplier=2)
    ds.io.from_keras((depthwise, pointwise, bias), layer)
    np.testing.assert_array_equal(layer(x), keras_conv(keras_depthwise(x, depthwise), pointwise) + bias)
    layer = ds.io.from_keras([standard, bias], last(of_rank("Conv"), 3, 4, kernel))
    np.testing.assert_array_equal(layer(x), keras_conv(x, standard) + bias)
    for matrix in pointwise, pointwise.reshape(6, 4):
        layer = ds.io.from_keras([matrix, bias], last(of_rank("PointwiseConv"), 6, 4))
        y = keras_depthwise(x, depthwise)
        np.testing.assert_array_equal(layer(y), y @ pointwise.reshape(6, 4) + bias)
        dense = ds.io.from_keras([matrix, bias], nn.Linear(6, 4))
        np.testing.assert_array_equal(dense(y[:, 0]), y[:, 0] @ pointwise.reshape(6, 4) + bias)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_against_the_reference(data_format):
    """With strides and TensorFlow's padding, which the layer has and Keras's kernels do not tell."""
    kernel = integers(3, 5, 4, 2)
    layer = nn.DepthwiseConv2d(
        4, (3, 5), depth_multiplier=2, stride=2, padding="same", bias=False, data_format=data_format
    )
    ds.io.from_keras([kernel], layer)
    x = integers(*((2, 4, 8, 9) if data_format == "channels_first" else (2, 8, 9, 4)))
    weight = np.array([[kernel[:, :, c, m] for m in range(2)] for c in range(4)])
    words = {"stride": 2, "padding": "same", "data_format": data_format}
    np.testing.assert_array_equal(layer(x), reference.depthwise_conv2d(x, weight, **words))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed(rank):
    """``y[p*stride + tap, o] += x[p, c] * kernel[tap, o, c]``."""
    kernel = integers(*(3, 2, 2)[:rank], 4, 3)
    x = integers(2, *(3, 2, 2)[:rank], 3)
    layer = last(getattr(nn, f"ConvTranspose{rank}d"), 3, 4, kernel.shape[:rank], stride=2)
    ds.io.from_keras([kernel, integers(4)], layer)
    sizes = [2 * (size - 1) + taps for size, taps in zip(x.shape[1:], kernel.shape[:rank], strict=False)]
    y = np.zeros((2, *sizes[:rank], 4)) + integers(4)
    for place in np.ndindex(*x.shape[1:-1]):
        for tap in np.ndindex(*kernel.shape[:rank]):
            target = tuple(2 * p + t for p, t in zip(place, tap, strict=True))
            y[(slice(None), *target)] += x[(slice(None), *place)] @ kernel[tap].T
    np.testing.assert_array_equal(layer(x), y)


def test_batch_norm():
    gamma, beta, mean, variance = (np.random.default_rng(0).random(3) + 0.5 for _ in range(4))
    layer = nn.BatchNorm(3, eps=1e-3, data_format="channels_last", dtype=float).eval()
    ds.io.from_keras([gamma, beta, mean, variance], layer)
    x = np.random.default_rng(1).random((2, 4, 3))
    np.testing.assert_allclose(layer(x), (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta, rtol=1e-14)
    layer = ds.io.from_keras([gamma, beta], nn.LayerNorm(3, dtype=float))
    np.testing.assert_array_equal(layer.weight, gamma)


def keras_arrays(net):
    """The weights of a network of ours as Keras would list them, leaf after leaf."""
    arrays = []
    for leaf in leaves(net):
        for name in (*leaf.parameter_names, *leaf.buffer_names):
            array = getattr(leaf, name)
            if array is None:
                continue
            if isinstance(leaf, nn.DepthwiseConv2d) and array.ndim == 4:
                array = array.transpose(2, 3, 0, 1)
            elif isinstance(leaf, nn.Conv2d) and array.ndim == 4:
                array = array.transpose(2, 3, 1, 0)
            elif array.ndim == 2:
                array = array.T[np.newaxis, np.newaxis] if isinstance(leaf, nn.PointwiseConv2d) else array.T
            arrays.append(array)
    return arrays


def leaves(layer):
    children = layer.children.values()
    return [each for child in children for each in leaves(child)] if children else [layer]


@pytest.mark.parametrize(
    "build", [models.mobilenet_v1, models.mobilenet_v2, models.efficientnet, models.mobilenet_v3]
)
def test_whole_networks(build):
    words = {"num_classes": 3, "bn_eps": 1e-3, "padding": "same"}
    net = build(**words, width=0.5, rng=0)
    again = ds.io.from_keras(keras_arrays(net), build(**words, width=0.5, rng=1))
    assert all(
        array.tobytes() == net.state_dict()[key].tobytes() for key, array in again.state_dict().items()
    )


def test_by_name():
    kernel, matrix, bias = integers(3, 3, 4, 1), integers(1, 1, 4, 5), integers(5)
    weights = {"dw/depthwise_kernel": kernel, "pw/kernel": matrix, "pw/bias": bias, "count": np.zeros(1)}
    names = {"dw/depthwise_kernel": "0.weight", "pw/kernel": "1.weight", "pw/bias": "1.bias", "count": None}
    for mapping in names, names.get:
        net = nn.Sequential(nn.DepthwiseConv2d(4, 3, bias=False), nn.PointwiseConv2d(4, 5))
        assert ds.io.from_keras(weights, net, mapping) is net
        np.testing.assert_array_equal(net[0].weight[:, 0], kernel[..., 0].transpose(2, 0, 1))
        np.testing.assert_array_equal(net[1].weight, matrix[0, 0].T)
    ours = {names[key]: array for key, array in weights.items() if names[key]}
    ds.io.from_keras(ours, net)


# ---- errors ---------------------------------------------------------------------------------------
def test_all_problems_at_once():
    net = nn.Sequential(nn.DepthwiseConv2d(4, 3), nn.BatchNorm(4), nn.Linear(4, 2))
    before = net.state_dict()
    arrays = [integers(3, 3, 1, 4), integers(4), *[integers(4)] * 3, integers(4), integers(2, 2, 4, 2)]
    with pytest.raises(ValueError) as caught:
        ds.io.from_keras(arrays, net)
    assert str(caught.value).splitlines() == [
        "weights: does not fit this layer:",
        "  misshapen: weights[0] is (3, 3, 1, 4), needed (4, 1, 3, 3) after it is turned, here 0.weight",
        "  misshapen: weights[6] is (2, 2, 4, 2), needed (2, 4) after it is turned, here 2.weight",
        "  missing: weights[7] (2,), here 2.bias",
    ]
    with pytest.raises(ValueError, match=r"unexpected: weights\[3\] \(2,\)"):
        ds.io.from_keras([integers(4, 2), integers(2), integers(2), integers(2)], nn.Linear(4, 2))
    with pytest.raises(ValueError, match="unexpected: kernel"):
        ds.io.from_keras({"kernel": integers(4, 2)}, nn.Linear(4, 2, bias=False))
    assert all(array.tobytes() == before[key].tobytes() for key, array in net.state_dict().items())


@pytest.mark.parametrize(
    "layer", [nn.DepthwiseConvTranspose2d(4, 2), nn.SeparableConvTranspose2d(4, 2, 2), nn.SelfAttention(4)]
)
def test_what_keras_does_not_have(layer):
    with pytest.raises(ValueError, match="layer: .*weight belongs to .*, which Keras does not have"):
        ds.io.from_keras([], nn.Sequential(layer))


def test_wrong_types():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="mapping: a list has no names"):
        ds.io.from_keras([np.ones((2, 2)), np.ones(2)], layer, {})
    with pytest.raises(TypeError, match="weights: expected a list or a dict of arrays, got ndarray"):
        ds.io.from_keras(np.ones((2, 2)), layer)
    with pytest.raises(TypeError, match="weights: the names must be strings, got 0"):
        ds.io.from_keras({0: np.ones(2)}, layer)
    with pytest.raises(TypeError, match="mapping: expected a dict or a callable"):
        ds.io.from_keras({"a": np.ones(2)}, layer, 3)
