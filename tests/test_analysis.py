"""Overlap counts, checkerboards, receptive fields and ranks, against closed forms and against counting."""

import doctest
import importlib
import itertools
import pkgutil

import numpy as np
import pytest

import dsconv as ds
from dsconv import analysis, nn


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(analysis.__path__)])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"dsconv.analysis.{name}")).failed == 0


def test_everything_exported_exists(run_python):
    assert doctest.testmod(analysis).failed == 0
    assert len(set(analysis.__all__)) == len(analysis.__all__)
    for name in analysis.__all__:
        assert getattr(analysis, name).__doc__
    done = run_python(
        "import sys, dsconv\n"
        "assert 'dsconv.analysis' not in sys.modules and dsconv.analysis.channel_rank\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr


# ---- overlap -------------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_overlap_is_what_ones_give(rank):
    """The counts are the interior of a transposed convolution of ones with ones."""
    for kernel, stride, rate in itertools.product((1, 2, 3, 5), (1, 2, 3), (1, 2)):
        kernels = (kernel, 3, 2)[:rank]
        words = {"stride": (stride, 2, 1)[:rank], "dilation": (rate, 1, 2)[:rank]}
        x, weight = np.ones((1, *(12,) * rank)), np.ones((1, 1, *kernels))
        y = getattr(ds, f"depthwise_conv_transpose{rank}d")(x, weight, **words)[0]
        counts = analysis.overlap_count(kernels, words["stride"], dilation=words["dilation"])
        inside = tuple(
            slice(s * (-(-d * (k - 1) // s)), s * (-(-d * (k - 1) // s)) + s)
            for k, s, d in zip(kernels, words["stride"], words["dilation"], strict=True)
        )
        np.testing.assert_array_equal(y[inside], counts)
        assert counts.sum() == np.prod(kernels)


def test_overlap_is_even_where_the_stride_divides_the_kernel():
    for kernel, stride in itertools.product(range(1, 9), range(1, 5)):
        assert (np.ptp(analysis.overlap_count(kernel, stride)) == 0) == (kernel % stride == 0)


# ---- checkerboards -------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kernel, stride", [(2, 2), (4, 2), (6, 3), (3, 3), (9, 3)])
def test_even_kernels_have_no_checkerboard(kernel, stride, rank):
    weight = np.full((2, 3, *(kernel,) * rank), 0.1)
    for words in {}, {"standard": True}:
        found = analysis.checkerboard(weight, stride=stride, **words)
        assert (found.energy == 0).all() and np.isnan(found.mean_correlation)
    layer = getattr(nn, f"DepthwiseConvTranspose{rank}d")(2, kernel, stride=stride)
    layer.weight[...] = 0.1
    assert (analysis.checkerboard(layer).energy == 0).all()


@pytest.mark.parametrize("kernel, stride", [(3, 2), (5, 2), (5, 3), (4, 3), (1, 2)])
def test_energy_of_equal_weights_is_that_of_the_counts(kernel, stride):
    counts = analysis.overlap_count((kernel, kernel), (stride, stride))
    expected = counts.var() / counts.mean() ** 2
    found = analysis.checkerboard(np.full((3, 1, kernel, kernel), -0.7), stride=stride)
    np.testing.assert_allclose(found.energy, expected, rtol=1e-12)
    np.testing.assert_allclose(found.correlation, 1, rtol=1e-12)
    assert found.mean_correlation == pytest.approx(1)


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_phases_of_equal_weights_are_the_counts(dilation):
    words = {"stride": (2, 3), "dilation": dilation}
    found = analysis.checkerboard(np.ones((1, 2, 5, 4)), **words)
    counts = analysis.overlap_count((5, 4), words["stride"], dilation=dilation)
    np.testing.assert_array_equal(found.phase_means, [counts, counts])


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("rank", [1, 2])
def test_layers_are_as_their_weights(rank, data_format):
    words = {"stride": 2, "padding": 1, "data_format": data_format, "bias": False, "rng": 0}
    depthwise = getattr(nn, f"DepthwiseConvTranspose{rank}d")(3, 5, depth_multiplier=2, **words)
    separable = getattr(nn, f"SeparableConvTranspose{rank}d")(3, 4, 5, depth_multiplier=2, **words)
    pair = separable.depthwise_weight, separable.pointwise_weight
    for layer, weights in (depthwise, depthwise.weight), (separable, pair):
        one, other = analysis.checkerboard(layer), analysis.checkerboard(weights, stride=2)
        np.testing.assert_allclose(one.energy, other.energy, rtol=1e-4)
        np.testing.assert_allclose(one.correlation, other.correlation, atol=1e-4)
        # padding moves the phases
        moved = np.roll(other.phase_means, -1, axis=tuple(range(1, rank + 1)))
        np.testing.assert_allclose(one.phase_means, moved, rtol=1e-4, atol=1e-5)


def test_channels_of_few_filters_are_correlated():
    """Outputs of a separable layer mix C patterns: those of two channels lie in a plane, of one in a line."""
    rng = np.random.default_rng(0)
    outputs = 32

    def correlation(channels):
        depthwise = rng.standard_normal((channels, 1, 5, 5))
        pointwise = rng.standard_normal((outputs, channels))
        return analysis.checkerboard((depthwise, pointwise), stride=3).mean_correlation

    full = rng.standard_normal((outputs, 8, 5, 5))
    assert correlation(1) == pytest.approx(1)
    standard = analysis.checkerboard(full, stride=3, standard=True).mean_correlation
    assert correlation(1) > correlation(2) > correlation(8) > standard - 0.1
    # the mean |cos| of random directions in a plane is 2/pi
    assert correlation(2) == pytest.approx(2 / np.pi, abs=0.15)


def test_checkerboard_of_networks():
    net = nn.Sequential(
        nn.DepthwiseConvTranspose2d(1, 3, stride=2, bias=False),
        nn.DepthwiseConvTranspose2d(1, 3, stride=(3, 1), bias=False),
    )
    for layer in net:
        layer.weight[...] = 1
    found = analysis.checkerboard(net)
    assert found.phase_means.shape == (1, 6, 2)
    even = nn.Sequential(nn.Upsample(2, "nearest"), nn.SeparableConv2d(3, 2, 3, padding="same", rng=0))
    found = analysis.checkerboard(even, shape=(1, 3, 8, 8))
    assert found.phase_means.shape == (2, 2, 2) and (found.energy == 0).all()
    assert analysis.checkerboard(even[1], period=2).phase_means.shape == (2, 2, 2)
    gated = nn.Sequential(nn.DepthwiseConvTranspose1d(2, 3, stride=2), nn.SqueezeExcite(2, 1, rank=1))
    assert analysis.checkerboard(gated).phase_means.shape == (2, 2)
    down_and_up = nn.Sequential(nn.AveragePool1d(2), nn.DepthwiseConvTranspose1d(1, 3, stride=2))
    assert analysis.checkerboard(down_and_up, shape=(1, 1, 24)).phase_means.shape == (1, 2)


def test_zero_mean_has_infinite_energy():
    found = analysis.checkerboard(np.array([[[1.0, -1.0]], [[0.0, 0.0]]]), stride=2)
    assert found.energy.tolist() == [np.inf, 0]
    assert repr(found).startswith("Checkerboard(energy=[inf, 0], mean_correlation=nan")


# ---- receptive fields ----------------------------------------------------------------------------
def test_effective_field_of_ones_is_a_binomial():
    """n box filters of 3 ones: the trinomial coefficients."""
    layers = [nn.DepthwiseConv1d(1, 3, padding=1, bias=False) for _ in range(5)]
    for layer in layers:
        layer.weight[...] = 1
    expected = np.array([1.0])
    for _ in layers:
        expected = np.convolve(expected, np.ones(3))
    field = analysis.effective_receptive_field(nn.Sequential(*layers), (1, 1, 21))
    np.testing.assert_array_equal(field[5:16], expected)
    assert not field[:5].any() and not field[16:].any()
    ((size, _, start),) = analysis.receptive_field(nn.Sequential(*layers))
    assert (size, start) == (11, -5) and np.count_nonzero(field) == size


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_effective_field_lies_in_the_field(data_format):
    words = {"data_format": data_format, "rng": 0}
    net = nn.Sequential(
        nn.SeparableConv2d(3, 6, 3, stride=2, padding=1, activation="relu", **words),
        nn.BatchNorm(6, data_format=data_format),
        nn.SeparableConv2d(6, 4, (3, 5), padding=(1, 2), **words),
    )
    shape = (7, 3, 32, 30) if data_format == "channels_first" else (7, 32, 30, 3)
    field = analysis.effective_receptive_field(net, shape, position=(6, 7), samples=3)
    assert field.shape == (32, 30) and net.training
    expected = np.zeros(field.shape, bool)
    axes = zip((6, 7), net.receptive_field(), strict=True)
    expected[tuple(slice(a + p * s, a + p * s + n) for p, (n, s, a) in axes)] = True
    assert ((field > 0) == expected).all()
    again = analysis.effective_receptive_field(net, shape, position=(6, 7), samples=3)
    assert (again == field).all()


def test_effective_field_in_three_dimensions():
    field = analysis.effective_receptive_field(nn.DepthwiseConv3d(2, 3, padding=1, rng=0), (1, 2, 5, 6, 7))
    assert field.shape == (5, 6, 7) and np.count_nonzero(field) == 27


# ---- rank ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_channel_rank(rank, rng):
    for out, kernel, multiplier in itertools.product((2, 7, 40), (1, 2, 3), (1, 2, 5)):
        taps = kernel**rank
        standard = rng.standard_normal((out, 3, *(kernel,) * rank))
        assert analysis.channel_rank(standard).tolist() == [min(out, taps)] * 3
        pair = (
            rng.standard_normal((3, multiplier, *(kernel,) * rank)),
            rng.standard_normal((out, 3 * multiplier)),
        )
        assert analysis.channel_rank(pair).tolist() == [min(multiplier, out, taps)] * 3
        layer = getattr(nn, f"SeparableConv{rank}d")(3, out, kernel, depth_multiplier=multiplier, rng=0)
        assert analysis.channel_rank(layer).tolist() == [min(multiplier, out, taps)] * 3


def test_rank_of_what_a_separable_layer_computes(rng):
    """The standard weight that a separable layer without an inner activation amounts to has its rank."""
    layer = nn.SeparableConv2d(4, 9, 3, depth_multiplier=2, rng=0, dtype=float)
    filters = layer.depthwise_weight.reshape(4, 2, 9)
    whole = np.einsum("ocm,cmk->ock", layer.pointwise_weight.reshape(9, 4, 2), filters)
    standard = nn.Conv2d(4, 9, 3, dtype=float)
    standard.weight[...] = whole.reshape(9, 4, 3, 3)
    x = rng.standard_normal((1, 4, 6, 6))
    np.testing.assert_allclose(standard(x), layer(x), rtol=1e-12)
    assert analysis.channel_rank(standard).tolist() == analysis.channel_rank(layer).tolist() == [2] * 4
    standard.weight[:, 1] = 0
    standard.weight[:, 2, 0, 0] += 1e-3
    assert analysis.channel_rank(standard).tolist() == [2, 0, 3, 2]
    assert analysis.channel_rank(standard, tolerance=0.1).tolist()[2] == 2


# ---- plots ---------------------------------------------------------------------------------------
@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_plots_show_the_numbers(pyplot):
    layer = nn.SeparableConvTranspose2d(2, 4, 3, stride=2, rng=0)
    ax = analysis.plot_overlap_count((3, 3), (2, 2), periods=2)
    np.testing.assert_array_equal(ax.images[0].get_array(), np.tile([[4, 2], [2, 1]], (2, 2)))
    ax = analysis.plot_overlap_count(3, 2, periods=2)
    assert [bar.get_height() for bar in ax.patches] == [2, 1, 2, 1]
    found = analysis.checkerboard(layer)
    ax = analysis.plot_checkerboard(layer)
    assert ax.images[0].get_array().shape == (4, 4)
    np.testing.assert_allclose(ax.images[0].get_array()[:, 1].std() ** 2, found.phase_means[1].var())
    assert analysis.plot_checkerboard(found, ax=pyplot.subplots()[1]).images
    net = nn.Sequential(a=nn.DepthwiseConv1d(1, 3), b=nn.MaxPool1d(2), c=nn.DepthwiseConv1d(1, 3))
    ax = analysis.plot_receptive_field(net)
    assert ax.lines[0].get_ydata().tolist() == [3, 4, 8]
    ax = analysis.plot_receptive_field(nn.Sequential(net[0], nn.GlobalAveragePool()))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [3, np.nan])
    nested = nn.Sequential(net[:2], nn.Activation("relu"), body=nn.Sequential(net[2:]))
    ax = analysis.plot_receptive_field(nested)
    assert ax.lines[0].get_ydata().tolist() == [3, 4, 8]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.a", "0.b", "body.0.c"]
    square = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, (3, 5)))
    ax = analysis.plot_receptive_field(square[:1])
    assert [line.get_label() for line in ax.lines] == ["axes 0, 1"]
    assert len(analysis.plot_receptive_field(square).lines) == 2
    ax = analysis.plot_effective_receptive_field(nn.DepthwiseConv3d(1, 3, padding=1), (1, 1, 5, 6, 7))
    assert ax.images[0].get_array().shape == (6, 7)
    ax = analysis.plot_channel_rank(nn.Conv1d(2, 5, 3, rng=0), ax=pyplot.subplots()[1])
    assert [bar.get_height() for bar in ax.patches] == [3, 3]


# ---- what is refused -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: analysis.overlap_count(0, 2), "kernel_size: must be at least 1"),
        (lambda: analysis.overlap_count((3, 3), (2,)), "stride: expected"),
        (lambda: analysis.overlap_count((3,) * 4, 2), "kernel_size: expected 1 to 3 spatial axes, got 4"),
        (
            lambda: analysis.plot_overlap_count((3,) * 3, 2),
            "kernel_size: one or two spatial axes can be drawn",
        ),
        (lambda: analysis.checkerboard(np.ones((1, 1, 3))), "stride: needed for weights"),
        (lambda: analysis.checkerboard(np.ones((1, 1)), stride=2), "layer: expected a weight"),
        (
            lambda: analysis.checkerboard((np.ones((2, 1, 3)), np.ones((4, 3))), stride=2),
            "pointwise weight must",
        ),
        (lambda: analysis.checkerboard((np.ones((2, 1, 3)),), stride=2), "layer: expected .depthwise"),
        (lambda: analysis.checkerboard(nn.Upsample(2)), "shape: needed"),
        (lambda: analysis.checkerboard(nn.Upsample(2), stride=2), "stride: only for weights"),
        (
            lambda: analysis.checkerboard(nn.DepthwiseConvTranspose1d(1, 9, stride=2), shape=(1, 1, 3)),
            "shape: too small along spatial axis 0",
        ),
        (
            lambda: analysis.checkerboard(nn.GlobalAveragePool(), shape=(1, 1, 3)),
            "layer: its result must be a map",
        ),
        (lambda: analysis.receptive_field(3), "layer: expected a Layer, got int"),
        (
            lambda: analysis.effective_receptive_field(nn.GlobalAveragePool(), (1, 2, 3, 3)),
            "layer: its result must be a map of 2 spatial axes",
        ),
        (
            lambda: analysis.effective_receptive_field(nn.Identity(), (1, 2, 3), position=(3,)),
            "position: must lie in the output",
        ),
        (lambda: analysis.effective_receptive_field(nn.Identity(), (1, 2, 3), samples=0), "samples: must be"),
        (lambda: analysis.effective_receptive_field(nn.Identity(), 5), "shape: expected that of a batch"),
        (
            lambda: analysis.effective_receptive_field(nn.Identity(), (1, 2, 3), position=1),
            "position: must lie in the output",
        ),
        (lambda: analysis.checkerboard(nn.Upsample(2), shape=(1, 0, 3)), r"shape\[1\]: must be at least 1"),
        (
            lambda: analysis.checkerboard(np.ones((1, 1, 3), complex), stride=2),
            "layer: expected real weights",
        ),
        (lambda: analysis.channel_rank(np.ones((3, 3))), "weight: expected shape"),
        (lambda: analysis.channel_rank(np.full((3, 3, 3), np.nan)), "weight: expected finite"),
        (lambda: analysis.channel_rank((np.ones((2, 1, 3)), np.ones((4, 3)))), "weight: the pointwise one"),
    ],
)
def test_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
