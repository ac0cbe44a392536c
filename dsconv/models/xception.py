"""The Xception-style backbone of DeepLabV3+: separable convolutions in residual blocks."""

from .. import nn
from .proportions import atrous, rounded, stretched

# output channels of the three separable convolutions of a block, its stride
_ENTRY = (((128, 128, 128), 2), ((256, 256, 256), 2), ((728, 728, 728), 2))
_MIDDLE = (((728, 728, 728), 1),) * 16
_EXIT = (((728, 1024, 1024), 2),)
_LAST = (1536, 1536, 2048)


def features_xception(width, depth, output_stride, in_channels, common):
    """The modified aligned Xception, in two parts: up to a stride of 4, and from there on.

    Strides stand in the place of max pools, and BatchNorm and relu follow each depthwise stage. The first
    part ends with the first block, after which the published network goes on for two convolutions more.

    Parameters
    ----------
    width, depth : float
        Multiply channels, and the 16 blocks in the middle.
    output_stride : int
        Beyond it dilations take the place of strides.
    in_channels : int
    common : Common

    Returns
    -------
    entry, rest : dict
        Children of two chains.
    channels : (int, int)
        After either of them.

    References
    ----------
    .. [1] F. Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017,
       arXiv:1610.02357.
    .. [2] L.-C. Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
       Segmentation", ECCV 2018, arXiv:1802.02611, figure 4.
    """
    inside, channels = rounded(32, width), rounded(64, width)
    plan = [*_ENTRY, *stretched(_MIDDLE, depth), *_EXIT]
    steps = atrous([stride for _, stride in plan], output_stride)
    blocks = []
    for (outs, _), (stride, dilation) in zip(plan, steps, strict=True):
        outs = [rounded(out, width) for out in outs]
        blocks.append(_block(channels, outs, stride, dilation, common))
        channels = outs[-1]
    low, last = rounded(_ENTRY[0][0][-1], width), [rounded(out, width) for out in _LAST]
    # what follows the last stride is dilated by all the strides left out
    rate = atrous([stride for _, stride in plan] + [1], output_stride)[-1][1]
    entry = {
        "conv1": common.conv(in_channels, inside, 3, stride=2, activation="relu"),
        "conv2": common.conv(inside, rounded(64, width), 3, activation="relu"),
        "block": blocks[0],
    }
    rest = {"blocks": nn.Sequential(*blocks[1:]), "last": _separable(channels, last, [1, 1, 1], rate, common)}
    return entry, rest, (low, last[-1])


def _separable(channels, outs, strides, dilation, common):
    """Separable convolutions, BatchNorm and relu after each stage."""
    chain = []
    for out, stride in zip(outs, strides, strict=True):
        geometry = {"stride": stride, "dilation": dilation, "separable": True}
        chain.append(common.spatial(channels, out, 3, activation="relu", **geometry))
        channels = out
    return nn.Sequential(*chain)


def _block(channels, outs, stride, dilation, common):
    """Three separable convolutions, the last with the stride, beside a shortcut."""
    body = _separable(channels, outs, [1, 1, stride], dilation, common)
    if stride == 1 and channels == outs[-1]:
        return nn.Residual(body)
    return nn.Residual(body, common.conv(channels, outs[-1], 1, stride=stride))
