"""State dicts of PyTorch's libraries into layers, by the names and shapes that they have there."""

import json
import random

import numpy as np
import pytest

import dsconv as ds
from dsconv import models, nn
from dsconv.io.entries import entries
from dsconv.io.torch_names import NAMINGS, named

from . import torch_names

KEPT = json.loads(torch_names.FILE.read_text(encoding="utf-8"))
BUILDERS = {
    "mobilenetv1": models.mobilenet_v1,
    "mobilenet_v2": models.mobilenet_v2,
    "mobilenetv2": models.mobilenet_v2,
    "mobilenet_v3": models.mobilenet_v3,
    "mobilenetv3": models.mobilenet_v3,
    "efficientnet": models.efficientnet,
    "lite0": models.efficientnet,
}


def network_of(name, **words):
    """Ours for a name such as "timm tf_efficientnet_b3"."""
    family, *rest = name.split()[-1].removeprefix("tf_").replace("mobilenet_v", "mobilenetv").split("_")
    build = BUILDERS[family]
    if build is models.mobilenet_v2 and rest:
        return build(int(rest[0]) / 100, **words)
    return build(
        *(each for each in rest if not each.isdigit()),
        **({"variant": family} if family == "lite0" else {}),
        **words,
    )


def state_of(shapes):
    """Arrays, no two of them alike."""
    rng = np.random.default_rng(5)
    return {
        name: np.array(3) if name.endswith("tracked") else rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("name", KEPT["networks"])
def test_every_array_arrives(name):
    """Whatever the order of the names; PyTorch's own order is that of ours."""
    state = state_of(torch_names.expanded(KEPT["networks"][name]))
    names = list(state)
    random.Random(0).shuffle(names)
    net = network_of(name)
    assert ds.io.from_torch({key: state[key] for key in names}, net) is net
    theirs = [array for key, array in state.items() if not key.endswith("num_batches_tracked")]
    ours = [entry.array for entry in entries(net)]
    assert len(theirs) == len(ours) == len(net.state_dict())
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(one.reshape(other.shape), other)


@pytest.mark.parametrize("name", KEPT["digests"])
def test_names_of_larger_networks(name):
    """The names that we expect of them, with PyTorch's shapes, are all that they have."""
    net = network_of(name, rng=0)
    own = {entry.name: entry for entry in entries(net)}
    found = [named(list(own), table) for table in NAMINGS.values()]
    found = [{key: shape_there(own[ours], key) for key, ours in names.items()} for names in found]
    assert KEPT["digests"][name] in map(torch_names.digest, found)


def shape_there(entry, key):
    """PyTorch's shape: of all linear layers, only timm's MobileNetV3 has one as a convolution."""
    shape = entry.array.shape
    convolution = isinstance(entry.owner, nn.PointwiseConv2d) or key == "conv_head.weight"
    return (*shape, 1, 1) if convolution and len(shape) == 2 else shape


def test_recognised_by_most_names(rng):
    """What a network of ours saves is recognised too, and so are wrapped names."""
    net = models.mobilenet_v3("small", num_classes=3, rng=0)
    for prefix in "", "module.":
        state = {prefix + name: array for name, array in net.state_dict().items()}
        again = ds.io.from_torch(state, models.mobilenet_v3("small", num_classes=3))
        assert all(
            array.tobytes() == net.state_dict()[key].tobytes() for key, array in again.state_dict().items()
        )


# ---- a mapping ------------------------------------------------------------------------------------
def small():
    return nn.Sequential(
        stem=nn.Conv2d(3, 4, 3, bias=False),
        norm=nn.BatchNorm(4),
        depthwise=nn.DepthwiseConv2d(4, 3, depth_multiplier=2),
        squeeze=nn.SqueezeExcite(8, 2),
        pointwise=nn.PointwiseConv2d(8, 5),
        up=nn.DepthwiseConvTranspose2d(5, 2, depth_multiplier=2, stride=2),
        pool=nn.GlobalAveragePool(),
        linear=nn.Linear(10, 2),
    )


SMALL = {
    "0.weight": (4, 3, 3, 3), "1.weight": (4,), "1.bias": (4,), "1.running_mean": (4,), "1.running_var": (4,),
    "1.num_batches_tracked": (), "2.weight": (8, 1, 3, 3), "2.bias": (8,), "3.fc1.weight": (2, 8, 1, 1),
    "3.fc1.bias": (2,), "3.fc2.weight": (8, 2, 1, 1), "3.fc2.bias": (8,), "4.weight": (5, 8, 1, 1),
    "4.bias": (5,), "5.weight": (5, 2, 2, 2), "5.bias": (10,), "6.weight": (2, 10), "6.bias": (2,),
}  # fmt: skip
PLACES = {
    "0": "stem",
    "1": "norm",
    "2": "depthwise",
    "3.fc1": "squeeze.gate.reduce",
    "3.fc2": "squeeze.gate.expand",
}
PLACES |= {"4": "pointwise", "5": "up", "6": "linear"}


def ours(key):
    module, _, attribute = key.rpartition(".")
    return f"{PLACES[module]}.{attribute}"


def test_any_naming_by_a_mapping():
    state = state_of(SMALL)
    for mapping in ours, {key: ours(key) for key in SMALL if not key.endswith("tracked")}:
        net = ds.io.from_torch(state, small(), mapping)
        for key, array in state.items():
            if not key.endswith("tracked"):
                found = (net.parameters | net.buffers)[ours(key)]
                np.testing.assert_array_equal(found, array.reshape(found.shape))
    more = state | {"extra": np.ones(3)}
    ds.io.from_torch(
        more, small(), {key: ours(key) for key in SMALL if "tracked" not in key} | {"extra": None}
    )
    ds.io.from_torch(small().state_dict(), small(), {})


@pytest.mark.parametrize("rank", [1, 3])
def test_other_ranks(rank, rng):
    layer = getattr(nn, f"SeparableConv{rank}d")(3, 4, 5, depth_multiplier=2)
    state = {
        "depthwise_weight": rng.standard_normal((6, 1, *(5,) * rank)),
        "pointwise_weight": rng.standard_normal((4, 6, *(1,) * rank)),
        "pointwise_bias": rng.standard_normal(4),
    }
    ds.io.from_torch(state, layer)
    expected = state["depthwise_weight"].astype(np.float32).reshape(3, 2, *(5,) * rank)
    np.testing.assert_array_equal(layer.depthwise_weight, expected)
    np.testing.assert_array_equal(
        layer.pointwise_weight, state["pointwise_weight"].reshape(4, 6).astype(np.float32)
    )


def test_standard_transposed_convolution(rng):
    """PyTorch has (C, O, *kernel) there, and where that could be either, a mapping must tell."""
    theirs = rng.standard_normal((3, 4, 2, 5)).astype(np.float32)
    for words in {"mapping": {}}, {"mapping": {"weight": "weight"}}, {}:
        layer = ds.io.from_torch({"weight": theirs}, nn.ConvTranspose2d(3, 4, (2, 5), bias=False), **words)
        np.testing.assert_array_equal(layer.weight, theirs.swapaxes(0, 1))
    ours = {"weight": theirs.swapaxes(0, 1)}
    layer = ds.io.from_torch(ours, nn.ConvTranspose2d(3, 4, (2, 5), bias=False))
    np.testing.assert_array_equal(layer.weight, ours["weight"])
    square = {"weight": rng.standard_normal((3, 3, 2, 2)).astype(np.float32)}
    layer = ds.io.from_torch(square, nn.ConvTranspose2d(3, 3, 2, bias=False), {})
    np.testing.assert_array_equal(layer.weight, square["weight"].swapaxes(0, 1))
    with pytest.raises(ValueError, match="in ours: mapping={} says that it is PyTorch's, load_state_dict"):
        ds.io.from_torch(square, nn.ConvTranspose2d(3, 3, 2, bias=False))
    with pytest.raises(ValueError, match="misshapen"):
        ds.io.from_torch(ours, nn.ConvTranspose2d(3, 4, (2, 5), bias=False), {})


class Tensor:
    """What is asked of a tensor of PyTorch's."""

    def __init__(self, array, narrow=False):
        self.array, self.narrow = array, narrow

    def detach(self):
        return Tensor(self.array, self.narrow)

    cpu = detach

    def float(self):
        return Tensor(self.array.astype(np.float32))

    def numpy(self):
        if self.narrow:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.array


def test_tensors():
    layer = nn.Linear(2, 2)
    weight = np.arange(4.0).reshape(2, 2)
    ds.io.from_torch({"weight": Tensor(weight), "bias": Tensor(np.ones(2), narrow=True)}, layer)
    np.testing.assert_array_equal(layer.weight, weight)
    np.testing.assert_array_equal(layer.bias, 1)


# ---- errors ---------------------------------------------------------------------------------------
def test_all_problems_at_once():
    """In their names, and nothing is written."""
    state = state_of(torch_names.expanded(KEPT["networks"]["timm mobilenetv3_small_100"]))
    del state["blocks.1.0.conv_pw.weight"], state["conv_head.bias"]
    state["blocks.9.0.conv_pw.weight"] = np.ones((2, 2, 1, 1))
    state["conv_stem.weight"] = np.ones((16, 3, 5, 5), np.float32)
    state["bn1.bias"] = np.ones(16, complex)
    net = models.mobilenet_v3("small", rng=0)
    before = net.state_dict()
    with pytest.raises(ValueError, match="state_dict: does not fit this layer") as caught:
        ds.io.from_torch(state, net)
    assert set(str(caught.value).splitlines()[1:]) == {
        "  misshapen: conv_stem.weight is (16, 3, 5, 5), needed (16, 3, 3, 3), here stem.conv.weight",
        "  of a wrong type: bn1.bias is complex128, needed float32, here stem.norm.bias",
        "  unexpected: blocks.9.0.conv_pw.weight (2, 2, 1, 1)",
        "  missing: blocks.1.0.conv_pw.weight (72, 16), here stages.1.0.body.expand.conv.weight",
        "  missing: conv_head.bias (1024,), here features.linear.bias",
    }
    assert all(array.tobytes() == before[key].tobytes() for key, array in net.state_dict().items())


def test_problems_of_a_mapping():
    state = {"a": np.ones((2, 3)), "b": np.ones((2, 3)), "c": np.ones(2), "d": np.ones(2)}
    with pytest.raises(ValueError) as caught:
        ds.io.from_torch(state, nn.Linear(3, 2), {"a": "weight", "b": "weight", "c": "biases"})
    assert str(caught.value).splitlines()[1:] == [
        "  twice: b and a are both weight",
        "  unexpected: c (2,), here biases",
        "  unexpected: d (2,)",
        "  missing: bias (2,)",
    ]


@pytest.mark.parametrize(
    "shape", [(8, 3, 3), (8, 1, 3, 3, 1), (4, 1, 3, 3), (2, 4, 3, 3), (1, 8, 3, 3), (8, 2, 3, 3), ()]
)
def test_shapes_that_are_not_pytorchs(shape):
    with pytest.raises(ValueError, match="misshapen: weight is"):
        ds.io.from_torch({"weight": np.ones(shape)}, nn.DepthwiseConv2d(4, 3, depth_multiplier=2, bias=False))
    # where nothing tells (C*M, 1) from (C, M), it is ours
    with pytest.raises(ValueError, match="misshapen: weight is"):
        ds.io.from_torch(
            {"weight": np.ones((10, 1, 2, 2))},
            nn.DepthwiseConvTranspose2d(5, 2, depth_multiplier=2, bias=False),
        )


def test_unknown_names():
    state = {f"conv{each}.w": np.ones(3) for each in range(5)}
    with pytest.raises(
        ValueError, match="such as conv0.w, conv1.w, conv2.w, are of no naming .*timm's.* mapping"
    ):
        ds.io.from_torch(state, models.mobilenet_v2(0.25, num_classes=2))
    with pytest.raises(ValueError, match="of no naming known"):
        ds.io.from_torch({}, nn.Linear(2, 2))


def test_wrong_types():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="state_dict: expected a dict of arrays, got list"):
        ds.io.from_torch([np.ones(2)], layer)
    with pytest.raises(TypeError, match="state_dict: the names must be strings, got 1"):
        ds.io.from_torch({1: np.ones(2)}, layer)
    with pytest.raises(TypeError, match="mapping: expected a dict or a callable"):
        ds.io.from_torch(layer.state_dict(), layer, "weight")
    with pytest.raises(ValueError, match="of a wrong type: bias is object"):
        ds.io.from_torch(layer.state_dict() | {"bias": None}, layer)
