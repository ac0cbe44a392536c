"""Signals in one dimension: bands as channels, filters along time, channels mixed at each moment."""

from .. import nn
from ..geometry import as_integer
from .common import Common1d, network, stack
from .proportions import pixels_of, rounded, stretched

__all__ = ["TemporalBlock", "temporal_spotter"]


class TemporalBlock(nn.Sequential):
    """A filter along time for each channel, channels mixed, BatchNorm and activation; residual where it can.

    Shapes: ``(N, in_channels, time)`` to ``(N, out_channels, time/stride)``, rounded up.

    Parameters
    ----------
    in_channels, out_channels : int
        The shortcut is there where they agree and the stride is 1; the activation follows the sum.
    kernel_size, stride, dilation, depth_multiplier : int, optional
        Of the depthwise stage.
    causal : bool, optional
        Whether the filters see nothing that comes later, so that the block streams; `padding` has no say
        then.
    activation : str, optional
        After the depthwise stage, and at the end.
    separable : bool, optional
        Otherwise it is one standard convolution, to compare with.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] S. Choi et al., "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices",
       Interspeech 2019, arXiv:1904.03814: bands as channels.
    .. [2] S. Kriman et al., "QuartzNet: Deep Automatic Speech Recognition with 1D Time-Channel Separable
       Convolutions", ICASSP 2020, arXiv:1910.10261.

    Examples
    --------
    >>> from dsconv import models
    >>> block = models.TemporalBlock(40, 64, dilation=4, causal=True)
    >>> block.receptive_field(), block.output_shape((1, 40, 98))
    (((33, 1, -32),), (1, 64, 98))
    """

    def __init__(
        self, in_channels, out_channels, *, kernel_size=9, stride=1, dilation=1, depth_multiplier=1,
        causal=False, activation="relu", separable=True, **common,
    ):  # fmt: skip
        common, words = Common1d(**common), {"stride": stride, "dilation": dilation}
        words["padding"] = "causal" if causal else None
        if separable:
            words |= {"depth_multiplier": depth_multiplier, "activation": activation}
            depthwise = common.depthwise(in_channels, kernel_size, **words)
            pointwise = common.conv(depthwise.norm.channels, out_channels)
            body = nn.Sequential(depthwise=depthwise, pointwise=pointwise)
        else:
            body = common.conv(in_channels, out_channels, kernel_size, **words)
        shortcut = {"shortcut": nn.Identity()} if stride == 1 and in_channels == out_channels else {}
        super().__init__(sum=nn.Sum(body=body, **shortcut), activation=nn.Activation(activation))


def temporal_spotter(
    *, width=1.0, depth=1.0, resolution=None, bands=40, num_classes=12, kernel_size=9, separable=True,
    dropout=0.0, **common,
):  # fmt: skip
    """A spotter that listens: causal `TemporalBlock`, with the bands as channels, and logits at each moment.

    Shapes: ``(N, bands, time)`` to logits ``(N, num_classes, time/2)``, rounded up. ``net.eval().stream()``
    takes chunks of frames, and gives the very bits of one call on all of them.

    Parameters
    ----------
    width : float, optional
        Multiplies the 64 channels.
    depth : float, optional
        Multiplies the rounds, of dilations 1, 2, 4 and 8 each, of which there is one.
    resolution : int or float, optional
        Frames that ``input_shape`` tells, or as a float a multiple of 98.
    bands, num_classes, kernel_size : int, optional
    separable, dropout
        As for `TemporalBlock` (standard convolutions do not stream) and `mobilenet_v1`.
    **common
        `bn_eps`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stem``, ``stages``, ``dropout`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] A. Coucke et al., "Efficient Keyword Spotting Using Dilated Convolutions and Gating", ICASSP 2019,
       arXiv:1811.07684.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import models
    >>> net = models.temporal_spotter(rng=0).eval()
    >>> x, stream = np.ones((1, 40, 98), np.float32), net.stream()
    >>> parts = [stream(x[..., :30]), stream(x[..., 30:31]), stream(x[..., 31:])]
    >>> bool((np.concatenate(parts, axis=-1) == net(x)).all()), net.receptive_field()
    (True, ((249, 2, -248),))
    """
    words = {"kernel_size": kernel_size, "separable": separable, "causal": True}
    rounds = [[(64, 1, rate) for rate in (1, 2, 4, 8)] for _ in stretched("1", depth)]
    common, shape = Common1d(**common), (as_integer(bands, "bands", 1), pixels_of(resolution, 98))
    children, last = temporal_features(shape[0], (64, 2), rounds, width, words, common)
    children["dropout"] = nn.Dropout(dropout)
    children["classifier"] = common.pointwise(last, as_integer(num_classes, "num_classes", 1))
    return network(children, common.map_shape(*shape))


def temporal_features(bands, stem, stages, width, words, common):
    """The first block (channels, stride), stages of (channels, stride, dilation), the last channels."""
    channels = rounded(stem[0], width)
    rows = [
        [(rounded(out, width), {"stride": stride, "dilation": rate, **words}) for out, stride, rate in stage]
        for stage in stages
    ]
    first = TemporalBlock(bands, channels, stride=stem[1], **words, **common.given)
    return {"stem": first, "stages": stack(TemporalBlock, channels, rows, common)}, rows[-1][-1][0]
