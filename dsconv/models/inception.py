"""GoogLeNet: parallel branches of several kernel sizes, standard or separable."""

from .. import nn
from ..geometry import items_of
from .common import Common, network, stack
from .proportions import pixels_of, rounded, stretched

__all__ = ["InceptionModule", "googlenet"]

# modules of each stage: 1x1 | 1x1 before 3x3, 3x3 | 1x1 before 5x5, 5x5 | 1x1 after the pool
_3A, _3B = (64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)
_4A, _4B = (192, (96, 208), (16, 48), 64), (160, (112, 224), (24, 64), 64)
_4C, _4D = (128, (128, 256), (24, 64), 64), (112, (144, 288), (32, 64), 64)
_4E = _5A = (256, (160, 320), (32, 128), 128)
_5B = (384, (192, 384), (48, 128), 128)
_STAGES = ((_3A, _3B), (_4A, _4B, _4C, _4D, _4E), (_5A, _5B))


class InceptionModule(nn.Concat):
    """Branches 1x1, 1x1 then 3x3, 1x1 then 5x5, and pool then 1x1, joined on channels.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, one + three[1] + five[1] + pooled, h, w)``. BatchNorm and relu
    follow each convolution. The defaults are those of the module 3a, which takes 192 channels.

    Parameters
    ----------
    in_channels : int
    one : int, optional
        Output channels of the 1x1 branch.
    three, five : (int, int), optional
        Channels of the 1x1 and of the 3x3 or 5x5 convolution.
    pooled : int, optional
        Output channels of the 1x1 convolution after the 3x3 max pool.
    separable : bool, optional
        Whether the 3x3 and 5x5 convolutions are separable (as a `MobileNetBlock`) or standard.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, figure 2b.

    Examples
    --------
    >>> from dsconv import models
    >>> shape = 1, 192, 28, 28
    >>> [models.InceptionModule(192, separable=each).cost(shape).macs for each in (False, True)]
    [128049152, 42336000]
    """

    def __init__(
        self, in_channels, one=64, three=(96, 128), five=(16, 32), pooled=32, *, separable=False, **common
    ):  # fmt: skip
        common = Common(**common)
        words, pool = {"activation": "relu"}, nn.MaxPool2d(3, stride=1, padding=1, **common.layout)

        def reduced(kernel_size, inside, out):
            return nn.Sequential(
                reduce=common.conv(in_channels, inside, **words),
                conv=common.spatial(inside, out, kernel_size, separable=separable, **words),
            )

        for name, pair in ("three", three), ("five", five):
            if len(items_of(pair) or ()) != 2:
                rule = "expected two numbers of channels, before and after its kernel"
                raise ValueError(f"{name}: {rule}, got {pair!r}")
        super().__init__(
            one=common.conv(in_channels, one, **words),
            three=reduced(3, *three),
            five=reduced(5, *five),
            pooled=nn.Sequential(pool=pool, project=common.conv(in_channels, pooled, **words)),
            **common.layout,
        )


def googlenet(
    *, separable=False, width=1.0, depth=1.0, resolution=None, num_classes=1000, in_channels=3, dropout=0.4,
    bn_eps=1e-3, **common,
):  # fmt: skip
    """GoogLeNet with BatchNorm: a standard stem, nine `InceptionModule`, mean and linear classifier.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes)``; the last map has a stride of 32. The
    auxiliary classifiers, which only training had, and local response normalisation are left out.

    Parameters
    ----------
    separable : bool, optional
        Whether the 3x3 and 5x5 convolutions of the modules are separable.
    width, depth, resolution, num_classes, in_channels, dropout, **common
        As for `mobilenet_v1`.
    bn_eps : float, optional
        1e-3, as in torchvision.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stem``, ``inception3`` to ``inception5`` with pools between, ``pool`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] C. Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, table 1.

    Examples
    --------
    >>> from dsconv import models
    >>> standard, separable = (models.googlenet(separable=each) for each in (False, True))
    >>> round(separable.cost((1, 3, 224, 224)).macs / standard.cost((1, 3, 224, 224)).macs, 2)
    0.58
    """
    common = Common(bn_eps=bn_eps, **common)
    stages = [[_row(*row, width) for row in stretched(rows, depth)] for rows in _STAGES]

    first, last = rounded(192, width), stages[-1][-1][0]

    def module(channels, out, **words):
        return InceptionModule(channels, separable=separable, **words)

    modules = stack(module, first, stages, common)
    children = {"stem": _stem(in_channels, rounded(64, width), first, common), "inception3": modules[0]}
    children |= {"pool3": _halving(common), "inception4": modules[1]}
    children |= {"pool4": _halving(common), "inception5": modules[2]}
    children |= {"pool": common.pool(), "classifier": common.classifier(last, num_classes, dropout)}
    return network(children, common.image_shape(in_channels, pixels_of(resolution, 224)))


def _stem(in_channels, inside, out, common):
    return nn.Sequential(
        conv1=common.conv(in_channels, inside, 7, stride=2, activation="relu"),
        pool1=_halving(common),
        reduce=common.conv(inside, inside, activation="relu"),
        conv2=common.conv(inside, out, 3, activation="relu"),
        pool2=_halving(common),
    )


def _halving(common):
    return nn.MaxPool2d(3, stride=2, padding="same", **common.layout)


def _row(one, three, five, pooled, width):
    """A module's output channels, and its arguments."""
    one, pooled = rounded(one, width), rounded(pooled, width)
    three, five = (tuple(rounded(each, width) for each in pair) for pair in (three, five))
    return one + three[1] + five[1] + pooled, {"one": one, "three": three, "five": five, "pooled": pooled}
