"""MobileNetV2: inverted residuals with linear bottlenecks."""

from .. import nn
from ..geometry import as_integer
from .common import Common, network, stack
from .proportions import atrous, pixels_of, positive, rounded, strides_of

__all__ = ["InvertedResidual", "mobilenet_v2"]

# expansion, output channels, repeats, stride of the first
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


class InvertedResidual(nn.Sum):
    """Expand, filter depthwise, project: wide inside, a shortcut between the narrow ends.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, out_channels, h/stride, w/stride)``, rounded up.

    Parameters
    ----------
    in_channels, out_channels : int
        The shortcut is there where they agree and the stride is 1.
    kernel_size, stride, dilation : int, optional
        Of the depthwise stage.
    expand : float, optional
        Channels inside over `in_channels`; with 1 there is no expansion stage.
    activation : str, optional
        After expansion and depthwise stage; the projection is linear.
    squeeze : int, optional
        Channels inside a squeeze-and-excite gate before the projection; 0 for none.
    gates : (str, str), optional
        The activations of that gate, inside and at its end.
    drop : float, optional
        Probability that a sample's body is dropped in training, where there is a shortcut.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
       arXiv:1801.04381.

    Examples
    --------
    >>> from dsconv import models
    >>> block = models.InvertedResidual(24, 24)
    >>> list(block.children), list(block.body.children)
    (['body', 'shortcut'], ['expand', 'depthwise', 'project'])
    >>> block.output_shape((1, 24, 56, 56))
    (1, 24, 56, 56)
    """

    def __init__(
        self, in_channels, out_channels, *, kernel_size=3, stride=1, dilation=1, expand=6.0,
        activation="relu6", squeeze=0, gates=("relu", "hardsigmoid"), drop=0.0, **common,
    ):  # fmt: skip
        common = Common(**common)
        hidden = max(round(as_integer(in_channels, "in_channels", 1) * positive(expand, "expand")), 1)
        geometry = {"stride": stride, "dilation": dilation}
        body = {}
        if hidden != in_channels:
            body["expand"] = common.conv(in_channels, hidden, activation=activation)
        body["depthwise"] = common.depthwise(hidden, kernel_size, **geometry, activation=activation)
        if squeeze:
            inside, gate = gates
            body["squeeze"] = nn.SqueezeExcite(hidden, squeeze, activation=inside, gate=gate, **common.words)
        body["project"] = common.conv(hidden, out_channels)
        shortcut = {}
        if stride == 1 and in_channels == out_channels:
            shortcut["shortcut"] = nn.Identity()
            if drop:
                body["drop"] = nn.StochasticDepth(drop)
        super().__init__(body=nn.Sequential(**body), **shortcut)


def features_v2(width, depth, output_stride, in_channels, common):
    """The stem, the stages (the second one ends at a stride of 4), and the channels of each stage."""
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride: expected 8, 16 or 32, got {output_stride!r}")
    first = rounded(32, width)
    stem = common.conv(in_channels, first, 3, stride=2, activation="relu6")
    plans = [strides_of(stride, repeats, depth) for _, _, repeats, stride in _STAGES]
    steps = iter(atrous([stride for plan in plans for stride in plan], output_stride))
    channels = [rounded(out, width) for _, out, _, _ in _STAGES]
    stages = []
    for (expand, *_), out, plan in zip(_STAGES, channels, plans, strict=True):
        geometry = [dict(zip(("stride", "dilation"), next(steps), strict=True)) for _ in plan]
        stages.append([(out, {"expand": expand, **words}) for words in geometry])
    return stem, stack(InvertedResidual, first, stages, common), channels


def mobilenet_v2(
    width=1.0, *, depth=1.0, resolution=None, num_classes=1000, in_channels=3, output_stride=32, dropout=0.2,
    **common,
):  # fmt: skip
    """MobileNetV2: a standard stem, 17 `InvertedResidual`, a pointwise head, mean and linear classifier.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes)``.

    Parameters
    ----------
    width, depth, resolution, num_classes, in_channels, dropout, **common
        As for `mobilenet_v1`. Below a `width` of 1 the head keeps its 1280 channels.
    output_stride : {32, 16, 8}, optional
        Of the last map; below 32 dilations take the place of strides.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stem``, ``stages``, ``head``, ``pool`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
       arXiv:1801.04381, table 2.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.mobilenet_v2()
    >>> cost = net.cost(net.input_shape)
    >>> cost.macs, cost.params
    (300774272, 3504872)
    """
    common = Common(**common)
    stem, stages, channels = features_v2(width, depth, output_stride, in_channels, common)
    last = rounded(1280, max(width, 1.0))
    children = {"stem": stem, "stages": stages}
    children["head"] = common.conv(channels[-1], last, activation="relu6")
    children |= {"pool": common.pool(), "classifier": common.classifier(last, num_classes, dropout)}
    return network(children, common.image_shape(in_channels, pixels_of(resolution, 224)))
