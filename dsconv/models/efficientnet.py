"""EfficientNet: one network of mobile inverted bottlenecks, scaled in depth, width and resolution."""

from ..checks import as_real
from ..geometry import as_integer
from .common import Common, network, stack
from .mobilenetv2 import InvertedResidual
from .proportions import pixels_of, positive, rounded, strides_of

__all__ = ["MBConv", "efficientnet"]

# kernel, stride of the first, expansion, output channels, repeats
_STAGES = (
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4), (3, 1, 6, 320, 1),
)  # fmt: skip

# width, depth, pixels, dropout, epsilon of BatchNorm (as in the weights that torchvision and Lite0 publish)
_VARIANTS = {
    "b0": (1.0, 1.0, 224, 0.2, 1e-5),
    "b1": (1.0, 1.1, 240, 0.2, 1e-5),
    "b2": (1.1, 1.2, 260, 0.3, 1e-5),
    "b3": (1.2, 1.4, 300, 0.3, 1e-5),
    "b4": (1.4, 1.8, 380, 0.4, 1e-5),
    "b5": (1.6, 2.2, 456, 0.4, 1e-3),
    "b6": (1.8, 2.6, 528, 0.5, 1e-3),
    "b7": (2.0, 3.1, 600, 0.5, 1e-3),
    "lite0": (1.0, 1.0, 224, 0.2, 1e-3),
}


class MBConv(InvertedResidual):
    """Mobile inverted bottleneck: `InvertedResidual` with squeeze-and-excite and stochastic depth.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, out_channels, h/stride, w/stride)``, rounded up.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation, expand, drop, **common
        As for `InvertedResidual`.
    squeeze : float, optional
        Channels inside the gate over `in_channels` (not over the expanded ones); 0 for no gate.
    activation : str, optional
        After expansion and depthwise stage, and inside the gate.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
       ICML 2019, arXiv:1905.11946, section 4.

    Examples
    --------
    >>> from dsconv import models
    >>> list(models.MBConv(24, 24, drop=0.1).body.children)
    ['expand', 'depthwise', 'squeeze', 'project', 'drop']
    """

    def __init__(self, in_channels, out_channels, *, squeeze=0.25, activation="silu", **words):
        if squeeze:
            narrow = as_integer(in_channels, "in_channels", 1) * positive(squeeze, "squeeze")
            words["squeeze"] = max(int(narrow), 1)
        gates = activation, "sigmoid"
        super().__init__(in_channels, out_channels, activation=activation, gates=gates, **words)


def efficientnet(
    variant="b0", *, width=1.0, depth=1.0, resolution=None, num_classes=1000, in_channels=3, dropout=None,
    drop=0.2, bn_eps=None, padding=None, **common,
):  # fmt: skip
    """EfficientNet: a standard stem, stages of `MBConv`, a pointwise head, mean and linear classifier.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes)``; the last map has a stride of 32.

    Parameters
    ----------
    variant : {"b0", ..., "b7", "lite0"}, optional
        ``"lite0"`` has neither gates nor a silu (but relu6), so that it quantises well.
    width, depth : float, optional
        Multiply the variant's own.
    resolution : int or float, optional
        Of the image that ``input_shape`` tells: pixels, or as a float a multiple of the variant's.
    num_classes, in_channels, dropout
        As for `mobilenet_v1`; the dropout is 0.2 to 0.5, by variant.
    drop : float, optional
        Probability of stochastic depth, growing linearly from 0 at the first block to this after the last.
    bn_eps, padding : optional
        Where published weights differ. As in torchvision 1e-5 up to b4, else 1e-3, with "half"; lite0 has
        1e-3 and "same". Weights that timm calls ``tf_*`` need 1e-3 and "same".
    **common
        `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

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
    .. [1] M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
       ICML 2019, arXiv:1905.11946, table 1.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.efficientnet("b0")
    >>> cost = net.cost(net.input_shape)
    >>> cost.macs, cost.params
    (385814752, 5288548)
    """
    if variant not in _VARIANTS:
        raise ValueError(f"variant: expected one of {', '.join(_VARIANTS)}, got {variant!r}")
    own_width, own_depth, pixels, own_dropout, own_eps = _VARIANTS[variant]
    lite = variant == "lite0"
    padding = ("same" if lite else "half") if padding is None else padding
    common = Common(bn_eps=own_eps if bn_eps is None else bn_eps, padding=padding, **common)
    width, depth = own_width * positive(width, "width"), own_depth * positive(depth, "depth")
    activation = "relu6" if lite else "silu"
    words = {"activation": activation, "squeeze": 0 if lite else 0.25}
    stages = _stages(width, depth, as_real(drop, "drop", 0, below=1), words)
    channels, last, features = rounded(32, width), rounded(320, width), rounded(1280, width)
    children = {
        "stem": common.conv(in_channels, channels, 3, stride=2, activation=activation),
        "stages": stack(MBConv, channels, stages, common),
        "head": common.conv(last, features, activation=activation),
        "pool": common.pool(),
        "classifier": common.classifier(features, num_classes, own_dropout if dropout is None else dropout),
    }
    return network(children, common.image_shape(in_channels, pixels_of(resolution, pixels)))


def _stages(width, depth, drop, words):
    """Output channels and words of the blocks of each stage."""
    stages = []
    for kernel, stride, expand, out, repeats in _STAGES:
        strides = strides_of(stride, repeats, depth)
        own = {"kernel_size": kernel, "expand": expand, **words}
        stages.append([(rounded(out, width), {**own, "stride": each}) for each in strides])
    blocks = [words for rows in stages for _, words in rows]
    for position, each in enumerate(blocks):
        each["drop"] = drop * position / len(blocks)
    return stages
