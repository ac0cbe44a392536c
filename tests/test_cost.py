"""Costs: closed forms, the published figures of single layers, and MACs against taps that are counted."""

import itertools

import numpy as np
import pytest

from dsconv import cost, nn
from dsconv.cost import Cost


def test_adds_and_derives():
    total = sum([Cost(10, 2, 3, 5), Cost(1, 1, 1, 5)])
    assert total == Cost(11, 3, 4, 10)
    assert total.flops == 22
    assert total.traffic(8) == 80
    assert total.intensity() == 22 / 40
    assert Cost().intensity() == 0
    with pytest.raises(TypeError):
        Cost() + 1


@pytest.mark.parametrize("kernel", [(3,), (3, 5), (3, 3, 2)])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_reduction(kernel, multiplier):
    size = (7,) * len(kernel)
    separable = cost.separable(4, 16, kernel, size, depth_multiplier=multiplier)
    standard = cost.standard(4, 16, kernel, size)
    area = int(np.prod(kernel))
    assert separable.macs / standard.macs == pytest.approx(cost.reduction(16, kernel, multiplier), rel=1e-14)
    assert cost.reduction(16, kernel) == pytest.approx(1 / 16 + 1 / area, rel=1e-14)


def test_separable_is_its_stages():
    stages = cost.depthwise(4, 3, 10, depth_multiplier=2, batch=5)
    stages += cost.pointwise(8, 6, 10, batch=5, bias=True)
    whole = cost.separable(4, 6, 3, 10, depth_multiplier=2, batch=5, bias=True)
    assert (whole.macs, whole.params) == (stages.macs, stages.params)


def test_published_inception_3a():
    """GoogLeNet's table: 163,328 weights and 128 M MACs in the module 3a."""
    size = (28, 28)
    branches = [
        cost.pointwise(192, 64, size),
        cost.pointwise(192, 96, size) + cost.standard(96, 128, (3, 3), size),
        cost.pointwise(192, 16, size) + cost.standard(16, 32, (5, 5), size),
        cost.pointwise(192, 32, size),
    ]
    total = sum(branches)
    assert total.params == 163_328
    assert round(total.macs / 1e6) == 128


@pytest.mark.parametrize("standard", [False, True])
def test_published_mobilenet(standard):
    """MobileNets' table 4: 569 M MACs and 4.2 M parameters, or 4866 M and 29.3 M with standard layers."""
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    total, channels, size = cost.standard(3, 32, (3, 3), (112, 112)) + Cost(params=64), 32, 112
    for out, stride in plan:
        size //= stride
        if standard:
            total += cost.standard(channels, out, (3, 3), (size, size)) + Cost(params=2 * out)
        else:
            total += cost.separable(channels, out, (3, 3), (size, size)) + Cost(params=2 * (channels + out))
        channels = out
    total += cost.pointwise(1024, 1000, bias=True)
    macs, params = (4867.3, 29.3) if standard else (568.74, 4.2)
    assert total.macs / 1e6 == pytest.approx(macs, abs=0.05)
    assert round(total.params / 1e6, 1) == params
    assert standard or total.params == 4_231_976


def _count_taps(layer, shape):
    """MACs of a depthwise or standard layer, one tap of one output at a time."""
    output = layer.output_shape(shape)
    channels = 1 if isinstance(layer, nn.convolution.DepthwiseConv) else layer.in_channels
    return sum(1 for _ in itertools.product(*map(range, (*output, channels, *layer.window.kernel))))


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("padding", [0, 2, "same", "causal"])
def test_layers_count_every_tap(padding, data_format):
    shape = (2, 3, 6, 5) if data_format == "channels_first" else (2, 6, 5, 3)
    words = {"stride": 2, "padding": padding, "data_format": data_format}
    for layer in nn.DepthwiseConv2d(3, 3, depth_multiplier=2, **words), nn.Conv2d(3, 4, (2, 3), **words):
        assert layer.cost(shape).macs == _count_taps(layer, shape)
        assert layer.cost(shape).activations == np.prod(layer.output_shape(shape))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_separable_layers(rank):
    shape = (2, 3, *(4, 5, 6)[:rank])
    kernel, area, size = (3, 2, 2)[:rank], int(np.prod((3, 2, 2)[:rank])), int(np.prod((4, 5, 6)[:rank]))
    layer = getattr(nn, f"SeparableConv{rank}d")(3, 5, kernel, padding="same", depth_multiplier=2)
    assert layer.cost(shape).macs == 2 * size * 6 * (area + 5)
    assert layer.cost(shape).params == 6 * area + 5 * 6 + 5
    layer = getattr(nn, f"SeparableConvTranspose{rank}d")(3, 5, kernel, stride=2, padding="same")
    assert layer.cost(shape).macs == 2 * 3 * (size * area + 2**rank * size * 5)
    layer = getattr(nn, f"DepthwiseConvTranspose{rank}d")(3, kernel, stride=2, padding="same")
    assert layer.cost(shape).macs == 2 * 3 * size * area
    layer = getattr(nn, f"PointwiseConv{rank}d")(3, 5, bias=False)
    assert (layer.cost(shape).macs, layer.cost(shape).params) == (2 * size * 15, 15)


def test_shared_parameters_count_once_and_macs_each_time():
    layer = nn.PointwiseConv1d(3, 3)
    net = nn.Sequential(layer, nn.Activation("relu"), nn.Residual(layer))
    total = net.cost((2, 3, 7))
    assert (total.macs, total.params) == (2 * 2 * 7 * 9, 12)
    rows = net.summary((2, 3, 7))
    assert [name for name, *_ in rows] == ["0", "1", "2.body", "2.shortcut", "total"]
    assert rows[-1][3] == total


def test_attention_and_gate():
    count = 2 * 16 * 8 * (4 * 8 + 2 * 16)
    assert nn.SelfAttention(8, 2).cost((2, 16, 8)).macs == count
    assert nn.SelfAttention(8, 2, data_format="channels_first").cost((2, 8, 4, 4)).macs == count
    assert nn.SqueezeExcite(8, 2).cost((3, 8, 5, 5)).macs == 3 * 2 * 16
    assert nn.Linear(4, 5).cost((2, 3, 4)).macs == 2 * 3 * 20


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: cost.depthwise(0, 3, 3), "channels: must be at least 1, got 0"),
        (lambda: cost.standard(1, 1, (3, 3), (4,)), "output_size: expected"),
        (lambda: cost.pointwise(1.5, 1), "in_channels: expected an integer"),
    ],
)
def test_errors(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
