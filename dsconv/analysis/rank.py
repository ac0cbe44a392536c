"""The rank of what each input channel may contribute: the bottleneck of the factorisation."""

import numpy as np

from ..checks import as_real
from ..nn.convolution import SeparableConv
from ..nn.standard import Conv

__all__ = ["channel_rank", "plot_channel_rank"]


def channel_rank(weight, *, tolerance=None):
    """The rank of each input channel's O x K slice of a convolution, with K taps.

    A standard convolution reaches min(O, K), a separable one M: all outputs see a channel through the same M
    filters. An activation between the two stages does not change that.

    Parameters
    ----------
    weight : array_like, shape (O, C, *kernel); or tuple of two array_like; or Conv or SeparableConv layer
        A standard weight, or a depthwise one (C, M, *kernel) and a pointwise one (O, C*M).
    tolerance : float, optional
        Singular values count from this share of the greatest on; `numpy.linalg.matrix_rank`'s if not given.

    Returns
    -------
    ndarray of int, shape (C,)

    Raises
    ------
    ValueError, TypeError
        For arrays whose shapes do not fit.

    Examples
    --------
    >>> from dsconv import analysis, nn
    >>> analysis.channel_rank(nn.Conv2d(2, 16, 3, rng=0)).tolist()
    [9, 9]
    >>> analysis.channel_rank(nn.SeparableConv2d(2, 16, 3, depth_multiplier=2, rng=0)).tolist()
    [2, 2]
    """
    tolerance = None if tolerance is None else as_real(tolerance, "tolerance", 0)
    return np.linalg.matrix_rank(_slices(weight), rtol=tolerance)


def _slices(weight):
    """(C, O, K), in double precision."""
    if isinstance(weight, SeparableConv):
        weight = weight.depthwise_weight, weight.pointwise_weight
    elif isinstance(weight, Conv):
        weight = weight.weight
    if isinstance(weight, tuple):
        return _separable_slices(weight)
    weight = _as_wide(weight)
    if weight.ndim < 3 or 0 in weight.shape:
        raise ValueError(f"weight: expected shape (O, C, *kernel), nothing empty, got {weight.shape}")
    return weight.reshape(*weight.shape[:2], -1).swapaxes(0, 1)


def _separable_slices(pair):
    if len(pair) != 2:
        raise ValueError(f"weight: expected (depthwise, pointwise), got {len(pair)} arrays")
    depthwise, pointwise = map(_as_wide, pair)
    if depthwise.ndim < 3 or 0 in depthwise.shape:
        raise ValueError(f"weight: expected a depthwise shape (C, M, *kernel), got {depthwise.shape}")
    channels, multiplier = depthwise.shape[:2]
    if pointwise.ndim < 2 or pointwise.shape != (len(pointwise), channels * multiplier):
        raise ValueError(
            f"weight: the pointwise one must have shape (O, C*M) = (O, {channels * multiplier}) for a "
            f"depthwise one of shape {depthwise.shape}, got {pointwise.shape}"
        )
    filters = depthwise.reshape(channels, multiplier, -1)
    mixing = pointwise.reshape(-1, channels, multiplier).swapaxes(0, 1)
    # a product could not have a higher rank, but rounding could make it look as if
    return np.stack([_balanced(*each) for each in zip(mixing, filters, strict=True)])


def _balanced(mixing, filters):
    """A matrix with the singular values of ``mixing @ filters``, without its rounding: (O, K)."""
    left, right = np.linalg.qr(mixing)[1], np.linalg.qr(filters.T)[1]
    inner = left @ right.T
    whole = np.zeros((len(mixing), filters.shape[1]), inner.dtype)
    whole[: inner.shape[0], : inner.shape[1]] = inner
    return whole


def _as_wide(array):
    array = np.asarray(array)
    if array.dtype.kind not in "fciu" or not np.isfinite(array).all():
        raise ValueError(f"weight: expected finite numbers, got {array.dtype} with others among them")
    return array.astype(np.promote_types(array.dtype, float), copy=False)


def plot_channel_rank(weight, *, tolerance=None, ax=None):
    """Draw `channel_rank` as bars, with the greatest rank that is possible; needs matplotlib.

    Parameters
    ----------
    weight, tolerance
        As for `channel_rank`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from .drawing import new_axes, whole_ticks

    ax, ranks, slices = new_axes(ax), channel_rank(weight, tolerance=tolerance), _slices(weight)
    limit = min(slices.shape[1:])
    ax.bar(np.arange(len(ranks)), ranks)
    ax.axhline(limit, color="grey", linestyle=":", label=f"min(O, K) = {limit}")
    ax.set_xlabel("input channel")
    ax.set_ylabel("rank of its O x K slice")
    ax.set_ylim(0, 1.2 * limit)  # room for the legend above the line
    ax.legend(loc="upper right")
    whole_ticks(ax.xaxis, ax.yaxis)
    return ax
