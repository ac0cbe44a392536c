"""Keras's layers beside ours with the same weights, where Keras and a backend for it are installed."""

import importlib.util
import os

import numpy as np
import pytest

import dsconv as ds
from dsconv import models, nn

if importlib.util.find_spec("tensorflow") is None and importlib.util.find_spec("torch") is not None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

LAST = {"data_format": "channels_last"}


def lively(net, rng):
    def values(shape):
        taps = shape[:2] if shape[-1:] == (1,) else shape[:-1]
        return rng.uniform(0.5, 1.5, shape) if len(shape) < 2 else rng.normal(0, np.prod(taps) ** -0.5, shape)

    net.set_weights([values(array.shape) for array in net.get_weights()])
    return net


def check(theirs, ours, x, rng):
    ds.io.from_keras(lively(theirs, rng).get_weights(), ours.eval())
    expected = keras.ops.convert_to_numpy(theirs(x))
    difference = np.abs(ours(x) - expected).max() / np.abs(expected).max()
    print(f"largest difference over largest value: {difference:.1e}")
    assert difference < 1e-4


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layers(rank, rng):
    """Of each rank those that Keras has."""
    layers, sizes = keras.layers, (9, 8, 7)[:rank]
    theirs, ours, channels = [keras.Input((*sizes, 3))], [], 3

    def of_rank(kind):
        return getattr(nn, f"{kind}{rank}d")

    if rank < 3:
        words = {"depth_multiplier": 2, "padding": "same"}
        theirs.append(getattr(layers, f"DepthwiseConv{rank}D")(3, **words))
        ours.append(of_rank("DepthwiseConv")(3, 3, **words, **LAST))
        theirs.append(getattr(layers, f"SeparableConv{rank}D")(5, 3, strides=2, **words))
        ours.append(of_rank("SeparableConv")(6, 5, 3, stride=2, **words, **LAST))
        channels = 5
    theirs += [
        getattr(layers, f"Conv{rank}D")(4, 3, strides=2, padding="same"),
        layers.BatchNormalization(),
        getattr(layers, f"Conv{rank}DTranspose")(6, 3, strides=2),
        getattr(layers, f"Conv{rank}D")(2, 1),
        getattr(layers, f"GlobalAveragePooling{rank}D")(),
        layers.Dense(3),
    ]
    ours += [
        of_rank("Conv")(channels, 4, 3, stride=2, padding="same", **LAST),
        nn.BatchNorm(4, eps=1e-3, **LAST),
        of_rank("ConvTranspose")(4, 6, 3, stride=2, **LAST),
        of_rank("PointwiseConv")(6, 2, **LAST),
        nn.GlobalAveragePool(**LAST),
        nn.Linear(2, 3),
    ]
    x = rng.standard_normal((2, *sizes, 3)).astype(np.float32)
    check(keras.Sequential(theirs), nn.Sequential(*ours), x, rng)


SAME = {"bn_eps": 1e-3, "padding": "same", **LAST}
NETWORKS = {
    "MobileNet": (lambda: models.mobilenet_v1(activation="relu6", **SAME), {}),
    "MobileNetV2": (lambda: models.mobilenet_v2(**SAME), {}),
    "MobileNetV3Small": (lambda: models.mobilenet_v3("small", **SAME), {"include_preprocessing": False}),
    "MobileNetV3Large": (lambda: models.mobilenet_v3("large", **SAME), {"include_preprocessing": False}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, rng):
    build, words = NETWORKS[name]
    words = {"weights": None, "input_shape": (96, 96, 3), "classifier_activation": None, **words}
    x = rng.standard_normal((1, 96, 96, 3)).astype(np.float32)
    check(getattr(keras.applications, name)(**words), build(), x, rng)
