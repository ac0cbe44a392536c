"""Checkerboards: how unevenly an upsampling layer answers an even input, and whether channels do so alike."""

import copy
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, isinf, lcm, prod

import numpy as np

from ..geometry import MAX_RANK, per_axis
from ..nn.compose import Sequential
from ..nn.layer import Layer
from ..nn.windows import channels_first, spatial_sizes, with_spatial
from .field import format_of, one_sample

__all__ = ["Checkerboard", "checkerboard", "plot_checkerboard"]


_LABELLED = 36  # so many phases still have room for their names in a plot


@dataclass(frozen=True, eq=False)
class Checkerboard:
    """What `checkerboard` found.

    Attributes
    ----------
    phase_means : ndarray, shape (O, *period)
        The mean response of each output channel at each phase of the output grid.
    energy : ndarray, shape (O,)
        Variance of a channel's phase means over their squared mean: 0 where the response is even. Infinite
        where the mean is 0 but the phases are not.
    correlation : ndarray, shape (O, O)
        Pearson correlation of the phase means between channels; NaN for a channel whose energy is 0.
    """

    phase_means: np.ndarray
    energy: np.ndarray
    correlation: np.ndarray

    @property
    def mean_correlation(self):
        """Mean absolute correlation of two different channels that are not even; NaN without two such."""
        pairs = np.abs(self.correlation[~np.eye(len(self.correlation), dtype=bool)])
        pairs = pairs[~np.isnan(pairs)]
        return float(pairs.mean()) if len(pairs) else float("nan")

    def __repr__(self):
        shown = ", ".join(f"{value:.3g}" for value in self.energy[:4]) + (
            ", ..." if len(self.energy) > 4 else ""
        )
        return f"Checkerboard(energy=[{shown}], mean_correlation={self.mean_correlation:.3g})"


def checkerboard(layer, *, stride=None, dilation=1, standard=False, shape=None, period=None):
    """The response to a constant input, split by the phase of the output grid.

    Parameters
    ----------
    layer : dsconv.nn.Layer, or array_like, or tuple of two array_like
        A layer, which is run in inference mode on ones; what the border reaches is left out. Or weights of a
        transposed convolution: a depthwise one (C, M, *kernel), or with a pointwise one (O, C*M) as a tuple.
    stride, dilation : int or tuple of int, optional
        Of the weights. A layer has its own.
    standard : bool, optional
        Whether the array is the weight of a standard transposed convolution, (O, C, *kernel).
    shape : tuple of int, optional
        Of the input of a layer, batch included; needed where the layer does not tell its channels.
    period : int or tuple of int, optional
        After how many outputs the response of a layer repeats; from its upsampling if not given.

    Returns
    -------
    Checkerboard
        Deviations within rounding count as 0.

    Raises
    ------
    ValueError, TypeError
        For weights without a stride, and inputs too small to have a whole period away from the border.

    References
    ----------
    .. [1] A. Odena, V. Dumoulin, C. Olah, "Deconvolution and Checkerboard Artifacts", Distill, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import analysis
    >>> analysis.checkerboard(np.ones((1, 1, 3)), stride=2).energy.round(4).tolist()
    [0.1111]
    >>> analysis.checkerboard(np.ones((1, 1, 4)), stride=2).energy.tolist()
    [0.0]
    """
    if not isinstance(layer, Layer):
        return _judged(*_phases_of_weights(layer, stride, dilation, standard))
    given = {"stride": stride is not None, "standard": standard}
    if any(given.values()):
        names = ", ".join(name for name, value in given.items() if value)
        raise TypeError(f"{names}: only for weights; a layer has its own")
    return _judged(*_phases_of_layer(copy.deepcopy(layer).eval(), shape, period))


def _judged(means, rounding):
    """Energy and correlation from phase means (O, *period) and the relative size of rounding."""
    flat = means.reshape(len(means), -1)
    mean = flat.mean(axis=1)
    deviations = flat - mean[:, np.newaxis]
    scale = np.abs(flat).max(axis=1, initial=0)
    deviations[np.abs(deviations).max(axis=1) <= rounding * scale] = 0
    variance, square = np.square(deviations).mean(axis=1), np.square(mean)
    square[np.abs(mean) <= rounding * scale] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        energy = np.where(variance == 0, 0, variance / square)
        unit = deviations / np.sqrt(np.square(deviations).sum(axis=1, keepdims=True))
    return Checkerboard(means, energy, np.clip(unit @ unit.T, -1, 1))


# ---- weights -------------------------------------------------------------------------------------
def _phases_of_weights(weights, stride, dilation, standard):
    pointwise = None
    if isinstance(weights, tuple):
        if len(weights) != 2 or standard:
            raise ValueError(f"layer: expected (depthwise, pointwise), got {len(weights)} arrays")
        weights, pointwise = weights[0], _as_double(weights[1])
    weight = _as_double(weights)
    rank = weight.ndim - 2
    if not 1 <= rank <= MAX_RANK or 0 in weight.shape:
        raise ValueError(f"layer: expected a weight (C, M, *kernel), nothing empty, got {weight.shape}")
    if stride is None:
        raise ValueError("stride: needed for weights")
    strides, rates = per_axis(stride, "stride", rank, 1), per_axis(dilation, "dilation", rank, 1)
    for step, rate in zip(strides, rates, strict=True):
        # the first kernel axis that is left becomes the last phase axis, so in the end they are in order
        hits = np.arange(weight.shape[2]) * rate % step == np.arange(step)[:, np.newaxis]
        weight = np.tensordot(weight, hits.astype(float), (2, 1))
    weight = weight.sum(axis=1) if standard else weight.reshape(-1, *strides)
    if pointwise is not None:
        if pointwise.ndim < 2 or pointwise.shape != (len(pointwise), len(weight)):
            raise ValueError(
                f"layer: the pointwise weight must have shape (O, C*M) = (O, {len(weight)}), got "
                f"{pointwise.shape}"
            )
        weight = np.tensordot(pointwise, weight, 1)
    return weight, 64 * np.finfo(float).eps


def _as_double(weight):
    weight = np.asarray(weight)
    if weight.dtype.kind == "c":
        raise TypeError(f"layer: expected real weights, got {weight.dtype}")
    return weight.astype(float)


# ---- layers --------------------------------------------------------------------------------------
def _phases_of_layer(layer, shape, period):
    data_format = format_of(layer)
    shape = _input_shape(layer, data_format, period) if shape is None else one_sample(shape)
    sizes = spatial_sizes(shape, data_format)
    y = layer(np.ones(shape, np.float32))
    maps = channels_first(y, data_format)[0].astype(float)
    if maps.ndim != len(sizes) + 1:
        raise ValueError(f"layer: its result must be a map of {len(sizes)} spatial axes, got shape {y.shape}")
    periods = _periods(layer, period, len(sizes))
    insides = _insides(layer, sizes, maps.shape[1:], periods)
    for axis, (inside, each) in enumerate(zip(insides, periods, strict=True), 1):
        along = np.moveaxis(maps, axis, -1)[..., inside]
        along = along.reshape(*along.shape[:-1], -1, each).mean(axis=-2)
        maps = np.moveaxis(along, -1, axis)
    return maps, 64 * np.finfo(y.dtype).eps


def _periods(layer, period, rank):
    if period is not None:
        return per_axis(period, "period", rank, 1)
    own = _upsampling(layer)
    return own * rank if len(own) == 1 else own


def _upsampling(layer):
    """By what each axis is upsampled in all, whatever is downsampled: a multiple of the response's period."""
    inside = [_upsampling(child) for child in layer.children.values()]
    if not inside:
        return tuple(Fraction(stride).denominator for _, stride, _ in layer.field())
    rank = max(map(len, inside))
    axes = zip(*(each * rank if len(each) == 1 else each for each in inside), strict=True)
    return tuple(prod(axis) if isinstance(layer, Sequential) else lcm(*axis) for axis in axes)


def _input_shape(layer, data_format, period):
    """Ones enough for some periods that the border does not reach."""
    first = _first_with_channels(layer)
    if first is None:
        raise ValueError("shape: needed, as the layer does not tell its channels")
    rank = first.rank
    periods, field = _periods(layer, period, rank), layer.field()
    field = field * rank if len(field) == 1 else field
    sizes = [
        16 * each if isinf(size) else ceil(2 * size) + ceil(4 * each * stride) + 2
        for each, (size, stride, _) in zip(periods, field, strict=True)
    ]
    return with_spatial((1, first.in_channels), sizes, data_format, first.in_channels)


def _first_with_channels(layer):
    if getattr(layer, "rank", None) and hasattr(layer, "in_channels"):
        return layer
    found = (_first_with_channels(child) for child in layer.children.values())
    return next((each for each in found if each is not None), None)


def _insides(layer, sizes, outputs, periods):
    """For each axis the outputs whose receptive field lies in the input, in whole periods."""
    field = layer.field()
    field = field * len(sizes) if len(field) == 1 else field
    slices = []
    for axis, (size, output, period, (reach, stride, start)) in enumerate(
        zip(sizes, outputs, periods, field, strict=True)
    ):
        # where everything reaches everything, at least the middle is far from the border
        low, high = (output / 4, 3 * output / 4) if isinf(reach) else (
            -start / stride, (size - reach - start) / stride + 1
        )  # fmt: skip
        first, last = -(-max(ceil(low), 0) // period), min(floor(high), output) // period
        if last <= first:
            raise ValueError(
                f"shape: too small along spatial axis {axis}: of {size} inputs, no {period} outputs in a "
                "row are out of the border's reach"
            )
        slices.append(slice(first * period, last * period))
    return slices


def plot_checkerboard(layer, *, ax=None, **words):
    """Draw how the phase means of each channel deviate from their mean; needs matplotlib.

    Parameters
    ----------
    layer, **words
        As for `checkerboard`; or what it returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes if not given.

    Returns
    -------
    matplotlib.axes.Axes
        A row per phase and a column per channel. Alike columns are checkerboards that channels share.
    """
    from .drawing import new_axes, whole_ticks

    found = layer if isinstance(layer, Checkerboard) else checkerboard(layer, **words)
    flat = found.phase_means.reshape(len(found.phase_means), -1).T
    deviations = flat - flat.mean(axis=0)
    ax, limit = new_axes(ax), max(np.abs(deviations).max(), np.finfo(float).tiny)
    image = ax.imshow(
        deviations, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    ax.figure.colorbar(image, ax=ax, label="phase mean - mean")
    ax.set_xlabel("channel")
    ax.set_ylabel("phase")
    phases = list(np.ndindex(found.phase_means.shape[1:]))
    if len(phases) <= _LABELLED:
        ax.set_yticks(range(len(phases)), [", ".join(map(str, phase)) for phase in phases])
    whole_ticks(ax.xaxis)
    energy = np.median(found.energy)
    ax.set_title(f"median energy {energy:.2g}, mean |correlation| {found.mean_correlation:.2f}")
    return ax
