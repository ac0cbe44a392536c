"""The small networks of `accuracy`, each made for one of its rows from the blocks of `dsconv.models`."""

import functools

import numpy as np

from dsconv import models, nn


def twin(build):
    """The same network with standard convolutions."""
    return lambda rng: nn.standard_twin(build(rng), rng=rng)


def classifier(*body, channels, classes, rng):
    return nn.Sequential(*body, nn.GlobalAveragePool(), nn.Linear(channels, classes, rng=rng))


def stem(channels, rng, stride=2):
    conv = nn.Conv2d(1, channels, 3, stride=stride, padding=1, bias=False, rng=rng)
    return nn.Sequential(conv, nn.BatchNorm(channels), nn.Activation("relu"))


# ---- images --------------------------------------------------------------------------------------
def mobilenet(rng):
    plan = (16, 32, 2), (32, 64, 1), (64, 64, 1)
    blocks = [models.MobileNetBlock(a, b, stride=s, rng=rng) for a, b, s in plan]
    return classifier(stem(16, rng), *blocks, channels=64, classes=10, rng=rng)


def mbconv(rng):
    blocks = [models.MBConv(a, b, stride=s, expand=3, rng=rng) for a, b, s in ((16, 24, 2), (24, 24, 1))]
    return classifier(stem(16, rng), *blocks, channels=24, classes=10, rng=rng)


def inception(rng, separable=True):
    words = {"separable": separable, "rng": rng}
    body = [models.InceptionModule(c, 16, (16, 24), (8, 16), 8, **words) for c in (16, 64)]
    return classifier(stem(16, rng), nn.MaxPool2d(2), *body, channels=64, classes=10, rng=rng)


def tokens(rng, *kinds):
    """Blocks on 8 x 8 tokens, one for each pixel."""
    make = {
        "convolution": functools.partial(models.TokenMixer, 32, kernel_size=5, expand=2),
        "attention": functools.partial(models.AttentionBlock, 32, 4, expand=2),
        "hybrid": functools.partial(models.HybridBlock, 32, 2, kernel_size=5, expand=2),
    }
    embed = nn.PointwiseConv2d(1, 32, rng=rng), nn.PositionEmbedding(32, 8, 8, rng=rng)
    return classifier(*embed, *(make[kind](rng=rng) for kind in kinds), channels=32, classes=10, rng=rng)


def segmenter(rng, **words):
    return models.unet(2, in_channels=1, levels=2, width=0.25, rng=rng, **words)


def deeplab(rng, **words):
    words |= {"output_stride": 8, "rates": (1, 2, 3), "decoder_channels": 32, "dropout": 0.0}
    return models.deeplab_v3plus(num_classes=2, in_channels=1, width=0.25, depth=0.5, rng=rng, **words)


def upscaler(rng):
    return nearly_bilinear(models.super_resolution(2, width=0.25, depth=0.5, rng=rng))


def nearly_bilinear(net):
    """The weights of the last layer made small, so that training begins with the interpolated image."""
    for name, array in net.body.image.parameters.items():
        array *= 0.01 if name in ("pointwise_weight", "weight") else 1
    return net


def generator(rng):
    return models.generator(16, width=0.25, resolution=32, out_channels=1, rng=rng)


# ---- signals -------------------------------------------------------------------------------------
def temporal(channels, classes, rng, multiplier=1, width=32):
    """Causal and separable along time, the input's channels apart in the first stage."""
    words = {"padding": "causal", "bias": False, "rng": rng}
    layers, count = [], channels
    for rate in 1, 2, 4:
        conv = nn.SeparableConv1d(count, width, 5, dilation=rate, depth_multiplier=multiplier, **words)
        layers += [conv, nn.BatchNorm(width), nn.Activation("relu")]
        count = width
    return classifier(*layers, channels=width, classes=classes, rng=rng)


def spotter(rng):
    """DS-CNN, which takes (1, time, bands)."""
    image = nn.Lambda(_as_image, _as_image_vjp, lambda shape: (shape[0], 1, shape[2], shape[1]))
    return nn.Sequential(image, models.keyword_spotter("s", width=0.5, num_classes=10, rng=rng))


def _as_image(x):
    return x.swapaxes(1, 2)[:, np.newaxis]


def _as_image_vjp(x):
    return _as_image(x), lambda dy: dy[:, 0].swapaxes(1, 2)


def fusion(rng):
    return models.fusion_classifier(4, rng=rng)


# ---- several cameras, three dimensions, graphs ---------------------------------------------------
def camera(rng, separable=True):
    sensors = {"colour": (3, 3, 4), "depth": (2, 7, 4)}
    words = {"levels": 2, "width": 0.25, "separable": separable}
    return models.fusion_segmenter(2, sensors=sensors, **words, rng=rng)


def spatiotemporal(plan, rng):
    """`SpatiotemporalBlock` for each (in, out, stride, multiplier)."""
    return [
        models.SpatiotemporalBlock(a, b, stride=stride, depth_multiplier=multiplier, rng=rng)
        for a, b, stride, multiplier in plan
    ]


def video(classes, rng):
    body = spatiotemporal([(1, 16, 1, 8), (16, 32, 2, 1), (32, 32, 2, 1)], rng)
    return classifier(*body, channels=32, classes=classes, rng=rng)


def volume(rng):
    body = spatiotemporal([(1, 16, 1, 8), (16, 16, 1, 1), (16, 16, 1, 1)], rng)
    return nn.Sequential(*body, nn.PointwiseConv3d(16, 3, rng=rng))


def graph(rng, **words):
    return models.gcn(34, 2, hidden=8, dropout=0.0, rng=rng, **words)
