"""How many taps of a transposed convolution reach each output: where uneven, the cause of checkerboards."""

import numpy as np

from ..geometry import MAX_RANK, as_integer, items_of, per_axis

__all__ = ["overlap_count", "plot_overlap_count"]


def overlap_count(kernel_size, stride, *, dilation=1):
    """Taps that reach each output of a transposed convolution, by the output's phase.

    Outputs a stride apart get equally many, so one period is enough: along an axis, output q gets the taps t
    with ``t*dilation = q (mod stride)``. With dilation 1 the counts are equal exactly where the stride
    divides the kernel.

    Parameters
    ----------
    kernel_size, stride, dilation : int or tuple of int
        One per spatial axis; with ints everywhere the rank is 1.

    Returns
    -------
    ndarray of int, shape `stride`
        Their sum is the number of taps. Outputs at the border get fewer. Phase 0 is that of the first output
        before cropping.

    Raises
    ------
    ValueError, TypeError
        For sizes below 1, and for tuples of different lengths.

    References
    ----------
    .. [1] A. Odena, V. Dumoulin, C. Olah, "Deconvolution and Checkerboard Artifacts", Distill, 2016.

    Examples
    --------
    >>> from dsconv import analysis
    >>> analysis.overlap_count((3, 3), (2, 2))
    array([[4, 2],
           [2, 1]])
    >>> analysis.overlap_count(4, 2)
    array([2, 2])
    """
    given = [items_of(each) for each in (kernel_size, stride, dilation)]
    rank = next((len(each) for each in given if each is not None), 1)
    if not 1 <= rank <= MAX_RANK:
        raise ValueError(f"kernel_size: expected 1 to {MAX_RANK} spatial axes, got {rank}")
    kernel = per_axis(kernel_size, "kernel_size", rank, 1)
    strides = per_axis(stride, "stride", rank, 1)
    rates = per_axis(dilation, "dilation", rank, 1)
    counts = np.ones((), np.int64)
    for taps, step, rate in zip(kernel, strides, rates, strict=True):
        along = np.bincount(np.arange(taps) * rate % step, minlength=step)
        counts = np.multiply.outer(counts, along)
    return counts


def plot_overlap_count(kernel_size, stride, *, dilation=1, periods=4, ax=None):
    """Draw `overlap_count`, several periods of it; needs matplotlib.

    Parameters
    ----------
    kernel_size, stride, dilation
        As for `overlap_count`, of rank 1 or 2.
    periods : int, optional
        How many periods along each axis.
    ax : matplotlib.axes.Axes, optional
        Where to draw; new axes if not given.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        As `overlap_count`, and for rank 3.
    """
    from .drawing import new_axes, show_map

    counts = overlap_count(kernel_size, stride, dilation=dilation)
    if counts.ndim > 2:
        raise ValueError(f"kernel_size: one or two spatial axes can be drawn, got {counts.ndim}")
    periods = as_integer(periods, "periods", 1)
    ax = show_map(new_axes(ax), np.tile(counts, (periods,) * counts.ndim), "taps that reach an output", low=0)
    ax.set_title(f"kernel {kernel_size}, stride {stride}")
    return ax
