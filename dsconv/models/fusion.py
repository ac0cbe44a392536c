"""Several sensors in one map: filters of its own for each, then a pointwise layer over all of them."""

from collections.abc import Mapping

from .. import nn
from ..geometry import as_integer, items_of
from .common import common_of

__all__ = ["SensorFusion"]


class SensorFusion(nn.Sequential):
    """Each sensor under depthwise filters of its own kernel size and number, then fused by a pointwise layer.

    Shapes: ``(N, C, *spatial)``, the sensors one after the other on the channels, to ``(N, out_channels,
    *spatial)``, divided by the stride and rounded up. BatchNorm and activation follow both stages. What
    the sensors see must be aligned: the fusion mixes channels at each position, and moves nothing.

    Parameters
    ----------
    sensors : dict
        Name to (channels, kernel size, depth multiplier), in the order of the channels; the kernel size is an
        int or one int for each spatial axis.
    out_channels : int
    rank : {2, 1, 3}, optional
        Number of spatial axes.
    stride : int, optional
        Of all sensors.
    activation : str, optional
    **common
        `bn_eps`, `padding`, `data_format`, `dtype` and `rng`, as for `MobileNetBlock`.

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, and for sensors that are not as above.

    References
    ----------
    .. [1] Y. Zheng et al., "Time Series Classification Using Multi-Channels Deep Convolutional Neural
       Networks", WAIM 2014: filters for each channel, mixed afterwards.

    Examples
    --------
    >>> from dsconv import models
    >>> block = models.SensorFusion({"rgb": (3, 3, 4), "depth": (1, 7, 8)}, 32)
    >>> block.output_shape((1, 4, 48, 64)), block.fuse.conv.in_channels
    ((1, 32, 48, 64), 20)
    """

    def __init__(self, sensors, out_channels, *, rank=2, stride=1, activation="relu", **common):
        common, words, filters = common_of(rank)(**common), {"stride": stride, "activation": activation}, {}
        for name, (channels, kernel_size, multiplier) in _checked(sensors).items():
            filters[name] = common.depthwise(channels, kernel_size, depth_multiplier=multiplier, **words)
        sizes = [channels for channels, *_ in sensors.values()]
        hidden = sum(each.norm.channels for each in filters.values())
        super().__init__(
            sensors=nn.Split(sizes, **filters, **common.layout),
            fuse=common.conv(hidden, out_channels, activation=activation),
        )


def _checked(sensors):
    """The sensors, if each is a name with three numbers."""
    if not isinstance(sensors, Mapping):
        raise TypeError(f"sensors: expected a dict of names to sensors, got {type(sensors).__name__}")
    if not sensors:
        raise ValueError("sensors: at least one is needed, got none")
    for name, sensor in sensors.items():
        if not isinstance(name, str):
            raise TypeError(f"sensors: expected names as keys, got {name!r}")
        if name in ("sizes", "data_format"):
            raise ValueError(f"sensors: {name!r} cannot be a name, it is an argument of dsconv.nn.Split")
        if len(items_of(sensor) or ()) != 3:
            rule = "expected (channels, kernel size, depth multiplier)"
            raise ValueError(f"sensors[{name!r}]: {rule}, got {sensor!r}")
        as_integer(sensor[0], f"sensors[{name!r}][0]", 1)
        as_integer(sensor[2], f"sensors[{name!r}][2]", 1)
    return sensors
