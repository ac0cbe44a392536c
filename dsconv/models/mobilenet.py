"""MobileNet: a chain of depthwise separable convolutions."""

from .. import nn
from .common import Common, network, stack
from .proportions import pixels_of, rounded, strides_of

__all__ = ["MobileNetBlock", "mobilenet_v1"]

# output channels, stride of the first, repeats
_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 2, 6), (1024, 2, 2))


class MobileNetBlock(nn.Sequential):
    """Depthwise and pointwise convolution, each with BatchNorm and activation.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, out_channels, h/stride, w/stride)``, rounded up.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int, optional
        Of the depthwise stage.
    activation : str, optional
        After either stage.
    separable : bool, optional
        Otherwise it is one standard convolution with BatchNorm and activation, to compare with.
    bn_eps : float, optional
        Of the BatchNorms, 1e-5 if not given.
    padding : {"half", "same"}, optional
        ``dilation*(kernel - 1)/2`` on both sides, as PyTorch's networks are trained; or the odd position at
        the end, as TensorFlow's. They differ where the stride is 2.
    data_format, dtype, rng
        As for `dsconv.nn.DepthwiseConv2d`.

    Raises
    ------
    ValueError, TypeError
        As `dsconv.nn.DepthwiseConv2d`.

    References
    ----------
    .. [1] A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
       Applications", 2017, arXiv:1704.04861, figure 3.

    Examples
    --------
    >>> from dsconv import models
    >>> block = models.MobileNetBlock(32, 64)
    >>> block.cost((1, 32, 112, 112)).macs, list(block.children)
    (29302784, ['depthwise', 'pointwise'])
    """

    def __init__(
        self, in_channels, out_channels, *, kernel_size=3, stride=1, dilation=1, activation="relu",
        separable=True, **common,
    ):  # fmt: skip
        words = {"stride": stride, "dilation": dilation, "activation": activation}
        chain = Common(**common).spatial(in_channels, out_channels, kernel_size, separable=separable, **words)
        super().__init__(**chain.children)


def mobilenet_v1(
    width=1.0, *, depth=1.0, resolution=None, num_classes=1000, in_channels=3, activation="relu",
    separable=True, dropout=0.001, **common,
):  # fmt: skip
    """MobileNet: a standard stem, then 13 `MobileNetBlock`, mean and linear classifier.

    Shapes: ``(N, in_channels, h, w)`` to logits ``(N, num_classes)``; the last map has a stride of 32.

    Parameters
    ----------
    width : float, optional
        Multiplies all channels, which are rounded to multiples of 8.
    depth : float, optional
        Multiplies the blocks of each stage, rounded up.
    resolution : int or float, optional
        Of the square image that ``input_shape`` tells: an int in pixels, a float as a multiple of the
        published 224. The weights do not depend on it.
    num_classes, in_channels : int, optional
    activation : str, optional
        Of all stages; ``"relu6"`` where weights were trained with it, as TensorFlow's and timm's are.
    separable : bool, optional
        Whether the blocks are separable; with standard convolutions it is the twin in the paper's table 4.
    dropout : float, optional
        Probability before the classifier in training.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``stem``, ``stages``, ``pool`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
       Applications", 2017, arXiv:1704.04861, table 1.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.mobilenet_v1()
    >>> cost = net.cost(net.input_shape)
    >>> cost.macs, cost.params
    (568740352, 4231976)
    """
    common = Common(**common)
    channels = rounded(32, width)
    plans = [(rounded(out, width), strides_of(*plan, depth)) for out, *plan in _STAGES]
    stages = [[(out, {"stride": stride}) for stride in strides] for out, strides in plans]

    def block(channels, out, **words):
        return MobileNetBlock(channels, out, activation=activation, separable=separable, **words)

    children = {
        "stem": common.conv(in_channels, channels, 3, stride=2, activation=activation),
        "stages": stack(block, channels, stages, common),
        "pool": common.pool(),
        "classifier": common.classifier(rounded(1024, width), num_classes, dropout),
    }
    return network(children, common.image_shape(in_channels, pixels_of(resolution, 224)))
