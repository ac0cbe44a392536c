"""Atrous spatial pyramid pooling: one map looked at with several dilations at once."""

from .. import nn
from ..geometry import as_integer, items_of
from .common import Common

__all__ = ["ASPP"]


class ASPP(nn.Sequential):
    """Atrous spatial pyramid pooling.

    A 1x1 convolution, a 3x3 convolution for each rate and the mean of the whole map, side by side, are joined
    on channels and projected. BatchNorm and relu follow each convolution.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, out_channels, h, w)``.

    Parameters
    ----------
    in_channels : int
    out_channels : int, optional
        Of each branch, and of the result.
    rates : sequence of int, optional
        Dilations of the 3x3 convolutions; the default is that of DeepLab for an output stride of 16.
    separable : bool, optional
        Whether the 3x3 convolutions are separable (as a `MobileNetBlock`) or standard.
    image_pooling : bool, optional
        Whether there is the branch with the mean. Its BatchNorm needs more than one image in training.
    dropout : float, optional
        Of elements of the result in training.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] L.-C. Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
       arXiv:1706.05587.
    .. [2] L.-C. Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
       Segmentation", ECCV 2018, arXiv:1802.02611.

    Examples
    --------
    >>> from dsconv import models
    >>> shape = 1, 320, 32, 32
    >>> [models.ASPP(320, separable=each).cost(shape).macs for each in (True, False)]
    [680017920, 2684436480]
    """

    def __init__(
        self, in_channels, out_channels=256, rates=(6, 12, 18), *, separable=True, image_pooling=True,
        dropout=0.1, **common,
    ):  # fmt: skip
        common = Common(**common)
        words = {"activation": "relu"}
        branches = {"point": common.conv(in_channels, out_channels, **words)}
        each = items_of(rates)
        if each is None:
            raise TypeError(f"rates: expected a sequence of ints, got {rates!r} ({type(rates).__name__})")
        for position, rate in enumerate(each):
            geometry = {"dilation": as_integer(rate, f"rates[{position}]", 1), "separable": separable}
            branches[f"atrous{position}"] = common.spatial(in_channels, out_channels, 3, **geometry, **words)
        if image_pooling:
            mean = nn.GlobalAveragePool(keepdims=True, **common.layout)
            whole = nn.Sequential(pool=mean, project=common.conv(in_channels, out_channels, **words))
            # the same value everywhere
            branches["image"] = nn.SameSize(whole, "nearest", **common.layout)
        super().__init__(
            branches=nn.Concat(**branches, **common.layout),
            project=common.conv(len(branches) * out_channels, out_channels, **words),
            dropout=nn.Dropout(dropout),
        )
