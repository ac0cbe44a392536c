"""U-Net: an encoder and a decoder with skips between them, standard or separable."""

from .. import nn
from ..geometry import as_integer
from .common import Common
from .proportions import pixels_of, rounded, stretched

__all__ = ["unet"]


def unet(
    num_classes=2, *, separable=True, bypass_skip=False, levels=4, width=1.0, depth=1.0, resolution=None,
    in_channels=3, **common,
):  # fmt: skip
    """U-Net: each pixel classified, boundaries from skips around everything coarser.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes, h, w)``, for any h and w: convolutions are
    padded, odd sizes round up on the way down and are cropped on the way up. BatchNorm and relu follow each
    convolution, neither of which the original had.

    Parameters
    ----------
    num_classes : int, optional
    separable : bool, optional
        Whether the convolutions are separable (as a `MobileNetBlock`) or standard.
    bypass_skip : bool, optional
        Whether a skip leaves before the last convolution of its encoder level instead of after it, so that
        the decoder gets features that this one has not filtered. Parameters and MACs stay the same.
    levels : int, optional
        How often the size is halved.
    width : float, optional
        Multiplies the channels: 64 at full size, twice as many on each level.
    depth : float, optional
        Multiplies the two convolutions of each encoder and decoder level; at least two are made.
    resolution : int or float, optional
        Of the image that ``input_shape`` tells: pixels, or as a float a multiple of 256.
    in_channels : int, optional
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``body`` and ``classifier``; the body is a level that has the next one inside.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image
       Segmentation", MICCAI 2015, arXiv:1505.04597.

    Examples
    --------
    >>> from dsconv import models
    >>> standard, separable = (models.unet(separable=each, width=0.25) for each in (False, True))
    >>> round(separable.cost((1, 3, 256, 256)).macs / standard.cost((1, 3, 256, 256)).macs, 2)
    0.16
    """
    classes, levels = as_integer(num_classes, "num_classes", 1), as_integer(levels, "levels", 0)
    make = _Convolutions(separable, depth, Common(**common))
    channels = [rounded(64 * 2**level, width) for level in range(levels + 1)]
    body = _level(make, as_integer(in_channels, "in_channels", 1), channels, bool(bypass_skip))
    net = nn.Sequential(body=body, classifier=make.common.pointwise(channels[0], classes))
    net.input_shape = make.common.image_shape(in_channels, pixels_of(resolution, 256))
    return net


class _Convolutions:
    """The convolutions of all levels: separable or not, and how many."""

    def __init__(self, separable, depth, common):
        self.separable = separable
        self.repeats = max(len(stretched("12", depth)), 2)
        self.common = common

    def one(self, in_channels, out_channels, kernel_size=3):
        words = {"separable": self.separable, "activation": "relu"}
        return self.common.spatial(in_channels, out_channels, kernel_size, **words)

    def chain(self, in_channels, out_channels):
        first = self.one(in_channels, out_channels)
        return nn.Sequential(first, *(self.one(out_channels, out_channels) for _ in range(self.repeats - 1)))


def _level(make, in_channels, channels, bypass):
    here, *deeper = channels
    encoder = make.chain(in_channels, here)
    if not deeper:
        return encoder
    layout = make.common.layout
    below = {
        "pool": nn.MaxPool2d(2, padding="same", **layout),
        "inner": _level(make, here, deeper, bypass),
        "up": nn.Sequential(nn.Upsample(2, "nearest", **layout), make.one(deeper[0], here, 2)),
    }
    first, last = encoder[:-1], encoder[-1]
    level, below = ({}, {"last": last, **below}) if bypass else ({"last": last}, below)
    return nn.Sequential(
        encoder=first,
        **level,
        join=nn.Concat(
            skip=nn.Identity(), deeper=nn.SameSize(nn.Sequential(**below), "crop", **layout), **layout
        ),
        decoder=make.chain(2 * here, here),
    )
