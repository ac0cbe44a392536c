"""Metrics: ``metric(y, target) -> float``, means over the samples of a batch."""

import numpy as np

from .losses import class_axis, counted

__all__ = ["accuracy"]


def accuracy(y, target, *, axis=1, ignore_index=None):
    """The share of positions where the greatest score is that of the right class.

    Parameters
    ----------
    y : array_like, shape (N, K) or (N, K, *spatial)
        Scores, K classes along `axis`.
    target : array_like of int, shape (N,) or (N, *spatial)
        Class numbers.
    axis : int, optional
        That of the classes.
    ignore_index : int, optional
        Positions whose target is this number do not count; NaN where none does.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For shapes that disagree, and targets that are no class numbers.

    Examples
    --------
    >>> from dsconv.training import accuracy
    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    y, target = np.asarray(y), np.asarray(target)
    classes = y.argmax(axis=class_axis(y, axis))
    if target.dtype.kind not in "iu":
        raise TypeError(f"target: expected class numbers of an integer type, got {target.dtype}")
    if classes.shape != target.shape:
        raise ValueError(
            f"target: must have y's shape without its class axis, {classes.shape}, got {target.shape}"
        )
    counts = counted(target, ignore_index)
    return float(np.mean((classes == target)[counts])) if counts.any() else float("nan")
