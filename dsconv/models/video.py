"""Video: separable convolutions over time, height and width."""

from .. import nn
from ..geometry import as_integer
from .common import Common3d, network, stack
from .proportions import pixels_of, rounded, strides_of

__all__ = ["SpatiotemporalBlock", "video_classifier"]

# output channels, stride of the first, repeats
_STAGES = ((64, 2, 1), (128, 2, 2), (256, 2, 2), (512, 2, 6), (1024, 1, 2))


class SpatiotemporalBlock(nn.Sequential):
    """Depthwise convolution over time and space, then a pointwise (1x1x1) one, with BatchNorm and activation.

    Shapes: ``(N, in_channels, t, h, w)`` to ``(N, out_channels, t/stride, h/stride, w/stride)``, rounded up.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or (int, int, int), optional
        Of the depthwise stage: along time, height and width.
    depth_multiplier : int, optional
        Filters for each channel.
    activation : str, optional
        After either stage.
    separable : bool, optional
        Otherwise it is one standard convolution with BatchNorm and activation, to compare with.
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] O. Köpüklü et al., "Resource Efficient 3D Convolutional Neural Networks", ICCV Workshops 2019,
       arXiv:1904.02422.
    .. [2] D. Tran et al., "Video Classification with Channel-Separated Convolutional Networks", ICCV 2019,
       arXiv:1904.02811.

    Examples
    --------
    >>> from dsconv import models
    >>> shape = 1, 64, 8, 28, 28
    >>> [models.SpatiotemporalBlock(64, 128, separable=each).cost(shape).macs for each in (True, False)]
    [62218240, 1387266048]
    >>> block = models.SpatiotemporalBlock(64, 128, kernel_size=(5, 3, 3), stride=(1, 2, 2))
    >>> block.output_shape(shape)
    (1, 128, 8, 14, 14)
    """

    def __init__(
        self, in_channels, out_channels, *, kernel_size=3, stride=1, dilation=1, depth_multiplier=1,
        activation="relu", separable=True, **common,
    ):  # fmt: skip
        words = {"stride": stride, "dilation": dilation, "activation": activation, "separable": separable}
        words["depth_multiplier"] = depth_multiplier
        chain = Common3d(**common).spatial(in_channels, out_channels, kernel_size, **words)
        super().__init__(**chain.children)


def video_classifier(
    width=1.0, *, depth=1.0, resolution=None, frames=16, num_classes=400, in_channels=3, separable=True,
    dropout=0.2, **common,
):  # fmt: skip
    """MobileNet in 3D: a standard stem, 13 `SpatiotemporalBlock`, mean and linear classifier.

    Shapes: ``(N, in_channels, t, h, w)`` to logits ``(N, num_classes)``; the last map has a stride of 16
    along time and 32 in space.

    Parameters
    ----------
    width, depth, num_classes, in_channels, separable, dropout
        As for `mobilenet_v1`.
    resolution : int or float, optional
        Of the square frames that ``input_shape`` tells: pixels, or as a float a multiple of 112.
    frames : int, optional
        How many of them there are in ``input_shape``.
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
    .. [1] O. Köpüklü et al., "Resource Efficient 3D Convolutional Neural Networks", ICCV Workshops 2019,
       arXiv:1904.02422.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.video_classifier(width=0.25)
    >>> net.input_shape, net.output_shape(net.input_shape)
    ((1, 3, 16, 112, 112), (1, 400))
    """
    common, pixels = Common3d(**common), pixels_of(resolution, 112)
    channels = rounded(32, width)
    plans = [(rounded(out, width), strides_of(*plan, depth)) for out, *plan in _STAGES]
    stages = [[(out, {"stride": stride}) for stride in strides] for out, strides in plans]

    def block(channels, out, **words):
        return SpatiotemporalBlock(channels, out, separable=separable, **words)

    children = {
        "stem": common.conv(in_channels, channels, 3, stride=(1, 2, 2), activation="relu"),
        "stages": stack(block, channels, stages, common),
        "pool": common.pool(),
        "classifier": common.classifier(rounded(1024, width), num_classes, dropout),
    }
    frames = as_integer(frames, "frames", 1)
    return network(children, common.map_shape(in_channels, frames, pixels, pixels))
