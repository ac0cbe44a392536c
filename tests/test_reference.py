"""The reference against a direct loop nest, and against numpy.pad; and what it refuses."""

import doctest
import importlib
import inspect
import itertools
import pickle
from fractions import Fraction

import numpy as np
import pytest

import dsconv as ds
from dsconv import reference
from dsconv.reference import activations
from dsconv.testing import assert_equivalent

from .strategies import BFLOAT16

PAD_MODES = {"reflect": "reflect", "symmetric": "symmetric", "replicate": "edge", "circular": "wrap"}


def naive_depthwise(x, weight, stride, pairs, dilation):
    """One output after another, on (C, *spatial) and (C, M, *kernel)."""
    channels, multiplier, *kernel = weight.shape
    sizes = [
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, k, s, d, (low, high) in zip(x.shape[1:], kernel, stride, dilation, pairs, strict=True)
    ]
    y = np.zeros((channels * multiplier, *sizes), x.dtype)
    for c, m, *point in itertools.product(range(channels), range(multiplier), *map(range, sizes)):
        for tap in itertools.product(*map(range, kernel)):
            at = [
                q * s + t * d - low
                for q, s, t, d, (low, _) in zip(point, stride, tap, dilation, pairs, strict=True)
            ]
            if all(0 <= i < n for i, n in zip(at, x.shape[1:], strict=True)):
                y[(c * multiplier + m, *point)] += weight[(c, m, *tap)] * x[(c, *at)]
    return y


def ints(rng, *shape):
    return rng.integers(-9, 10, shape)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_depthwise_is_the_loop_nest(rank, seed):
    rng = np.random.default_rng([rank, seed])
    kernel = rng.integers(1, 4, rank)
    dilation, stride = rng.integers(1, 4, rank).tolist(), rng.integers(1, 4, rank).tolist()
    pairs = [tuple(pair) for pair in rng.integers(0, 7, (rank, 2)).tolist()]
    size = [max(1, d * (k - 1) + 1) for d, k in zip(dilation, kernel, strict=True)]
    x, weight = ints(rng, 3, *size), ints(rng, 3, 2, *kernel)
    y = getattr(reference, f"depthwise_conv{rank}d")(
        x, weight, stride=stride, padding=pairs, dilation=tuple(dilation)
    )
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, naive_depthwise(x, weight, stride, pairs, dilation))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("mode", PAD_MODES)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_padding_modes_are_those_of_numpy(rank, mode, size):
    rng = np.random.default_rng(0)
    x, weight = ints(rng, 2, *(size,) * rank), ints(rng, 2, 1, *(3,) * rank)
    pairs = ((4, 7), (3, 1), (2, 2))[:rank]
    padded = np.pad(x, ((0, 0), *pairs), mode=PAD_MODES[mode])
    conv = getattr(reference, f"depthwise_conv{rank}d")
    expected = naive_depthwise(padded, weight, (1,) * rank, ((0, 0),) * rank, (1,) * rank)
    np.testing.assert_array_equal(conv(x, weight, padding=pairs, padding_mode=mode), expected)
    if PAD_MODES[mode] != mode:
        alias = conv(x, weight, padding=pairs, padding_mode=PAD_MODES[mode])
        np.testing.assert_array_equal(alias, expected)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_named_padding(size, kernel, stride, dilation):
    x, taps = np.arange(1, size + 1)[None], np.arange(1, kernel + 1)[None, None]
    extent = dilation * (kernel - 1) + 1

    def conv(padding):
        return reference.depthwise_conv1d(x, taps, stride=stride, dilation=dilation, padding=padding)

    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + extent - size, 0)
    low, high = total // 2, total - total // 2
    assert conv("same").shape == conv("causal").shape == (1, outputs)
    for name, pair in {
        "same": (low, high),
        "same_upper": (low, high),
        "same_lower": (high, low),
        "full": (extent - 1, extent - 1),
        "causal": (extent - 1, 0),
    }.items():
        np.testing.assert_array_equal(conv(name), conv((pair,)), err_msg=name)


def test_causal_is_causal_on_the_first_axis_only():
    x, weight = np.arange(30).reshape(1, 5, 6), np.arange(9).reshape(1, 1, 3, 3)
    causal = reference.depthwise_conv2d(x, weight, padding="causal")
    np.testing.assert_array_equal(causal, reference.depthwise_conv2d(x, weight, padding=((2, 0), (1, 1))))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pointwise_and_separable_are_loops(rank):
    rng = np.random.default_rng(rank)
    spatial = (4, 3, 2)[:rank]
    x, depthwise, pointwise = ints(rng, 3, *spatial), ints(rng, 3, 2, *(2,) * rank), ints(rng, 5, 6)
    bias, last = ints(rng, 6), ints(rng, 5)
    ones = (1,) * rank
    middle = naive_depthwise(x, depthwise, ones, ((1, 0),) * rank, ones)
    middle = np.maximum(middle + bias.reshape(-1, *ones), 0)
    expected = sum(pointwise[:, k].reshape(-1, *ones) * middle[k] for k in range(6)) + last.reshape(-1, *ones)
    separable = getattr(reference, f"separable_conv{rank}d")(
        x, depthwise, pointwise, bias, last, padding=((1, 0),) * rank, depthwise_activation="relu"
    )
    np.testing.assert_array_equal(separable, expected)
    alone = getattr(reference, f"pointwise_conv{rank}d")(middle, pointwise.reshape(5, 6, *ones), last)
    np.testing.assert_array_equal(alone, expected)


def test_layouts_batches_and_the_forms_of_weights():
    rng = np.random.default_rng(0)
    x, weight, bias = ints(rng, 2, 3, 4, 5, 6), ints(rng, 3, 4, 2, 3, 3), ints(rng, 2, 1, 8)
    y = reference.depthwise_conv2d(x, weight, bias, padding=1)
    assert y.shape == (2, 3, 8, 5, 6)
    for n, m in np.ndindex(2, 3):
        one = reference.depthwise_conv2d(x[n, m], weight[m], bias[n, 0], padding=1)
        np.testing.assert_array_equal(y[n, m], one)
    last = np.moveaxis(x, -3, -1)
    last = reference.depthwise_conv2d(last, weight, bias, padding=1, data_format="channels_last")
    np.testing.assert_array_equal(np.moveaxis(last, -1, -3), y)
    rows = reference.depthwise_conv2d(x, weight.reshape(3, 8, 1, 3, 3), bias, padding=1)
    np.testing.assert_array_equal(rows, y)


def test_fractions_are_exact():
    x = np.array([[Fraction(1, n) for n in range(1, 8)]], object)
    taps = np.array([[[Fraction(1, 3), Fraction(-2, 7)]]], object)
    y = reference.separable_conv1d(x, taps, [[Fraction(1, 2)]], [Fraction(1, 5)], padding=1, dilation=2)
    inside = Fraction(1, 2) * (Fraction(1, 3) * x[0, 0] - Fraction(2, 7) * x[0, 2] + Fraction(1, 5))
    assert y.shape == (1, 7)
    assert y[0, 1] == inside and isinstance(y[0, 1], Fraction)
    swished = reference.depthwise_conv1d(x, taps, activation="hardswish")
    assert isinstance(swished[0, 0], Fraction)


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble", "complex64", "int8", "uint16", "bool"])
def test_types_are_kept(dtype):
    x, weight = np.ones((1, 4), dtype), np.ones((1, 1, 2), dtype)
    assert reference.depthwise_conv1d(x, weight).dtype == dtype
    assert reference.separable_conv1d(x, weight, np.ones((1, 1), dtype)).dtype == dtype
    swapped = x.astype(x.dtype.newbyteorder())
    assert reference.depthwise_conv1d(swapped, weight).dtype == np.dtype(dtype)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_infinite_weight_on_padding_is_skipped():
    weight = np.array([[[np.inf, 1.0, 1.0]]])
    y = reference.depthwise_conv1d(np.ones((1, 4)), weight, padding=1)
    np.testing.assert_array_equal(y, [[2, np.inf, np.inf, np.inf]])
    zero = np.array([[0.0, 1, 1, 1]])
    y = reference.depthwise_conv1d(zero, weight, padding=1, padding_mode="replicate")
    assert np.isnan(y[0, 0])


def test_empty_things():
    conv = reference.depthwise_conv2d
    assert conv(np.ones((0, 2, 4, 4)), np.ones((2, 3, 3, 3))).shape == (0, 6, 2, 2)
    assert conv(np.ones((0, 4, 4)), np.ones((0, 3, 3, 3))).shape == (0, 2, 2)
    bias_only = conv(np.ones((2, 0, 3)), np.ones((2, 1, 1, 1)), [5, 7], padding=1)
    np.testing.assert_array_equal(bias_only, np.broadcast_to([[[5]], [[7]]], (2, 2, 5)))
    for dtype in (float, object):
        y = reference.separable_conv1d(
            np.ones((0, 4), dtype), np.ones((0, 1, 2), dtype), np.ones((2, 0), dtype), None, [1, 2]
        )
        np.testing.assert_array_equal(y, [[1, 1, 1], [2, 2, 2]])
    assert reference.pointwise_conv1d(np.ones((2, 0)), np.ones((3, 2))).shape == (3, 0)


def test_out_dtype_and_casting():
    x, weight = np.arange(5.0).reshape(1, 5), np.ones((1, 1, 3))
    out = np.empty((2, 1, 3), np.float32)
    assert reference.depthwise_conv1d(x, weight, out=out) is out
    np.testing.assert_array_equal(out, [[[3, 6, 9]]] * 2)
    y = reference.depthwise_conv1d(x, weight, padding=1, out=x)
    np.testing.assert_array_equal(y, [[1, 3, 6, 9, 7]])
    assert reference.depthwise_conv1d(x, weight, dtype="f4").dtype == np.float32
    with pytest.raises(TypeError):
        reference.depthwise_conv1d(x, weight, dtype="f4", casting="safe")
    with pytest.raises(TypeError):
        reference.depthwise_conv1d(x, weight, out=np.empty((1, 3), int))
    with pytest.raises(ValueError):
        reference.depthwise_conv1d(x, weight, out=np.empty((1, 4)))


def numeric_values():
    return np.concatenate([np.linspace(-9, 9, 181), [-100.0, 100.0, 0.0, np.inf]])


def test_activations():
    x = numeric_values()
    with np.errstate(over="ignore"):
        table = {
            "relu": np.where(x > 0, x, 0),
            "relu6": np.clip(x, 0, 6),
            "hardsigmoid": np.clip(x + 3, 0, 6) / 6,
            "hardswish": x * (np.clip(x + 3, 0, 6) / 6),
            "sigmoid": 1 / (1 + np.exp(-x)),
            "silu": x / (1 + np.exp(-x)),
            "tanh": np.tanh(x),
        }
    for name, expected in table.items():
        np.testing.assert_allclose(activations.activate(name, x), expected, rtol=1e-13, err_msg=name)
    assert set(table) | {"gelu"} == set(activations.ACTIVATIONS)
    for name in activations.ACTIVATIONS:
        assert np.isnan(activations.activate(name, np.array([np.nan]))).all()


def test_gelu_is_the_exact_one():
    x = numeric_values()
    wide = activations.gelu(x.astype(np.longdouble))
    np.testing.assert_allclose(activations.gelu(x), wide.astype(float), rtol=1e-15, atol=2e-15)
    # 1 - erf(2), to more digits than float64 has
    assert abs(1 - activations.erf_series(np.longdouble([2]))[0] - 0.004677734981047265838) < 1e-16
    np.testing.assert_allclose(activations.gelu(np.array([-30.0])), -30 * 4.906713927148187e-198, rtol=1e-10)


WEIGHT2, X2 = np.ones((2, 1, 3, 3)), np.ones((2, 5, 5))
BAD_VALUES = {
    "stride 0": dict(stride=0),
    "negative dilation": dict(dilation=-1),
    "negative padding": dict(padding=-1),
    "three strides": dict(stride=(1, 1, 1)),
    "no strides": dict(stride=[]),
    "one pad": dict(padding=(1,)),
    "mixed pads": dict(padding=(1, (1, 2))),
    "three pads in a pair": dict(padding=((1, 2, 3), (1, 2))),
    "unknown padding": dict(padding="some"),
    "unknown mode": dict(padding_mode="constant"),
    "mirror": dict(padding_mode="mirror"),
    "unknown activation": dict(activation="swish"),
    "unknown format": dict(data_format="NCHW"),
    "kernel too long": dict(dilation=3),
    "bias of a wrong length": dict(bias=np.ones(3)),
}
BAD_TYPES = {
    "bool": dict(stride=True),
    "float": dict(padding=1.0),
    "None": dict(dilation=None),
    "float in a tuple": dict(stride=(1, 1.5)),
    "bool in a pair": dict(padding=((1, False), (1, 1))),
    "string for an int": dict(stride="1"),
    "mode": dict(padding_mode=None),
    "format": dict(data_format=1),
    "activation": dict(activation=np.tanh),
    "out": dict(out=[1]),
}


@pytest.mark.parametrize("kwargs", BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values(kwargs):
    with pytest.raises(ValueError):
        reference.depthwise_conv2d(X2, WEIGHT2, **kwargs)


@pytest.mark.parametrize("kwargs", BAD_TYPES.values(), ids=BAD_TYPES)
def test_bad_types(kwargs):
    with pytest.raises(TypeError):
        reference.depthwise_conv2d(X2, WEIGHT2, **kwargs)


@pytest.mark.parametrize(
    "x, weight",
    [
        ((2, 5, 5), (2, 1, 0, 3)),
        ((2, 5, 5), (2, 0, 3, 3)),
        ((2, 5, 5), (3, 1, 3, 3)),
        ((2, 5, 5), (3, 2, 3, 3)),
        ((5, 5), (2, 1, 3, 3)),
        ((2, 5, 5), (1, 3, 3)),
        ((2, 2, 5), (2, 1, 3, 3)),
        ((3, 2, 5, 5), (2, 2, 1, 3, 3)),
    ],
)
def test_shapes_that_do_not_fit(x, weight):
    with pytest.raises(ValueError):
        reference.depthwise_conv2d(np.ones(x), np.ones(weight))


def test_more_refusals():
    with pytest.raises(ValueError, match=r"\(\(1, 2\),\)"):
        reference.depthwise_conv1d(np.ones((1, 5)), np.ones((1, 1, 3)), padding=(1, 2))
    with pytest.raises(ValueError, match="zeros"):
        reference.depthwise_conv1d(np.ones((1, 0)), np.ones((1, 1, 1)), padding=1, padding_mode="wrap")
    with pytest.raises(ValueError):
        reference.pointwise_conv1d(np.ones((2, 5)), np.ones((0, 2)))
    with pytest.raises(ValueError):
        reference.pointwise_conv1d(np.ones((2, 5)), np.ones((4, 3)))
    with pytest.raises(TypeError):
        reference.pointwise_conv1d(np.ones((2, 5), complex), np.ones((4, 2)), activation="relu")
    with pytest.raises(OverflowError):
        reference.depthwise_conv2d(X2, WEIGHT2, stride=2**63)


def test_the_bound_holds_and_bites():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 30)).astype("f4"), rng.standard_normal((2, 1, 7)).astype("f4")
    y = reference.depthwise_conv1d(x, weight, padding=3, activation="silu")
    call = "depthwise_conv1d", x, weight
    assert 0 < assert_equivalent(y, *call, padding=3, activation="silu") < 1
    wrong = y.copy()
    wrong[1, 4] += 1e-4
    with pytest.raises(AssertionError, match=r"1 of 60 .* \(1, 4\)"):
        assert_equivalent(wrong, *call, padding=3, activation="silu")
    for bad in (
        y[:, 1:],
        y.astype("f8"),
        np.where(y == y[0, 0], np.nan, y),
        np.where(y == y[0, 0], np.inf, y),
    ):
        with pytest.raises(AssertionError):
            assert_equivalent(bad, *call, padding=3, activation="silu")


def test_the_bound_where_nan_and_overflow_are():
    x = np.array([[1, np.nan, 1, np.inf, 1, 3e38, 3e38]], "f4")
    weight = np.array([[[1, 1]]], "f4")
    with np.errstate(all="ignore"):
        y = reference.depthwise_conv1d(x, weight)
    assert_equivalent(y, "depthwise_conv1d", x, weight)
    for at, value in ((0, 1), (2, 1)):
        wrong = y.copy()
        wrong[0, at] = value
        with pytest.raises(AssertionError):
            assert_equivalent(wrong, "depthwise_conv1d", x, weight)
    assert reference.error_bound("depthwise_conv1d", x, weight)[0, 5] == np.inf


# ---- transposed convolutions and gradients -------------------------------------------------------
def naive_transposed(x, weight, stride, pairs, dilation, extra):
    """One input after another, on (C, *spatial) and (C, M, *kernel); what falls outside is dropped."""
    channels, multiplier, *kernel = weight.shape
    sizes = [
        (n - 1) * s - low - high + d * (k - 1) + 1 + more
        for n, k, s, d, (low, high), more in zip(
            x.shape[1:], kernel, stride, dilation, pairs, extra, strict=True
        )
    ]
    y = np.zeros((channels * multiplier, *sizes), x.dtype)
    for c, m, *point in itertools.product(range(channels), range(multiplier), *map(range, x.shape[1:])):
        for tap in itertools.product(*map(range, kernel)):
            at = [
                i * s + t * d - low
                for i, s, t, d, (low, _) in zip(point, stride, tap, dilation, pairs, strict=True)
            ]
            if all(0 <= i < n for i, n in zip(at, sizes, strict=True)):
                y[(c * multiplier + m, *at)] += weight[(c, m, *tap)] * x[(c, *point)]
    return y


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_transposed_is_the_loop_nest(rank, seed):
    rng = np.random.default_rng([rank, seed])
    kernel, size = rng.integers(1, 4, rank), rng.integers(2, 5, rank)
    dilation, stride = rng.integers(1, 4, rank).tolist(), rng.integers(1, 4, rank).tolist()
    pairs = [
        tuple(rng.integers(0, d * (k - 1) // 2 + 1, 2).tolist())
        for d, k in zip(dilation, kernel, strict=True)
    ]
    extra = [int(rng.integers(max(pair))) for pair in zip(stride, dilation, strict=True)]
    x, weight = ints(rng, 3, *size), ints(rng, 3, 2, *kernel)
    transposed = getattr(reference, f"depthwise_conv_transpose{rank}d")
    words = dict(stride=stride, padding=pairs, dilation=tuple(dilation))
    expected = naive_transposed(x, weight, stride, pairs, dilation, extra)
    y = transposed(x, weight, output_padding=extra, **words)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(transposed(x, weight, output_size=expected.shape[1:], **words), expected)
    last = transposed(
        np.moveaxis(x, 0, -1), weight, output_padding=extra, data_format="channels_last", **words
    )
    np.testing.assert_array_equal(np.moveaxis(last, -1, 0), expected)
    mixing, bias, final = ints(rng, 5, 6), ints(rng, 6), ints(rng, 5)
    separable = getattr(reference, f"separable_conv_transpose{rank}d")
    words.update(output_padding=extra, depthwise_activation="relu")
    y = separable(np.stack([x, x]), weight, mixing, bias, final, **words)
    middle = np.maximum(expected + bias.reshape(-1, *(1,) * rank), 0)
    exact = np.tensordot(mixing, middle, 1) + final.reshape(-1, *(1,) * rank)
    np.testing.assert_array_equal(y, np.stack([exact, exact]))


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
def test_transposed_same(stride, kernel, dilation):
    x, taps = np.arange(1, 6)[None], np.arange(1, kernel + 1)[None, None]
    extent = dilation * (kernel - 1) + 1
    total = max(extent - stride, 0)
    pair, extra = (total // 2, total - total // 2), max(stride - extent, 0)
    y = reference.depthwise_conv_transpose1d(x, taps, stride=stride, dilation=dilation, padding="same")
    assert y.shape == (1, 5 * stride)
    np.testing.assert_array_equal(y, naive_transposed(x, taps, (stride,), (pair,), (dilation,), (extra,)))


def test_output_padding_may_still_be_reached():
    """Where the end was cropped, output padding shows what was there."""
    x, weight = np.array([[1, 2]]), np.array([[[1, 10, 100]]])
    y = reference.depthwise_conv_transpose1d(x, weight, stride=2, padding=((0, 1),), output_padding=1)
    np.testing.assert_array_equal(y, [[1, 10, 102, 20, 200]])


BAD_TRANSPOSED = {
    "output padding": dict(output_padding=2, stride=2),
    "output padding with dilation": dict(output_padding=3, stride=2, dilation=3),
    "output padding and size": dict(output_padding=1, output_size=8, stride=2),
    "output padding and same": dict(output_padding=1, padding="same", stride=2),
    "size too small": dict(output_size=6),
    "size too large": dict(output_size=8),
    "size that is not same": dict(output_size=9, padding="same", stride=2),
    "no size": dict(output_size=0),
    "negative output padding": dict(output_padding=-1),
    "full": dict(padding="full"),
    "causal": dict(padding="causal"),
    "same_lower": dict(padding="same_lower"),
    "nothing left": dict(padding=4),
}


@pytest.mark.parametrize("kwargs", BAD_TRANSPOSED.values(), ids=BAD_TRANSPOSED)
def test_transposed_refusals(kwargs):
    with pytest.raises(ValueError):
        reference.depthwise_conv_transpose1d(np.ones((1, 5)), np.ones((1, 1, 3)), **kwargs)


def adjoint(linear, shape, grad):
    """The conjugate transpose of a linear map, applied: one unit vector after another."""
    result = np.zeros(shape, grad.dtype)
    for at in np.ndindex(shape):
        unit = np.zeros(shape, grad.dtype)
        unit[at] = 1
        result[at] = np.vdot(linear(unit), grad)
    return result


def gaussian(rng, *shape):
    return ints(rng, *shape) + 1j * ints(rng, *shape)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("mode", ["zeros", *PAD_MODES])
@pytest.mark.parametrize("padding", ["same_lower", "full", 1])
def test_depthwise_gradients_are_adjoint(rank, mode, padding):
    rng = np.random.default_rng(rank)
    size, kernel = (5, 4, 3)[:rank], (3, 2, 1)[:rank]
    words = dict(padding=padding, padding_mode=mode, stride=(2, 1, 2)[:rank], dilation=(1, 2, 1)[:rank])
    check_adjoint(rng, f"depthwise_conv{rank}d", size, kernel, words, words)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["same", 0, 1])
def test_transposed_gradients_are_adjoint(rank, padding):
    rng = np.random.default_rng(rank)
    size, kernel = (4, 3, 2)[:rank], (3, 2, 3)[:rank]
    words = dict(padding=padding, stride=(2, 3, 2)[:rank], dilation=(1, 2, 1)[:rank])
    extra = dict(output_padding=0 if padding == "same" else (1, 2, 0)[:rank])
    check_adjoint(rng, f"depthwise_conv_transpose{rank}d", size, kernel, words | extra, words)


def check_adjoint(rng, name, input_size, kernel_size, words, gradient_words):
    """Compare both gradients with the adjoints of the function, which loops have been compared with."""
    ways = "", "_input_grad", "_weight_grad"
    function, of_input, of_weight = (getattr(reference, name + way) for way in ways)
    x, weight = gaussian(rng, 2, 2, *input_size), gaussian(rng, 2, 2, *kernel_size)
    grad = gaussian(rng, *function(x, weight, **words).shape)
    expected = adjoint(lambda unit: function(unit, weight, **words), x.shape, grad)
    np.testing.assert_array_equal(of_input(grad, weight, input_size, **gradient_words), expected)
    expected = adjoint(lambda unit: function(x, unit, **words), weight.shape, grad)
    np.testing.assert_array_equal(of_weight(x, grad, kernel_size, **gradient_words), expected)
    last = dict(gradient_words, data_format="channels_last")
    moved = [np.moveaxis(array, 1, -1) for array in (x, grad)]
    np.testing.assert_array_equal(of_weight(*moved, kernel_size, **last), expected)


def test_pointwise_gradients_are_adjoint():
    rng = np.random.default_rng(0)
    x, weight, grad = gaussian(rng, 2, 3, 4), gaussian(rng, 5, 3), gaussian(rng, 2, 5, 4)
    conv = reference.pointwise_conv1d
    expected = adjoint(lambda unit: conv(unit, weight), x.shape, grad)
    np.testing.assert_array_equal(reference.pointwise_conv1d_input_grad(grad, weight), expected)
    expected = adjoint(lambda unit: conv(x, unit), weight.shape, grad)
    np.testing.assert_array_equal(reference.pointwise_conv1d_weight_grad(x, grad), expected)
    last = [np.moveaxis(array, 1, -1) for array in (x, grad)]
    last = reference.pointwise_conv1d_weight_grad(*last, data_format="channels_last")
    np.testing.assert_array_equal(last, expected)


def test_gradients_of_fractions_are_exact():
    x = np.array([[Fraction(1, n) for n in range(1, 8)]], object)
    taps = np.array([[[Fraction(1, 3), Fraction(-2, 7)]]], object)
    y, pullback = reference.separable_conv1d_vjp(
        x, taps, np.array([[Fraction(1, 2)]], object), None, [Fraction(1, 5)], activation="hardswish"
    )
    slopes = (2 * reference.separable_conv1d(x, taps, [[Fraction(1, 2)]], None, [Fraction(1, 5)]) + 3) / 6
    gx, gw, mixing, none, bias = pullback(np.ones(6, int).reshape(1, 6))
    assert none is None and bias[0] == slopes.sum() and isinstance(bias[0], Fraction)
    assert gx[0, 0] == slopes[0, 0] * Fraction(1, 6)
    assert gw[0, 0, 0] == (slopes[0] * x[0, :6]).sum() / 2


@pytest.mark.parametrize("dtype", ["int8", "bool", "float16", "longdouble", "complex64"])
def test_gradients_keep_types(dtype):
    x, weight, grad = (np.ones(shape, dtype) for shape in ((1, 4), (1, 1, 2), (1, 3)))
    assert reference.depthwise_conv1d_input_grad(grad, weight, 4).dtype == dtype
    assert reference.depthwise_conv1d_weight_grad(x, grad, 2).dtype == dtype
    assert all(g.dtype == dtype for g in reference.depthwise_conv1d_vjp(x, weight)[1](grad)[:2])


@pytest.mark.parametrize("name", [name for name in reference.__all__ if name != "error_bound"])
def test_names_and_arguments_are_those_of_the_fast_functions(name):
    ours = inspect.signature(getattr(reference, name)).parameters
    theirs = inspect.signature(getattr(ds, name)).parameters
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]
    assert getattr(reference, name).__name__ == name
    assert pickle.loads(pickle.dumps(getattr(reference, name))) is getattr(reference, name)


def test_the_bound_of_gradients_bites():
    """The right result passes, one that is off by ten bounds does not; folding counts the copies."""
    rng = np.random.default_rng(0)
    x, grad = (rng.standard_normal(shape).astype("f4") for shape in ((4, 2, 40, 50), (4, 2, 40, 50)))
    weight = rng.standard_normal((2, 1, 3, 3)).astype("f4")
    for name, args in {
        "depthwise_conv2d_input_grad": (grad, weight, (40, 50)),
        "depthwise_conv2d_weight_grad": (x, grad, 3),
        "depthwise_conv_transpose2d_input_grad": (grad, weight, (40, 50)),
        "depthwise_conv_transpose2d_weight_grad": (x, grad, 3),
    }.items():
        result = getattr(reference, name)(*args, padding=1)
        assert assert_equivalent(result, name, *args, padding=1) < 1
        bound = reference.error_bound(name, *args, padding=1)
        assert bound.shape == result.shape and bound.dtype == np.float64
        for wrong in (result + 10 * bound, result * np.nan, result[1:]):
            with pytest.raises(AssertionError):
                assert_equivalent(wrong.astype("f4"), name, *args, padding=1)
    one = reference.error_bound("depthwise_conv2d_input_grad", grad, weight, (40, 50), padding=1)
    mode = reference.error_bound(
        "depthwise_conv2d_input_grad", grad, weight, (40, 50), padding=1, padding_mode="edge"
    )
    assert mode[0, 0, 0, 0] > one[0, 0, 0, 0]
    long = np.ones((1, 1, 1 << 20), "f4")
    bound = reference.error_bound("depthwise_conv1d_weight_grad", long, long, 1)
    assert 4096 < bound.item() / 2**20 * 2**24 < 4200


@pytest.mark.parametrize("name", ["float16", *BFLOAT16])
def test_the_bound_of_half_precision(name):
    """What is accumulated in float32 and rounded once is inside, what is rounded at each step is not."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((3, 500)).astype(name), rng.standard_normal((3, 1, 15)).astype(name)
    once = reference.depthwise_conv1d(x.astype("f4"), weight.astype("f4")).astype(name)
    assert 0.5 < assert_equivalent(once, "depthwise_conv1d", x, weight) <= 1
    with pytest.raises(AssertionError):
        assert_equivalent(reference.depthwise_conv1d(x, weight), "depthwise_conv1d", x, weight)


EXAMPLES = ("depthwise", "pointwise", "separable", "transposed", "gradients", "pointwise_gradients", "vjp")


@pytest.mark.parametrize("name", (*EXAMPLES, "bounds"))
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"dsconv.reference.{name}")).failed == 0
