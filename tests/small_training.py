"""A small network, its data, and a run of it."""

import functools

import numpy as np

from dsconv import nn, training

fit = functools.partial(training.fit, progress=False)


def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        body=nn.SeparableConv2d(2, 6, 3, padding="same", bias=False, rng=rng),
        norm=nn.BatchNorm(6),
        act=nn.Activation("relu"),
        drop=nn.Dropout(0.3),
        pool=nn.GlobalAveragePool(),
        head=nn.Linear(6, 3, rng=rng),
    )


def samples(count=24, seed=5):
    """Images whose class is the quarter that is bright."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.standard_normal((count, 2, 8, 8)).astype(np.float32) * 0.1
    for image, label in zip(x, y, strict=True):
        image[label % 2, label : label + 3, :: 1 + label] += 1
    return x, y


def trained(epochs=4, net=None, **words):
    net = network() if net is None else net
    x, y = samples()
    data = training.Batches(x, y, 8)
    optimizer = training.Adam(net, 0.02, 0.01)
    words = {"schedule": training.cosine_schedule(), "metrics": [training.accuracy]} | words
    words = {"validation": training.Batches(*samples(10, 6), 4)} | words
    return net, fit(net, data, training.cross_entropy, optimizer, epochs=epochs, **words)


def bits(layer):
    return {name: array.tobytes() for name, array in layer.state_dict().items()}
