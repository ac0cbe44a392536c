"""Networks of torchvision and timm beside ours with the same weights, where those packages are installed."""

import importlib

import numpy as np
import pytest

import dsconv as ds
from dsconv import models

torch = pytest.importorskip("torch")


def library(name):
    """A package that expects operators of torchvision, none of which is called here, even if they are missing."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for operator in "nms", "qnms":
        if not hasattr(torch.ops.torchvision, operator):
            declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module(name), declared


def efficientnets(prefix, **words):
    return {f"{prefix}{each}": (models.efficientnet, (each,), words) for each in (f"b{n}" for n in range(8))}


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


def lively(net):
    """Random statistics too, and scales small enough that a deep network does not blow rounding up."""
    torch.manual_seed(7)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.3, 0.7)
            torch.nn.init.normal_(module.bias, 0, 0.3)
            torch.nn.init.normal_(module.running_mean, 0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def check(net, build, arguments, words):
    """Logits of an image whose size is odd at some strides, in double and in single precision."""
    net = lively(net)
    x = np.random.default_rng(3).standard_normal((2, 3, 75, 98))
    worst = []
    for dtype, bound in (np.float64, 1e-12), (np.float32, 2e-5):
        ours = build(*arguments, **words, dtype=dtype).eval()
        assert ds.io.from_torch(net.state_dict(), ours) is ours
        with torch.no_grad():
            theirs = net.to(getattr(torch, dtype.__name__))(torch.from_numpy(x.astype(dtype))).numpy()
        assert theirs.std() > 0
        worst.append(float(np.abs(ours(x.astype(dtype)) - theirs).max() / np.abs(theirs).max()))
        assert worst[-1] < bound, worst
    print(f"largest difference over largest logit: float64 {worst[0]:.1e}, float32 {worst[1]:.1e}")


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    package, _ = library("torchvision")
    check(getattr(package.models, name)().double(), *TORCHVISION[name])


@pytest.mark.parametrize("name", TIMM)
def test_timm(name):
    library("torchvision")
    package, _ = library("timm")
    check(package.create_model(name).double(), *TIMM[name])
