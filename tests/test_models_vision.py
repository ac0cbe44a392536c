"""Vision blocks and networks: shapes, finite differences in float64, state, folding, layouts, examples."""

import importlib
from functools import partial

import numpy as np
import pytest

from dsconv import models
from dsconv.testing import check_gradients

from .networks import check_call, check_documented, check_fold, check_learns, check_state, leaves, lively

FIRST, LAST = "channels_first", "channels_last"
FAMILIES = [
    "aspp",
    "dcgan",
    "deeplab",
    "efficientnet",
    "inception",
    "mobilenet",
    "mobilenetv2",
    "mobilenetv3",
]
FAMILIES += ["scaling", "unet", "upsample"]

# blocks for 6 channels on maps of 7 x 6: maker, output shape
BLOCKS = {
    "inception": (partial(models.InceptionModule, 6, 2, (2, 3), (2, 4), 1), (10, 7, 6)),
    "inception separable": (
        partial(models.InceptionModule, 6, 2, (2, 3), (2, 4), 1, separable=True),
        (10, 7, 6),
    ),
    "mobilenet": (partial(models.MobileNetBlock, 6, 4, stride=2), (4, 4, 3)),
    "mobilenet same": (partial(models.MobileNetBlock, 6, 4, stride=2, padding="same"), (4, 4, 3)),
    "mobilenet standard": (partial(models.MobileNetBlock, 6, 4, separable=False), (4, 7, 6)),
    "inverted": (partial(models.InvertedResidual, 6, 6, expand=2), (6, 7, 6)),
    "inverted narrow": (partial(models.InvertedResidual, 6, 4, expand=1, stride=2), (4, 4, 3)),
    "inverted gated": (
        partial(models.InvertedResidual, 6, 6, expand=1.5, squeeze=2, activation="hardswish", dilation=2),
        (6, 7, 6),
    ),
    "mbconv": (partial(models.MBConv, 6, 6, kernel_size=5, expand=2, drop=0.5), (6, 7, 6)),
    "mbconv strided": (partial(models.MBConv, 6, 4, stride=2, padding="same", bn_eps=1e-3), (4, 4, 3)),
    "mbconv without a gate": (
        partial(models.MBConv, 6, 6, expand=1, squeeze=0, activation="relu6"),
        (6, 7, 6),
    ),
    "aspp": (partial(models.ASPP, 6, 3, (1, 2, 4)), (3, 7, 6)),
    "aspp standard": (partial(models.ASPP, 6, 3, (2,), separable=False, image_pooling=False), (3, 7, 6)),
    "upsampler": (partial(models.TransposedUpsampler, 6, 4), (4, 14, 12)),
    "upsampler by 3": (partial(models.TransposedUpsampler, 6, 4, 3, kernel_size=5, norm=False), (4, 21, 18)),
}  # fmt: skip

SHORT = {"width": 0.01, "depth": 0.05, "num_classes": 3}
PIXELS = 3, 37, 34

# small networks: maker, shape of a sample, shape of its result
NETWORKS = {
    "googlenet": (partial(models.googlenet, **SHORT), PIXELS, (3,)),
    "googlenet separable": (partial(models.googlenet, separable=True, **SHORT), PIXELS, (3,)),
    "mobilenet_v1": (partial(models.mobilenet_v1, **SHORT), PIXELS, (3,)),
    "mobilenet_v1 standard": (partial(models.mobilenet_v1, **SHORT, separable=False), PIXELS, (3,)),
    "mobilenet_v2": (partial(models.mobilenet_v2, **SHORT), PIXELS, (3,)),
    "mobilenet_v2 dilated": (partial(models.mobilenet_v2, **SHORT, output_stride=8), PIXELS, (3,)),
    "mobilenet_v3 large": (partial(models.mobilenet_v3, **SHORT), PIXELS, (3,)),
    "mobilenet_v3 small": (partial(models.mobilenet_v3, "small", **SHORT), PIXELS, (3,)),
    "efficientnet": (partial(models.efficientnet, **SHORT), PIXELS, (3,)),
    "efficientnet lite": (partial(models.efficientnet, "lite0", **SHORT), PIXELS, (3,)),
    "deeplab": (
        partial(models.deeplab_v3plus, **SHORT, decoder_channels=4, rates=(1, 2)),
        PIXELS,
        (3, 37, 34),
    ),
    "deeplab xception": (
        partial(models.deeplab_v3plus, "xception", **SHORT, decoder_channels=4, output_stride=8),
        (3, 19, 17),
        (3, 19, 17),
    ),
    "unet": (partial(models.unet, width=0.05, levels=2), (3, 11, 9), (2, 11, 9)),
    "unet bypass": (partial(models.unet, width=0.05, levels=2, bypass_skip=True), (3, 11, 9), (2, 11, 9)),
    "unet standard": (partial(models.unet, width=0.05, levels=2, separable=False), (3, 11, 9), (2, 11, 9)),
    "super_resolution": (partial(models.super_resolution, width=0.1, depth=0.2), (3, 6, 5), (3, 12, 10)),
    "super_resolution x4": (partial(models.super_resolution, 4, width=0.1), (3, 6, 5), (3, 24, 20)),
    "generator": (partial(models.generator, 5, width=0.1, resolution=16), (5,), (3, 16, 16)),
    "generator deep": (partial(models.generator, 5, width=0.1, depth=1.5, resolution=16), (5,), (3, 16, 16)),
}  # fmt: skip

ALL = {name: (make, (6, 7, 6), result) for name, (make, result) in BLOCKS.items()} | NETWORKS


def made(name, batch=3, **words):
    make, sample, _ = ALL[name]
    x = np.random.default_rng(1).standard_normal((batch, *sample))
    return lively(make(rng=3, **words)), x


@pytest.mark.parametrize("name", ALL)
def test_shapes(name):
    layer, x = made(name)
    check_call(layer, x.astype(np.float32), ALL[name][2])


@pytest.mark.parametrize("name", BLOCKS)
def test_block_gradients(name):
    layer, x = made(name, dtype=float)
    check_gradients(layer, x, samples=6)
    check_gradients(layer.eval(), x, samples=3)


@pytest.mark.parametrize("name", BLOCKS)
def test_twenty_steps(name):
    layer, x = made(name)
    check_learns(BLOCKS[name][0], layer, x.astype(np.float32))


@pytest.mark.parametrize("name", NETWORKS)
def test_network_gradients(name):
    """Every parameter array is moved at some element, and so is the input."""
    layer, x = made(name, dtype=float)
    check_gradients(layer, x, samples=1)


@pytest.mark.parametrize("name", ALL)
def test_state(name):
    layer, x = made(name)
    check_state(ALL[name][0], layer.eval(), x.astype(np.float32))


@pytest.mark.parametrize("name", ALL)
def test_fold(name):
    layer, x = made(name, dtype=float)
    # a norm is left only where its convolution is not directly before it
    check_fold(layer.eval(), x, norms=1 if name.startswith("generator") else 0)


def test_fold_fuses_the_stages():
    folded = models.mobilenet_v1(width=0.25).fold()
    kinds = [type(each).__name__ for each in leaves(folded)]
    assert kinds == ["Conv2d", *["SeparableConv2d"] * 13, "GlobalAveragePool", "Linear"]
    kinds = [type(each).__name__ for each in leaves(models.MBConv(8, 8).fold())]
    assert kinds.count("DepthwiseConv2d") == 1  # a gate is between it and the projection


@pytest.mark.parametrize("name", ALL)
def test_layouts_agree(name):
    first, x = made(name, dtype=float)
    last = ALL[name][0](dtype=float, data_format=LAST)
    last.load_state_dict(first.state_dict())
    if name.startswith("generator"):
        reorder(first, last)
    expected, got = first.eval()(x), last.eval()(np.moveaxis(x, 1, -1).copy())
    np.testing.assert_allclose(got, np.moveaxis(expected, 1, -1), rtol=1e-9, atol=1e-9)


def reorder(first, last):
    """The rows of the linear layer, for maps that are channels last."""
    channels = first.norm.channels
    weight = first.project.weight.reshape(channels, 16, -1)
    last.project.weight[...] = np.moveaxis(weight, 0, 1).reshape(last.project.weight.shape)


@pytest.mark.parametrize("family", ["", *FAMILIES])
def test_examples(family):
    module = importlib.import_module(f"dsconv.models.{family}".rstrip("."))
    check_documented(module)
