"""DeepLabV3+: a dilated backbone, a pyramid of atrous separable convolutions, and a decoder."""

from .. import nn
from ..geometry import as_integer
from .aspp import ASPP
from .common import Common
from .mobilenetv2 import features_v2
from .proportions import pixels_of
from .xception import features_xception

__all__ = ["deeplab_v3plus"]

_BACKBONES = ("mobilenet_v2", "xception")


def deeplab_v3plus(
    backbone="mobilenet_v2", *, output_stride=16, num_classes=21, width=1.0, depth=1.0, resolution=None,
    in_channels=3, rates=None, separable=True, decoder_channels=256, dropout=0.1, **common,
):  # fmt: skip
    """DeepLabV3+: each pixel classified from context at several scales and from a finer map.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes, h, w)``, for any h and w. A map of stride
    4 is joined by the `ASPP` of the map of stride `output_stride`, interpolated; two 3x3 convolutions
    decode both, and the logits are interpolated to the pixels. Interpolation is bilinear with half-pixel
    centres.

    Parameters
    ----------
    backbone : {"mobilenet_v2", "xception"}, optional
        Xception-style: the aligned one with strided separable convolutions and 16 blocks in the middle.
    output_stride : {16, 8}, optional
        Of the deep map: dilations take the place of strides beyond it.
    num_classes, in_channels : int, optional
    width, depth : float, optional
        Multiply the backbone's channels and repeats.
    resolution : int or float, optional
        Of the image that ``input_shape`` tells: pixels, or as a float a multiple of 512.
    rates : sequence of int, optional
        Of the `ASPP`: (6, 12, 18) at an output stride of 16, and twice that at 8.
    separable : bool, optional
        Whether the 3x3 convolutions of `ASPP` and decoder are separable.
    decoder_channels : int, optional
        Of `ASPP` and decoder.
    dropout : float, optional
        After the `ASPP` in training.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.SameSize
        Around a chain of ``entry``, ``join``, ``decoder`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] L.-C. Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
       Segmentation", ECCV 2018, arXiv:1802.02611.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import models
    >>> net = models.deeplab_v3plus(width=0.25, decoder_channels=16, rng=0).eval()
    >>> net(np.ones((1, 3, 65, 97), np.float32)).shape
    (1, 21, 65, 97)
    """
    if backbone not in _BACKBONES:
        raise ValueError(f"backbone: expected one of {', '.join(_BACKBONES)}, got {backbone!r}")
    if output_stride not in (8, 16):
        raise ValueError(f"output_stride: expected 8 or 16, got {output_stride!r}")
    common, classes = Common(**common), as_integer(num_classes, "num_classes", 1)
    split = _mobilenet if backbone == "mobilenet_v2" else features_xception
    entry, deep, (low, high) = split(width, depth, output_stride, in_channels, common)
    rates = [each * 16 // output_stride for each in (6, 12, 18)] if rates is None else rates
    decoder_channels = as_integer(decoder_channels, "decoder_channels", 1)
    words = {"separable": separable, "activation": "relu"}
    out, fine = decoder_channels, max(decoder_channels * 48 // 256, 1)
    deep["aspp"] = ASPP(high, out, rates, separable=separable, dropout=dropout, **common.given)
    chain = nn.Sequential(
        entry=nn.Sequential(**entry),
        join=nn.Concat(
            low=common.conv(low, fine, activation="relu"),
            high=nn.SameSize(nn.Sequential(**deep), **common.layout),
            **common.layout,
        ),
        decoder=nn.Sequential(
            common.spatial(fine + out, out, 3, **words), common.spatial(out, out, 3, **words)
        ),
        classifier=common.pointwise(out, classes),
    )
    net = nn.SameSize(chain, **common.layout)
    net.input_shape = common.image_shape(in_channels, pixels_of(resolution, 512))
    return net


def _mobilenet(width, depth, output_stride, in_channels, common):
    """MobileNetV2 without its head, cut after the stage that ends at a stride of 4."""
    stem, stages, channels = features_v2(width, depth, output_stride, in_channels, common)
    return {"stem": stem, "stages": stages[:2]}, {"stages": stages[2:]}, (channels[1], channels[-1])
