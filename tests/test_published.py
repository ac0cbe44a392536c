"""The published MACs and parameters of the networks, and the table of the documentation."""

import time
import tracemalloc
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from dsconv import cost, models

DOCUMENT = Path(__file__).parents[1] / "docs" / "models.md"

# the exact figures: MACs in millions to the digits given, parameters
EXACT = {
    "MobileNetV1": ("568.74", 4_231_976),
    "MobileNetV1, standard": ("4867.3", 29_294_088),
    "MobileNetV2": ("300.77", 3_504_872),
    "MobileNetV3 large": ("216.59", 5_483_032),
    "MobileNetV3 small": ("56.51", 2_542_856),
    "EfficientNet-Lite0": ("385.2", 4_652_008),
    "DS-CNN S, folded": ("2.66", 22_604),
    "DS-CNN M, folded": ("9.82", 135_032),
    "DS-CNN L, folded": ("28.33", 410_700),
}

# EfficientNet: the paper's MACs in billions, parameters, pixels
EFFICIENTNETS = {
    "b0": (0.39, 5_288_548, 224),
    "b1": (0.70, 7_794_184, 240),
    "b2": (1.0, 9_109_994, 260),
    "b3": (1.8, 12_233_232, 300),
    "b4": (4.2, 19_341_616, 380),
    "b5": (9.9, 30_389_784, 456),
    "b6": (19, 43_040_704, 528),
    "b7": (37, 66_347_960, 600),
}


def folded_spotter(variant):
    return models.keyword_spotter(variant).fold()


# the rows of the documented table: builder, MACs and parameters as their papers print them
NETWORKS = {
    "MobileNetV1": (models.mobilenet_v1, "569 M", "4.2 M (4,231,976)"),
    "MobileNetV1, standard": (partial(models.mobilenet_v1, separable=False), "4866 M", "29.3 M"),
    "MobileNetV2": (models.mobilenet_v2, "300 M", "3.4 M (3,504,872)"),
    "MobileNetV3 large": (models.mobilenet_v3, "219 M", "5.4 M (5,483,032)"),
    "MobileNetV3 small": (partial(models.mobilenet_v3, "small"), "56 M", "2.5 M (2,542,856)"),
    **{
        f"EfficientNet {name.upper()}": (
            partial(models.efficientnet, name),
            f"{macs} G" if macs >= 1 else f"{macs:.2f} G",
            f"{params:,}",
        )
        for name, (macs, params, _) in EFFICIENTNETS.items()
    },
    "EfficientNet-Lite0": (partial(models.efficientnet, "lite0"), "407 M", "4,652,008"),
    "DS-CNN S, folded": (partial(folded_spotter, "s"), "2.66 M (5.4 M operations)", "22,604"),
    "DS-CNN M, folded": (partial(folded_spotter, "m"), "9.82 M (19.8 M operations)", "135,032"),
    "DS-CNN L, folded": (partial(folded_spotter, "l"), "28.33 M (56.9 M operations)", "410,700"),
}


@cache
def counted(name):
    """A network's input shape and cost, built once."""
    net = NETWORKS[name][0]()
    return net.input_shape, net.cost(net.input_shape)


@pytest.mark.parametrize("name", EXACT)
def test_exact(name):
    macs, params = EXACT[name]
    _, total = counted(name)
    digits = len(macs.split(".")[1])
    assert f"{total.macs / 1e6:.{digits}f}" == macs
    assert total.params == params


@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_efficientnet(name):
    """Parameters exactly; the paper rounds MACs, and low."""
    macs, params, pixels = EFFICIENTNETS[name]
    shape, total = counted(f"EfficientNet {name.upper()}")
    assert shape == (1, 3, pixels, pixels)
    assert total.params == params
    assert total.macs / 1e9 == pytest.approx(macs, rel=0.05)


@pytest.mark.parametrize("variant, operations", [("s", 5.4), ("m", 19.8), ("l", 56.9)])
def test_keyword_spotter(variant, operations):
    """Folding leaves a bias of each norm's scale and shift; two operations a MAC come near the paper's."""
    net = models.keyword_spotter(variant)
    shape, total = counted(f"DS-CNN {variant.upper()}, folded")
    assert net.input_shape == shape == (1, 1, 49, 10)
    assert net.cost(shape).macs == total.macs
    scales = [name for name in net.parameters if name.endswith("norm.weight")]
    assert net.cost(shape).params - total.params == sum(net.parameters[name].size for name in scales)
    assert total.macs * 2 / 1e6 == pytest.approx(operations, rel=0.02)


@pytest.mark.parametrize("data_format, padding", [("channels_last", "half"), ("channels_first", "same")])
def test_layout_and_padding_cost_nothing(data_format, padding):
    net = models.mobilenet_v2(data_format=data_format, padding=padding)
    assert f"{net.cost(net.input_shape).macs / 1e6:.2f}" == "300.77"


def test_inception_3a():
    """163,328 weights without biases and norms, 128 M MACs, in 28 x 28 positions of 192 channels."""
    module = models.InceptionModule(192)
    assert weights_of(module) == 163_328
    total = module.cost((1, 192, 28, 28))
    assert total.macs == 163_328 * 28 * 28
    assert round(total.macs / 1e6) == 128
    assert module.output_shape((1, 192, 28, 28)) == (1, 256, 28, 28)
    assert models.googlenet()["inception3"][0].cost((1, 192, 28, 28)) == total


def weights_of(layer):
    """Without biases and norms, which are the arrays of one axis."""
    return sum(array.size for array in layer.parameters.values() if array.ndim > 1)


def test_separable_over_standard():
    """Of every block of MobileNetV1 the ratio of MACs is 1/O + 1/9."""
    separable, standard = models.mobilenet_v1(), models.mobilenet_v1(separable=False)
    shape = separable.stem.output_shape(separable.input_shape)
    for ours, twin in zip(separable.stages, standard.stages, strict=True):
        for block, other in zip(ours, twin, strict=True):
            out = block.output_shape(shape)
            ratio = block.cost(shape).macs / other.cost(shape).macs
            assert ratio == pytest.approx(1 / out[1] + 1 / 9, rel=1e-12)
            assert ratio == pytest.approx(cost.reduction(out[1], (3, 3)), rel=1e-12)
            shape = out


def test_compound_scaling():
    assert models.compound_scaling(0) == (1.0, 1.0, 1.0)
    assert models.compound_scaling(1) == (1.2, 1.1, 1.15)
    for phi in 0.5, 2, 3:
        assert models.compound_scaling(phi) == pytest.approx((1.2**phi, 1.1**phi, 1.15**phi), rel=1e-14)
    assert models.compound_scaling(2, 2, 3, 4) == (4, 9, 16)
    depth, width, resolution = models.compound_scaling(1)
    assert depth * width**2 * resolution**2 == pytest.approx(2, rel=0.05)
    # what the rounding of repeats and channels makes of it in a real network
    one = counted("EfficientNet B0")[1].macs
    net = models.efficientnet(depth=depth, width=width, resolution=resolution)
    assert 1.8 < net.cost(net.input_shape).macs / one < 2.8


def test_variants_are_scalings_of_b0():
    """Width, depth and resolution of B2 asked from B0 give B2."""
    b2 = models.efficientnet("b2", rng=0)
    net = models.efficientnet("b0", width=1.1, depth=1.2, resolution=260, rng=0)
    assert net.input_shape == b2.input_shape
    assert all(array.shape == b2.parameters[name].shape for name, array in net.parameters.items())


def test_largest_network_is_made_quickly():
    """Twice its parameters of memory at most, and seconds."""
    tracemalloc.start()
    begin = time.perf_counter()
    net = models.efficientnet("b7")
    total = net.cost(net.input_shape)
    seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 20
    assert peak < 2 * 4 * total.params


def test_parameters_are_trained_numbers():
    """Norms count, their running statistics do not."""
    net = models.mobilenet_v2(width=0.1)
    sizes = {name: array.size for name, array in net.parameters.items()}
    assert not any("running" in name for name in sizes)
    assert sum(sizes.values()) + sum(each.size for each in net.buffers.values()) == sum(
        array.size for array in net.state_dict().values()
    )
    assert np.sum([*sizes.values()]) == net.cost((1, 3, 32, 32)).params


def row(name):
    """A line of the documented table, its figures counted here."""
    _, macs, params = NETWORKS[name]
    (*_, height, width), total = counted(name)
    own = f"{total.macs / 1e6:.2f} M" if total.macs < 1e9 else f"{total.macs / 1e9:.3f} G"
    return f"| {name} | {height} x {width} | {own} | {macs} | {total.params:,} | {params} |"


def documented():
    return DOCUMENT.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", NETWORKS)
def test_documented(name):
    assert row(name) in documented()


def test_inception_is_documented():
    module = models.InceptionModule(192)
    macs, weights = module.cost((1, 192, 28, 28)).macs / 1e6, weights_of(module)
    own = f"| {macs:.2f} M | 128 M | {weights:,} weights | 163,328 (159 K) |"
    assert f"| Inception 3a, 192 channels | 28 x 28 {own}" in documented()
