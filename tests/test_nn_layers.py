"""Values of single layers, names, state, context, and what is refused."""

import copy
import doctest
import importlib
import pickle
import pkgutil
import tracemalloc

import numpy as np
import pytest

import dsconv as ds
from dsconv import nn, reference
from dsconv.nn import attention, standard
from dsconv.nn.resize import resize, resize_grad

FIRST, LAST = "channels_first", "channels_last"


# ---- the package ---------------------------------------------------------------------------------
def test_import_is_lazy(run_python):
    script = (
        "import sys, dsconv\n"
        "assert not [name for name in sys.modules if name.startswith(('dsconv.nn', 'dsconv.cost'))]\n"
        "assert dsconv.nn.Sequential and dsconv.cost.Cost and {'nn', 'cost'} <= set(dir(dsconv))\n"
    )
    done = run_python(script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["", *(each.name for each in pkgutil.iter_modules(nn.__path__))])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"dsconv.nn.{name}".rstrip("."))).failed == 0


def test_everything_exported_exists():
    assert len(set(nn.__all__)) == len(nn.__all__)
    for name in nn.__all__:
        assert getattr(nn, name).__doc__
        assert ds.nn is nn


# ---- convolutions --------------------------------------------------------------------------------
@pytest.mark.parametrize("block", [1, 50, 1 << 20])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "symmetric", "replicate", "circular"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_standard_is_a_sum_of_depthwise(rank, mode, block, rng, monkeypatch):
    monkeypatch.setattr(standard, "_BLOCK", block)
    padding = ((2, 1), (1, 2), (0, 1))[:rank]
    words = {"stride": 2, "padding": padding, "dilation": 2, "padding_mode": mode}
    layer = getattr(nn, f"Conv{rank}d")(3, 4, 2, **words, dtype=float, rng=0)
    layer.bias[...] = rng.standard_normal(4)
    x = rng.standard_normal((2, 3, *(9, 6, 5)[:rank]))
    each = getattr(reference, f"depthwise_conv{rank}d")(x, layer.weight.swapaxes(0, 1), **words)
    expected = each.reshape(2, 3, 4, *each.shape[2:]).sum(axis=1) + layer.bias.reshape(-1, *[1] * rank)
    np.testing.assert_allclose(layer(x), expected, atol=1e-12)
    y, pullback = layer.vjp(x)
    dy = rng.standard_normal(y.shape)
    dx, grads = pullback(dy)
    assert np.sum(dx * x) == pytest.approx(np.sum(dy * (y - layer.bias.reshape(-1, *[1] * rank))))
    assert np.sum(grads["weight"] * layer.weight) == pytest.approx(np.sum(dx * x))


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8"])
def test_standard_of_any_dtype(dtype, data_format, rng):
    activation = None if dtype == "c8" else "silu"
    words = {"activation": activation, "data_format": data_format, "dtype": dtype, "rng": 0}
    layer = nn.Conv2d(3, 8, 3, stride=2, padding=1, **words)
    x = rng.standard_normal((2, 9, 3, 9) if data_format == "channels_first" else (2, 9, 9, 3)).astype(dtype)
    x = x.swapaxes(1, 2) if data_format == "channels_first" else x
    y = layer(x)
    assert y.dtype == dtype and y.flags.c_contiguous
    np.testing.assert_array_equal(y, layer.vjp(x)[0])


def test_layers_are_the_functions(rng):
    x = rng.standard_normal((2, 3, 8, 7)).astype(np.float32)
    layer = nn.SeparableConv2d(3, 5, 3, padding="same", stride=2, depthwise_bias=True, activation="relu")
    arrays = [getattr(layer, name) for name in layer.parameter_names]
    expected = ds.separable_conv2d(x, *arrays, padding="same", stride=2, activation="relu")
    assert layer(x).tobytes() == expected.tobytes()


def test_initialisation():
    one, other = nn.Conv2d(32, 64, 3, rng=7), nn.Conv2d(32, 64, 3, rng=7, dtype="float64")
    assert (one.weight == other.weight.astype(np.float32)).all()
    assert other.weight.std() == pytest.approx(np.sqrt(2 / (32 * 9)), rel=0.02)
    assert nn.SeparableConv2d(64, 128, 3, rng=1).pointwise_weight.std() == pytest.approx(
        1 / np.sqrt(32), rel=0.1
    )
    generator = np.random.default_rng(0)
    assert (nn.Linear(3, 3, rng=generator).weight != nn.Linear(3, 3, rng=generator).weight).all()


# ---- normalisation and noise ---------------------------------------------------------------------
def test_batch_norm_statistics(rng):
    x = rng.standard_normal((4, 3, 5)) * 3 + 2
    layer = nn.BatchNorm(3, momentum=0.2, dtype=float)
    y, pullback = layer.vjp(x)
    np.testing.assert_allclose(y.mean(axis=(0, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=(0, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(pullback.buffers["running_mean"], 0.2 * x.mean(axis=(0, 2)))
    np.testing.assert_allclose(pullback.buffers["running_var"], 0.8 + 0.2 * x.var(axis=(0, 2), ddof=1))
    assert (layer.running_mean == 0).all() and (layer.running_var == 1).all()
    layer.load_state_dict(pullback.buffers, strict=False)
    expected = (x - layer.running_mean[:, None]) / np.sqrt(layer.running_var[:, None] + 1e-5)
    np.testing.assert_allclose(layer.eval()(x), expected)
    assert layer.vjp(x)[1].buffers == {}


def test_batch_norm_used_twice(rng):
    layer = nn.BatchNorm(2, dtype=float)
    x = rng.standard_normal((9, 2))
    y, pullback = nn.Sequential(layer, nn.Activation("silu"), layer).vjp(x)
    _, first = layer.vjp(x)
    layer.load_state_dict(first.buffers, strict=False)
    _, second = layer.vjp(nn.Activation("silu")(nn.BatchNorm(2, dtype=float)(x)))
    assert list(pullback.buffers) == ["0.running_mean", "0.running_var"]
    for name, value in second.buffers.items():
        np.testing.assert_allclose(pullback.buffers[f"0.{name}"], value)


def test_noise_streams(rng):
    net = nn.Sequential(nn.Dropout(0.5), nn.Residual(nn.Dropout(0.5)), nn.StochasticDepth(0.3))
    x = np.ones((8, 50))
    assert (net(x, rng=3) == net(x, rng=3)).all()
    assert (net(x, rng=3) != net(x, rng=4)).any()
    generator = np.random.default_rng(0)
    assert (net(x, rng=generator) != net(x, rng=generator)).any()
    twice = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))(x, rng=0)
    assert 0.15 < (twice > 0).mean() < 0.35
    assert (net.eval()(x) == 2 * x).all()
    assert net.train() is net and net[0].training and net[1].body.training


# ---- shapes --------------------------------------------------------------------------------------
def test_pooling_values(rng):
    x = rng.standard_normal((1, 2, 6, 6))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2]
    assert (nn.MaxPool2d(3, stride=2)(x) == windows.max(axis=(4, 5))).all()
    np.testing.assert_allclose(nn.AveragePool2d(3, stride=2)(x), windows.mean(axis=(4, 5)))
    ones = np.ones((1, 1, 4, 4))
    assert nn.AveragePool2d(3, stride=1, padding=1)(ones)[0, 0, 0, 0] == pytest.approx(4 / 9)
    assert (nn.AveragePool2d(3, stride=1, padding=1, count_padding=False)(ones) == 1).all()
    y, pullback = nn.MaxPool1d(2).vjp(np.array([[[1.0, 1.0, np.nan, 2.0]]]))
    assert np.isnan(y[0, 0, 1]) and pullback(np.ones_like(y))[0].tolist() == [[[1, 0, 1, 0]]]


@pytest.mark.parametrize("sizes", [(4, 7), (9, 3), (1, 13)])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_resize(mode, sizes, rng):
    x = rng.standard_normal((1, 1, 5, 6))
    y = resize(x, sizes, mode)
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            assert y[0, 0, i, j] == pytest.approx(_sample(x[0, 0], (i, j), sizes, mode))
    dy = rng.standard_normal(y.shape)
    assert np.sum(dy * y) == pytest.approx(np.sum(resize_grad(dy, (5, 6), mode) * x))


def _sample(image, position, sizes, mode):
    """One value, by the definition."""
    total, axes = 0, []
    for p, size, target in zip(position, image.shape, sizes, strict=True):
        centre = (p + 0.5) * size / target - 0.5
        if mode == "nearest":
            axes.append([(min(int(np.floor(centre + 0.5)), size - 1), 1)])
            continue
        centre = min(max(centre, 0), size - 1)
        low = int(centre)
        axes.append([(low, 1 - centre + low), (min(low + 1, size - 1), centre - low)])
    for i, a in axes[0]:
        for j, b in axes[1]:
            total += a * b * image[i, j]
    return total


# ---- attention -----------------------------------------------------------------------------------
def _dense_attention(layer, x, allowed):
    q, k, v = np.split(x @ layer.in_weight.T + layer.in_bias, 3, axis=-1)
    size, parts = x.shape[-1] // layer.heads, []
    for head in range(layer.heads):
        at = slice(head * size, head * size + size)
        scores = np.where(allowed, q[:, at] @ k[:, at].T / np.sqrt(size), -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        parts.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, at])
    return np.concatenate(parts, axis=1) @ layer.out_weight.T + layer.out_bias


@pytest.mark.parametrize("block", [1, 30, 1 << 22])
def test_attention_is_softmax(block, rng, monkeypatch):
    monkeypatch.setattr(attention, "_BLOCK", block)
    layer = nn.SelfAttention(6, heads=3, dtype=float, rng=0)
    layer.in_bias[...], layer.out_bias[...] = rng.standard_normal(18), rng.standard_normal(6)
    x = rng.standard_normal((2, 7, 6))
    keys, pairs = rng.random((2, 7)) < 0.6, rng.random((1, 7, 7)) < 0.5
    keys[:, 0] = True
    pairs |= np.eye(7, dtype=bool)
    for mask in None, keys, pairs:
        for sample in range(2):
            allowed = np.ones(7, bool) if mask is None else mask[sample % len(mask)]
            expected = _dense_attention(layer, x[sample], allowed)
            np.testing.assert_allclose(layer(x, mask=mask)[sample], expected, atol=1e-12)
        ds.testing.check_gradients(layer, x, mask=mask)


def test_attention_holds_no_square(rng):
    layer, x = nn.SelfAttention(8, rng=0), rng.standard_normal((1, 4096, 8)).astype(np.float32)
    tracemalloc.start()
    layer(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6 < 4096**2 * 4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_attention_keeps_narrow_types(dtype, rng):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    layer = nn.SelfAttention(4, heads=2, dtype=dtype, rng=0)
    x = rng.standard_normal((2, 3, 4)).astype(dtype)
    y, pullback = layer.vjp(x)
    dx, grads = pullback(y)
    assert {each.dtype for each in (layer(x), y, dx, *grads.values())} == {x.dtype}


def test_attention_to_nothing(rng):
    layer = nn.SelfAttention(4, dtype=float, rng=0)
    y, pullback = layer.vjp(rng.standard_normal((1, 3, 4)), mask=np.zeros((1, 3), bool))
    assert (y == layer.out_bias).all()
    dx, grads = pullback(np.ones_like(y))
    assert (dx == 0).all() and all(np.isfinite(each).all() for each in grads.values())


# ---- names and state -----------------------------------------------------------------------------
def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, rng=0), nn.BatchNorm(4), body=nn.Residual(nn.PointwiseConv2d(4, 4))
    )


def test_names_index_and_slices():
    net = network()
    assert list(net.parameters)[:2] == ["0.weight", "0.bias"]
    assert list(net.buffers) == ["1.running_mean", "1.running_var"]
    assert net[0] is net["0"] and net[-1] is net.body and len(net) == 3
    part = net[1:]
    assert list(part.children) == ["1", "body"]
    assert part.parameters["body.body.weight"] is net.parameters["body.body.weight"]
    with pytest.raises(KeyError, match="no child 'nonsense'"):
        net["nonsense"]
    with pytest.raises(AttributeError, match="no child 'nonsense'"):
        net.nonsense  # noqa: B018


def test_parameters_are_live(rng):
    net, x = network().eval(), rng.standard_normal((1, 3, 6, 6))
    before = net(x)
    net.parameters["0.weight"][...] *= 2
    assert (net(x) != before).any()


def test_state_is_reported_at_once():
    net = network()
    state = net.state_dict()
    del state["0.bias"]
    state["extra"], state["1.weight"] = np.zeros(2), np.zeros(5)
    state["1.bias"] = np.full(4, 7.0)
    with pytest.raises(ValueError) as caught:
        net.load_state_dict(state)
    for words in "missing: 0.bias (4,)", "unexpected: extra (2,)", "misshapen: 1.weight is (5,), needed (4,)":
        assert words in str(caught.value)
    assert (net["1"].bias == 0).all()
    del state["1.weight"]
    assert (net.load_state_dict(state, strict=False)["1"].bias == 7).all()
    with pytest.raises(ValueError, match="of a wrong type: 1.bias is complex128"):
        net.load_state_dict({"1.bias": np.zeros(4, complex)}, strict=False)


# ---- what is refused -----------------------------------------------------------------------------
def _maps(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: network()(_maps(1, 3, 5, 5), rng=0), TypeError, "rng: no layer in this Sequential uses"),
        (lambda: nn.Conv2d(3, 4, 3)(_maps(1, 3, 5, 5), mask=0), TypeError, "mask"),
        (lambda: nn.Dropout(0.5)(_maps(1, 2)), ValueError, "rng: Dropout in training draws"),
        (lambda: nn.Dropout(1), ValueError, "probability: must be finite and at least 0 and less than 1"),
        (lambda: nn.Conv2d(3, 4, 3)(_maps(3, 5, 5)), ValueError, "x: Conv2d takes 4 axes"),
        (lambda: nn.SeparableConv1d(3, 4, 3)(_maps(1, 2, 5)), ValueError, "made for C = 3 channels"),
        (lambda: nn.DepthwiseConv2d(0, 3), ValueError, "channels: must be at least 1, got 0"),
        (lambda: nn.DepthwiseConv2d(3, (3, 3, 3)), ValueError, "kernel_size: expected"),
        (lambda: nn.convolution.DepthwiseConv(3, 3), TypeError, "use DepthwiseConv1d"),
        (lambda: nn.Sequential(np.ones(3)), TypeError, "child '0' must be a Layer, got ndarray"),
        (lambda: nn.Sequential(**{"a.b": nn.Identity()}), ValueError, "without a dot.*got 'a.b'"),
        (lambda: nn.Residual(nn.Conv1d(2, 3, 1))(_maps(1, 2, 4)), ValueError, "must have one shape"),
        (lambda: nn.Split((1, 2), nn.Identity()), ValueError, "got 2 for 1 branches"),
        (lambda: nn.Split((1,), nn.Identity())(_maps(1, 2, 3)), ValueError, "Split needs 1 = 1 channels"),
        (lambda: nn.Concat()(_maps(1, 2)), TypeError, "without branches joins a tuple"),
        (lambda: nn.BatchNorm(2)(_maps(1, 2)), ValueError, "more than one value per channel"),
        (lambda: nn.MaxPool1d(2, padding=2)(_maps(1, 1, 4)), ValueError, "each window must meet the input"),
        (lambda: nn.SameSize(nn.MaxPool1d(2), "crop")(_maps(1, 1, 4)), ValueError, "at least as large"),
        (lambda: nn.SelfAttention(6, heads=4), ValueError, "heads: must divide"),
        (lambda: nn.SelfAttention(2)(_maps(1, 3, 2), mask=np.ones((1, 3))), TypeError, "expected booleans"),
        (lambda: nn.SelfAttention(2)(_maps(1, 3, 2), mask=np.ones(3, bool)), ValueError, "mask: expected"),
        (lambda: nn.Activation("mish"), ValueError, "name: expected one of"),
        (lambda: nn.Reshape(5)(_maps(1, 2, 3)), ValueError, "cannot be reshaped"),
        (lambda: nn.PixelShuffle2d(2)(_maps(1, 3, 2, 2)), ValueError, "a multiple of 4 channels"),
        (lambda: nn.Upsample(2, "cubic"), ValueError, "mode: expected one of bilinear, nearest"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_later_calls_see_what_changed(rng):
    """A layer remembers how it was called: not its weights, nor its keywords."""
    layer, x = nn.SeparableConv2d(4, 6, 3, padding=1, rng=0), rng.standard_normal((2, 4, 5, 6)).astype("f4")
    first = layer(x)
    np.testing.assert_array_equal(layer(x), first)
    layer.pointwise_weight = layer.pointwise_weight.reshape(6, 4, 1, 1)  # PyTorch's form
    layer.keywords["padding"] = [1, 1]
    for _ in range(2):
        np.testing.assert_array_equal(layer(x), first)
    layer.keywords |= {"padding": 0}
    assert layer(x).shape == (2, 6, 3, 4)
    layer.keywords.update(padding=1)
    np.testing.assert_array_equal(layer(x), first)
    layer.pointwise_bias[:] = 1
    layer.depthwise_bias, layer.keywords["padding"] = None, 0
    for _ in range(2):
        assert layer(x).shape == (2, 6, 3, 4)
        np.testing.assert_allclose(layer(x), first[:, :, 1:-1, 1:-1] + 1, rtol=1e-5, atol=1e-5)
        with pytest.raises(ValueError, match="made for C = 4 channels"):
            layer(x[:, :3])


def test_called_layers_are_copied_and_pickled(rng):
    """What a layer remembers of its calls is its own."""
    layer, x = nn.DepthwiseConv2d(3, 3, rng=0), rng.standard_normal((1, 3, 6, 7)).astype("f4")
    first = [layer(x), layer(x)][1]
    for other in copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)):
        np.testing.assert_array_equal([other(x), other(x)][1], first)
        other.keywords["stride"] = 2
        assert other(x).shape == other(x).shape == (1, 3, 2, 3)
    np.testing.assert_array_equal(layer(x), first)


def test_arrays_with_more_axes(rng):
    """PyTorch's form of weights, and leading axes, mean in later calls what they do in a first one."""
    x = rng.standard_normal((1, 1, 4, 5)).astype("f4")
    for name, shape in ("weight", (1, 1, 1, 1)), ("bias", (2, 1)):
        layer = nn.PointwiseConv2d(1, 1, rng=0)
        setattr(layer, name, getattr(layer, name) + np.zeros(shape, "f4"))
        first = layer(x)
        known = nn.PointwiseConv2d(1, 1, rng=0)
        known(x)
        setattr(known, name, getattr(layer, name))
        for later in layer(x), known(x), known(x):
            np.testing.assert_array_equal(later, first)
        assert first.shape == (2 if name == "bias" else 1, 1, 4, 5)


def test_mean_of_any_values():
    """Also where it is a product by ones: infinities, NaN, one position, long sums, all types."""
    for dtype in np.float32, np.float64, np.float16, np.complex64:
        for sizes in ((1, 1), (7, 7), (16, 16), (17, 16), (3,), (2, 3, 4)):
            x = np.arange(2 * 5 * np.prod(sizes)).reshape(2, 5, *sizes).astype(dtype) / 64
            mean = nn.GlobalAveragePool()(x)
            np.testing.assert_allclose(mean, x.reshape(2, 5, -1).mean(2), rtol=2e-3)
            assert mean.dtype == dtype and nn.GlobalAveragePool(keepdims=True)(x).shape == (
                2,
                5,
                *(1 for _ in sizes),
            )
    x = np.ones((1, 3, 7, 7), "f4")
    x[0, 1, 3, 3], x[0, 2, 6, 6] = np.inf, np.nan
    np.testing.assert_array_equal(nn.GlobalAveragePool()(x), [[1, np.inf, np.nan]])


def test_linear_and_standard_take_what_the_long_way_takes(rng):
    """Arrays of one native type go straight to the kernel; others and wrong ones do not."""
    linear, conv = nn.Linear(4, 3, rng=0), nn.Conv2d(2, 3, 3, rng=0)
    x, maps = rng.standard_normal((2, 4)), rng.standard_normal((1, 2, 6, 5))
    for dtype in "f4", "f8", "f2", ">f4":
        np.testing.assert_allclose(
            linear(x.astype(dtype)), x @ linear.weight.T + linear.bias, rtol=0.02, atol=0.02
        )
        assert conv(maps.astype(dtype)).shape == (1, 3, 4, 3)
    np.testing.assert_array_equal(linear(x.astype("f4")), linear.vjp(x.astype("f4"))[0])
    np.testing.assert_allclose(conv(maps.astype("f4")), conv(maps), rtol=1e-4, atol=1e-5)
    for layer, wrong in (linear, x[:, :3]), (linear, x[0]), (conv, maps[:, :1]), (conv, maps[..., :2]):
        with pytest.raises(ValueError):
            layer(wrong.astype("f4"))
