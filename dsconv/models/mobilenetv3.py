"""MobileNetV3: inverted residuals found by a search, some gated, with hard activations."""

from .. import nn
from .common import Common, network, stack
from .mobilenetv2 import InvertedResidual
from .proportions import pixels_of, rounded, stretched

__all__ = ["mobilenet_v3"]

_RELU, _HARD = "relu", "hardswish"

# stages of rows: kernel, channels inside, output channels, gated, activation, stride
_STAGES = {
    "large": (
        ((3, 16, 16, False, _RELU, 1),),
        ((3, 64, 24, False, _RELU, 2), (3, 72, 24, False, _RELU, 1)),
        ((5, 72, 40, True, _RELU, 2), (5, 120, 40, True, _RELU, 1), (5, 120, 40, True, _RELU, 1)),
        (
            (3, 240, 80, False, _HARD, 2),
            (3, 200, 80, False, _HARD, 1),
            (3, 184, 80, False, _HARD, 1),
            (3, 184, 80, False, _HARD, 1),
        ),
        ((3, 480, 112, True, _HARD, 1), (3, 672, 112, True, _HARD, 1)),
        ((5, 672, 160, True, _HARD, 2), (5, 960, 160, True, _HARD, 1), (5, 960, 160, True, _HARD, 1)),
    ),
    "small": (
        ((3, 16, 16, True, _RELU, 2),),
        ((3, 72, 24, False, _RELU, 2), (3, 88, 24, False, _RELU, 1)),
        ((5, 96, 40, True, _HARD, 2), (5, 240, 40, True, _HARD, 1), (5, 240, 40, True, _HARD, 1)),
        ((5, 120, 48, True, _HARD, 1), (5, 144, 48, True, _HARD, 1)),
        ((5, 288, 96, True, _HARD, 2), (5, 576, 96, True, _HARD, 1), (5, 576, 96, True, _HARD, 1)),
    ),
}

# between the mean and the classifier
_FEATURES = {"large": 1280, "small": 1024}


def mobilenet_v3(
    variant="large", *, width=1.0, depth=1.0, resolution=None, num_classes=1000, in_channels=3, dropout=0.2,
    bn_eps=1e-3, **common,
):  # fmt: skip
    """MobileNetV3: stem, gated `InvertedResidual`, a pointwise head, mean, and a classifier of two layers.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes)``; the last map has a stride of 32.

    Parameters
    ----------
    variant : {"large", "small"}, optional
    width, depth, resolution, num_classes, in_channels, dropout, **common
        As for `mobilenet_v1`.
    bn_eps : float, optional
        1e-3, as torchvision's weights need it; timm's need 1e-5 where their name has no prefix.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stem``, ``stages``, ``head``, ``pool``, ``features`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] A. Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244, tables 1 and 2.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.mobilenet_v3("small")
    >>> cost = net.cost(net.input_shape)
    >>> cost.macs, cost.params
    (56510400, 2542856)
    """
    if variant not in _STAGES:
        raise ValueError(f"variant: expected one of {', '.join(_STAGES)}, got {variant!r}")
    common = Common(bn_eps=bn_eps, **common)
    channels = rounded(16, width)
    stages = [_stage(rows, width, depth) for rows in _STAGES[variant]]
    last, features = stages[-1][-1][0], rounded(_FEATURES[variant], width)
    children = {
        "stem": common.conv(in_channels, channels, 3, stride=2, activation=_HARD),
        "stages": stack(_block, channels, stages, common),
        "head": common.conv(last, 6 * last, activation=_HARD),
        "pool": common.pool(),
        "features": nn.Sequential(linear=common.linear(6 * last, features), activation=nn.Activation(_HARD)),
        "classifier": common.classifier(features, num_classes, dropout),
    }
    return network(children, common.image_shape(in_channels, pixels_of(resolution, 224)))


def _stage(rows, width, depth):
    """Output channels and words of the blocks of a stage, only the first of which has the stride."""
    made = []
    for position, (kernel, hidden, out, gated, activation, stride) in enumerate(stretched(rows, depth)):
        hidden = rounded(hidden, width)
        words = {"kernel_size": kernel, "stride": 1 if position else stride, "activation": activation}
        words["squeeze"] = rounded(hidden // 4) if gated else 0
        made.append((rounded(out, width), words | {"hidden": hidden}))
    return made


def _block(in_channels, out_channels, *, hidden, **words):
    return InvertedResidual(in_channels, out_channels, expand=hidden / in_channels, **words)
