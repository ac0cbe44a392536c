"""Networks over several sensors: a segmenter for cameras, a classifier for time series."""

from .common import Common, Common1d, network, stack
from .fusion import SensorFusion
from .proportions import pixels_of, rounded, stretched
from .temporal import TemporalBlock
from .unet import unet

__all__ = ["fusion_classifier", "fusion_segmenter"]


def fusion_segmenter(
    num_classes=2, *, sensors=None, width=1.0, depth=1.0, resolution=None, levels=3, separable=True,
    bypass_skip=False, **common,
):  # fmt: skip
    """Each pixel classified from several cameras: `SensorFusion` at full size, then a `unet`.

    Shapes: ``(N, C, h, w)`` to logits ``(N, num_classes, h, w)``.

    Parameters
    ----------
    num_classes : int, optional
    sensors : dict, optional
        As for `SensorFusion`; colour under 3x3 and depth under 7x7 filters, 8 for each channel, if not given.
    width, depth, levels, separable, bypass_skip, **common
        As for `unet`; the fused map has 32 channels times `width`.
    resolution : int or float, optional
        Of the image that ``input_shape`` tells: pixels, or as a float a multiple of 256.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``fusion`` and ``segment``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] C. Hazirbas et al., "FuseNet: Incorporating Depth into Semantic Segmentation via Fusion-Based CNN
       Architecture", ACCV 2016.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.fusion_segmenter(5, width=0.25)
    >>> net.input_shape, net.output_shape((1, 4, 50, 70))
    ((1, 4, 256, 256), (1, 5, 50, 70))
    """
    sensors = {"rgb": (3, 3, 8), "depth": (1, 7, 8)} if sensors is None else sensors
    common, fused = Common(**common), rounded(32, width)
    fusion = SensorFusion(sensors, fused, **common.given)
    words = {"levels": levels, "width": width, "depth": depth, "separable": separable, **common.given}
    segment = unet(num_classes, in_channels=fused, bypass_skip=bypass_skip, **words)
    shape = common.image_shape(sum(fusion.sensors.sizes), pixels_of(resolution, 256))
    return network({"fusion": fusion, "segment": segment}, shape)


def fusion_classifier(
    num_classes=4, *, sensors=None, width=1.0, depth=1.0, resolution=None, kernel_size=5, dropout=0.0,
    **common,
):  # fmt: skip
    """A multichannel time series classified: `SensorFusion`, `TemporalBlock`, mean and linear classifier.

    Shapes: ``(N, C, time)`` to logits ``(N, num_classes)``.

    Parameters
    ----------
    num_classes : int, optional
    sensors : dict, optional
        As for `SensorFusion`; an accelerometer under 9 and a gyroscope under 5 taps, three axes each with 8
        filters, if not given.
    width : float, optional
        Multiplies the channels: 32 of the fusion, then 32 and 64.
    depth : float, optional
        Multiplies the two blocks of each of the two stages, rounded up.
    resolution : int or float, optional
        Steps that ``input_shape`` tells, or as a float a multiple of 100.
    kernel_size : int, optional
        Of the blocks after the fusion.
    dropout, **common
        As for `mobilenet_v1`.

    Returns
    -------
    dsconv.nn.Sequential
        Children ``fusion``, ``stages``, ``pool`` and ``classifier``.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range.

    References
    ----------
    .. [1] Y. Zheng et al., "Time Series Classification Using Multi-Channels Deep Convolutional Neural
       Networks", WAIM 2014.

    Examples
    --------
    >>> from dsconv import models
    >>> net = models.fusion_classifier()
    >>> net.input_shape, net.output_shape(net.input_shape)
    ((1, 6, 100), (1, 4))
    """
    sensors = {"accelerometer": (3, 9, 8), "gyroscope": (3, 5, 8)} if sensors is None else sensors
    common, first, last = Common1d(**common), rounded(32, width), rounded(64, width)
    fusion = SensorFusion(sensors, first, rank=1, **common.given)
    words = {"kernel_size": kernel_size}
    stages = [
        [(out, {"stride": stride, **words}) for stride in stretched((2, 1), depth)] for out in (first, last)
    ]
    children = {"fusion": fusion, "stages": stack(TemporalBlock, first, stages, common)}
    children |= {"pool": common.pool(), "classifier": common.classifier(last, num_classes, dropout)}
    return network(children, common.map_shape(sum(fusion.sensors.sizes), pixels_of(resolution, 100)))
