"""What single families promise: order, gates, strides and skips; scaling; arguments."""

import pickle
from functools import partial

import numpy as np
import pytest

from dsconv import models, nn, reference
from dsconv.models.proportions import atrous, pixels_of, rounded, stretched

from .networks import leaves, lively


def test_order_of_children():
    """That of the published networks: expansion, depthwise, gate, projection; convolution before norm."""
    names = [name.rsplit(".", 1)[0] for name in models.MBConv(8, 8, drop=0.1).state_dict()]
    assert list(dict.fromkeys(names)) == [
        "body.expand.conv", "body.expand.norm", "body.depthwise.conv", "body.depthwise.norm",
        "body.squeeze.gate.reduce", "body.squeeze.gate.expand", "body.project.conv", "body.project.norm",
    ]  # fmt: skip
    net = models.efficientnet(width=0.1)
    assert list(net.children) == ["stem", "stages", "head", "pool", "classifier"]
    assert [len(stage) for stage in net.stages] == [1, 2, 2, 3, 3, 4, 1]
    assert [len(stage) for stage in models.mobilenet_v3("large", width=0.1).stages] == [1, 2, 3, 4, 2, 3]


def test_gates():
    """EfficientNet's and MobileNetV3's, as their papers have them."""
    gate = models.MBConv(8, 8).body.squeeze.gate
    assert (gate.reduce.activation, gate.expand.activation, gate.reduce.out_channels) == (
        "silu",
        "sigmoid",
        2,
    )
    gate = models.mobilenet_v3("large").stages[2][0].body.squeeze.gate
    assert (gate.reduce.activation, gate.expand.activation) == ("relu", "hardsigmoid")
    assert (gate.reduce.in_channels, gate.reduce.out_channels) == (72, 24)


def norm(x, layer):
    scale, shift = layer.affine()
    return x * scale[:, np.newaxis, np.newaxis] + shift[:, np.newaxis, np.newaxis]


def test_mbconv_written_out():
    """The block step by step in plain NumPy, by the reference functions."""
    block = lively(models.MBConv(6, 6, kernel_size=5, expand=2, drop=0.5, dtype=float, rng=0)).eval()
    x = np.random.default_rng(0).standard_normal((3, 6, 7, 6))
    body, silu = block.body, lambda x: x / (1 + np.exp(-x))
    y = silu(norm(reference.pointwise_conv2d(x, body.expand.conv.weight), body.expand.norm))
    y = reference.depthwise_conv2d(y, body.depthwise.conv.weight, padding=2)
    y = silu(norm(y, body.depthwise.norm))
    gate, mean = body.squeeze.gate, y.mean(axis=(2, 3))
    inside = silu(mean @ gate.reduce.weight.T + gate.reduce.bias)
    factor = 1 / (1 + np.exp(-(inside @ gate.expand.weight.T + gate.expand.bias)))
    y = y * factor[:, :, np.newaxis, np.newaxis]
    y = norm(reference.pointwise_conv2d(y, body.project.conv.weight), body.project.norm)
    np.testing.assert_allclose(block(x), x + y, rtol=1e-11, atol=1e-12)


def test_inception_written_out():
    words = {"separable": True, "dtype": float, "rng": 0}
    module = lively(models.InceptionModule(6, 2, (2, 3), (2, 4), 1, **words)).eval()
    x = np.random.default_rng(0).standard_normal((3, 6, 7, 6))
    relu = partial(np.maximum, 0)

    def point(x, chain):
        return relu(norm(reference.pointwise_conv2d(x, chain.conv.weight), chain.norm))

    def separable(x, chain, padding):
        y = reference.depthwise_conv2d(x, chain.depthwise.conv.weight, padding=padding)
        return point(relu(norm(y, chain.depthwise.norm)), chain.pointwise)

    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    expected = [
        point(x, module.one),
        separable(point(x, module.three.reduce), module.three.conv, 1),
        separable(point(x, module.five.reduce), module.five.conv, 2),
        point(windows.max(axis=(4, 5)), module.pooled.project),
    ]
    np.testing.assert_allclose(module(x), np.concatenate(expected, axis=1), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("padding, given", [("half", 1), ("same", "same")])
def test_padding_and_epsilon(padding, given):
    """TensorFlow's padding takes other pixels where the stride is 2 and the size even."""
    words = {"padding": padding, "bn_eps": 0.25, "dtype": float, "rng": 0}
    block = lively(models.MobileNetBlock(2, 3, stride=2, **words)).eval()
    x = np.random.default_rng(0).standard_normal((1, 2, 8, 8))
    y = reference.depthwise_conv2d(x, block.depthwise.conv.weight, stride=2, padding=given)
    y = np.maximum(norm(y, block.depthwise.norm), 0)
    y = np.maximum(norm(reference.pointwise_conv2d(y, block.pointwise.conv.weight), block.pointwise.norm), 0)
    np.testing.assert_allclose(block(x), y, rtol=1e-11, atol=1e-12)
    for build in models.mobilenet_v1, models.mobilenet_v3, models.efficientnet, models.unet:
        net = build(width=0.01, padding=padding, bn_eps=0.25)
        assert {each.eps for each in leaves(net) if isinstance(each, nn.BatchNorm)} == {0.25}
        strided = [each.keywords for each in leaves(net) if isinstance(each, nn.DepthwiseConv2d)]
        strided = [words["padding"] for words in strided if words["stride"] == 2]
        assert all((each == "same") == (padding == "same") for each in strided)


def test_stochastic_depth_grows():
    net = models.efficientnet("b0", width=0.1, drop=0.32)
    drops = {
        name: each.probability for name, each, *_ in net.summary((1, 3, 32, 32)) if name.endswith("drop")
    }
    assert drops["stages.1.1.body.drop"] == pytest.approx(0.32 * 2 / 16)
    assert drops["stages.5.3.body.drop"] == pytest.approx(0.32 * 14 / 16)
    x = np.ones((2, 3, 32, 32), np.float32)
    with pytest.raises(ValueError, match="rng: StochasticDepth in training draws|rng: Dropout in training"):
        net(x)
    assert net(x, rng=0).tobytes() == net(x, rng=0).tobytes() != net(x, rng=1).tobytes()


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "xception"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_output_stride(backbone, output_stride):
    net = models.deeplab_v3plus(backbone, output_stride=output_stride, width=0.02, decoder_channels=4)
    low = net.body.entry.output_shape((1, 3, 64, 96))
    deep = net.body.join.high.body
    assert low[2:] == (16, 24)
    assert deep.output_shape(low)[2:] == (64 // output_stride, 96 // output_stride)
    rates = [branch.depthwise.conv.window.dilation[0] for branch in list(deep.aspp.branches)[1:4]]
    assert rates == [each * 16 // output_stride for each in (6, 12, 18)]


@pytest.mark.parametrize("backbone, width", [("mobilenet_v2", 0.5), ("xception", 0.1)])
def test_dilation_sees_what_stride_saw(backbone, width):
    """With a stride taken away, weights mean the same on every other position."""
    words = {"width": width, "depth": 0.1, "decoder_channels": 4, "dtype": float, "rng": 0}
    coarse, fine = (models.deeplab_v3plus(backbone, output_stride=each, **words).eval() for each in (16, 8))
    fine.load_state_dict(lively(coarse).state_dict())
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64))
    # entry, then all of the deep branch but its pyramid
    expected, got = (net.body.join.high.body[:-1](net.body.entry(x)) for net in (coarse, fine))
    assert (expected.shape[2:], got.shape[2:]) == ((4, 4), (8, 8))
    assert expected.std() > 0
    np.testing.assert_allclose(got[..., ::2, ::2], expected, rtol=1e-9, atol=1e-12)


def test_mobilenet_dilated():
    words = {"width": 0.5, "num_classes": 3, "rng": 0, "dtype": float}
    coarse = lively(models.mobilenet_v2(**words)).eval()
    fine = models.mobilenet_v2(output_stride=8, **words).eval().load_state_dict(coarse.state_dict())
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64))
    expected, got = coarse[:3](x), fine[:3](x)
    assert (expected.shape[2:], got.shape[2:]) == ((2, 2), (8, 8))
    np.testing.assert_allclose(got[..., ::4, ::4], expected, rtol=1e-9, atol=1e-12)
    assert atrous([1, 2, 1, 2, 1, 2, 1], 8) == [(1, 1), (2, 1), (1, 1), (2, 1), (1, 1), (1, 1), (1, 2)]


def test_bypass_skip():
    """The skip of every level carries the input of the encoder's last block, and nothing else changes."""
    words = {"levels": 2, "width": 0.1, "rng": 0, "dtype": float}
    plain, bypass = models.unet(**words).eval(), models.unet(**words, bypass_skip=True).eval()
    assert plain.cost((1, 3, 16, 16)).macs == bypass.cost((1, 3, 16, 16)).macs
    assert plain.cost((1, 3, 16, 16)).params == bypass.cost((1, 3, 16, 16)).params
    assert list(plain.body.children) == ["encoder", "last", "join", "decoder"]
    assert list(bypass.body.children) == ["encoder", "join", "decoder"]
    assert list(bypass.body.join.deeper.body.children) == ["last", "pool", "inner", "up"]
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16))
    before = bypass.body.encoder(x)
    channels = before.shape[1]
    assert bypass.body.join(before)[:, :channels].tobytes() == before.tobytes()
    # without the last block nothing but the skip gets through
    for array in bypass.body.join.deeper.body.last.parameters.values():
        array[...] = 0
    assert np.abs(bypass(x) - bypass(-x)).max() > 1e-3
    for array in plain.body.last.parameters.values():
        array[...] = 0
    np.testing.assert_allclose(plain(x), plain(-x), rtol=1e-12)


def test_aspp_looks_far():
    layer = models.ASPP(2, 16, (3,), image_pooling=False, rng=0).eval()
    assert layer.receptive_field() == ((7, 1, -3),) * 2
    y, pullback = layer.vjp(np.random.default_rng(0).standard_normal((1, 2, 15, 15)))
    dy = np.zeros_like(y)
    dy[..., 7, 7] = 1
    rows = np.flatnonzero(np.abs(pullback(dy)[0]).sum(axis=(0, 1, 3)))
    assert rows.tolist() == [4, 7, 10]
    assert models.ASPP(2, 2, (3,), rng=0).receptive_field()[0][0] == float("inf")


def test_super_resolution_is_a_correction():
    net = models.super_resolution(2, width=0.2, depth=0.2, rng=0)
    for array in net.body.image.parameters.values():
        array[...] = 0
    x = np.random.default_rng(0).standard_normal((1, 3, 6, 5)).astype(np.float32)
    assert net(x).tobytes() == nn.Upsample(2)(x).tobytes()
    assert net.receptive_field()[0][1] == 0.5


def test_upsampler_covers_evenly():
    layer = models.TransposedUpsampler(1, 1, activation=None, norm=False)
    for array in layer.parameters.values():
        array[...] = array.ndim > 1
    y = layer(np.ones((1, 1, 6, 6), np.float32))
    assert (y[..., 2:-2, 2:-2] == 4).all()
    uneven = models.TransposedUpsampler(1, 1, kernel_size=3, activation=None, norm=False)
    for array in uneven.parameters.values():
        array[...] = array.ndim > 1
    assert len(np.unique(uneven(np.ones((1, 1, 6, 6), np.float32))[..., 2:-2, 2:-2])) > 1


def test_generator_is_bounded():
    net = models.generator(4, width=0.1, resolution=8, rng=0).eval()
    y = net(100 * np.ones((2, 4), np.float32))
    assert y.shape == (2, 3, 8, 8) and np.abs(y).max() <= 1
    for bad in 4, 24, 0:
        with pytest.raises(ValueError, match="resolution"):
            models.generator(4, resolution=bad)


# ---- scaling -------------------------------------------------------------------------------------
def test_rounding():
    assert [rounded(32, each) for each in (0.1, 0.25, 1, 1.1, 1.2, 1.4)] == [8, 8, 32, 32, 40, 48]
    assert all(rounded(c, w / 10) >= 0.9 * c * w / 10 for c in range(1, 200, 7) for w in range(1, 21))
    assert stretched("abc", 1.5) == list("abccc")
    assert stretched("abc", 0.1) == ["a"]
    assert [pixels_of(each, 224) for each in (None, 1.0, 1.15, 160)] == [224, 224, 258, 160]


BUILDERS = [
    models.googlenet,
    models.mobilenet_v1,
    models.mobilenet_v2,
    models.mobilenet_v3,
    models.efficientnet,
]
BUILDERS += [models.deeplab_v3plus, models.unet, models.super_resolution]


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_compound_scaling_of_any_builder(build):
    depth, width, resolution = models.compound_scaling(1)
    small, large = build(), build(depth=depth, width=width, resolution=resolution)
    size = small.input_shape[-1]
    assert large.input_shape[-1] == round(1.15 * size)
    assert len(large.parameters) > len(small.parameters) or build is models.unet and depth < 1.5
    growth = large.cost(large.input_shape).macs / small.cost(small.input_shape).macs
    assert 1.5 < growth < 3


def test_depth_keeps_the_stride():
    """More blocks, not more strides: the maps stay as large."""
    for build in models.mobilenet_v1, models.mobilenet_v2, models.mobilenet_v3, models.efficientnet:
        for net in build(width=0.1, depth=2.2), build(width=0.1, depth=0.2):
            assert net[:2].output_shape((1, 3, 64, 64))[2:] == (2, 2)
    deep = models.mobilenet_v3("small", depth=2, width=0.1)
    assert deep[:2].output_shape((1, 3, 64, 64))[2:] == (2, 2)
    assert [len(stage) for stage in deep.stages] == [2, 4, 6, 4, 6]


def toy(depth=1.0, width=1.0, resolution=1.0):
    layers = [nn.DepthwiseConv1d(1, 3, padding="same") for _ in range(round(2 * depth))]
    net = nn.Sequential(*layers, nn.PointwiseConv1d(1, round(4 * width)))
    net.input_shape = (1, 1, round(8 * resolution))
    return net


def test_search_scaling():
    grid = {"alpha": (1, 2), "beta": (1, 2), "gamma": (1, 2)}
    seen = []

    def evaluate(net):
        seen.append(net)
        return -abs(net.input_shape[-1] - 16) - len(net)

    found = models.search_scaling(toy, evaluate, 200, grid)
    assert found == (1, 1, 2) and found._fields == ("alpha", "beta", "gamma")
    assert (found.macs, found.score) == (16 * (2 * 3 + 4), -3)
    assert len(found.trials) == 8
    assert len(seen) == sum(score is not None for *_, score in found.trials)
    assert all((macs <= 200) == (score is not None) for _, macs, score in found.trials)
    assert models.search_scaling(toy, evaluate, 200, [(1, 1, 1), (2, 1, 1)]) == (1, 1, 1)
    alpha, beta, gamma = pickle.loads(pickle.dumps(found))
    assert (alpha, beta, gamma) == found


def test_search_scaling_refuses():
    with pytest.raises(ValueError, match=r"budget: no candidate needs at most 10 MACs; the least is 80"):
        models.search_scaling(toy, len, 10, [(1, 1, 1), (2, 1, 1)])
    with pytest.raises(ValueError, match="grid: expected the keys alpha, beta, gamma"):
        models.search_scaling(toy, len, 10, {"alpha": [1]})
    with pytest.raises(ValueError, match="build: .*input_shape"):
        models.search_scaling(lambda **_: nn.Identity(), len, 10, [(1, 1, 1)])


# ---- arguments -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: models.mobilenet_v3("huge"), "variant: expected one of large, small, got 'huge'"),
        (lambda: models.efficientnet("b8"), "variant: expected one of b0, .*, lite0, got 'b8'"),
        (lambda: models.mobilenet_v1(width=0), "width: must be a finite number greater than 0, got 0"),
        (lambda: models.mobilenet_v2(depth=float("nan")), "depth: must be a finite number"),
        (lambda: models.mobilenet_v2(output_stride=4), "output_stride: expected 8, 16 or 32, got 4"),
        (lambda: models.mobilenet_v1(resolution=224.0), "resolution: an int is a size in pixels, a float a"),
        (lambda: models.mobilenet_v1(num_classes=0), "num_classes"),
        (lambda: models.mobilenet_v1(padding=1), "padding: expected one of half, same, got 1"),
        (lambda: models.deeplab_v3plus("resnet"), "backbone: expected one of mobilenet_v2, xception"),
        (lambda: models.deeplab_v3plus(output_stride=32), "output_stride: expected 8 or 16, got 32"),
        (lambda: models.super_resolution(3), "factor: expected 2 or 4, got 3"),
        (lambda: models.ASPP(4, 4, (0,)), r"rates\[0\]"),
        (lambda: models.MBConv(4, 4, squeeze=-1), "squeeze: must be a finite number greater than 0"),
        (lambda: models.InvertedResidual(4, 4, expand=0), "expand: must be"),
        (lambda: models.compound_scaling(1, beta=-1), "beta: must be"),
    ],
)
def test_bad_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_types():
    with pytest.raises(TypeError, match="width: expected a number, got str"):
        models.mobilenet_v1(width="wide")
    with pytest.raises(TypeError, match="colour: unexpected keyword argument"):
        models.mobilenet_v1(colour="red")


def test_slices_forget_the_shape():
    net = models.mobilenet_v1(width=0.25, resolution=32)
    assert net[:2].input_shape == net.input_shape == (1, 3, 32, 32)
    assert net[1:].input_shape is None
    assert "total" in net[1:]._repr_html_() and "32" in net._repr_html_()
