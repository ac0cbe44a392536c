"""Losses: what a network is punished for, and the gradient of that.

Each is ``loss(y, target) -> (value, grad)``: a float, and an array of y's shape and type. Options are bound
with `functools.partial`.
"""

import numpy as np

from ..checks import as_real
from ..nn.windows import as_float

__all__ = ["binary_cross_entropy", "cross_entropy", "dice_loss", "l1_loss", "mean_squared_error"]


# ---- what the losses share -----------------------------------------------------------------------
def _scores(y):
    """y as an array of reals, and in at least single precision."""
    y = as_float(y, "y")
    if y.dtype.kind == "c":
        raise TypeError(f"y: expected real numbers, got {y.dtype}")
    return y, y.astype(np.promote_types(y.dtype, np.float32), copy=False)


def _same_shape(y, target):
    """The target of a regression, of y's very shape: broadcasting would hide a mistake."""
    target = np.asarray(target)
    if target.dtype.kind not in "biuf" and target.dtype.name != "bfloat16":
        raise TypeError(f"target: expected real numbers, got {target.dtype}")
    if target.shape != y.shape:
        raise ValueError(f"target: must have the shape of y, {y.shape}, got {target.shape}")
    return target.astype(y.dtype, copy=False)


def _not_empty(y):
    if y.size == 0:
        raise ValueError(f"y: the mean over nothing is not defined, got shape {y.shape}")


def class_axis(y, axis):
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"axis: expected an integer, got {axis!r}")
    if y.ndim < 2 or not -y.ndim <= axis < y.ndim or axis % y.ndim == 0:
        raise ValueError(
            f"axis: must be an axis of y behind the batch axis, got {axis} for a y of shape {y.shape}"
        )
    return axis % y.ndim


def counted(target, ignore_index):
    """Which positions count: all whose class number is not `ignore_index`."""
    if ignore_index is None:
        return np.ones(target.shape, bool)
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, (int, np.integer)):
        raise TypeError(f"ignore_index: expected an integer or None, got {ignore_index!r}")
    return target != ignore_index


def _labels(y, target, axis, ignore_index=None):
    """Class numbers of shape y without the class axis, and where they count."""
    target = np.asarray(target)
    shape = y.shape[:axis] + y.shape[axis + 1 :]
    if target.dtype.kind not in "iu":
        raise TypeError(f"target: expected class numbers of an integer type, got {target.dtype}")
    if target.shape != shape:
        raise ValueError(
            f"target: must have y's shape without its class axis {axis}, {shape}, got {target.shape}"
        )
    counts = counted(target, ignore_index)
    wrong = counts & ((target < 0) | (target >= y.shape[axis]))
    if wrong.any():
        where = tuple(map(int, np.argwhere(wrong)[0]))
        raise ValueError(
            f"target: class numbers must be from 0 to {y.shape[axis] - 1} (axis {axis} of y has "
            f"{y.shape[axis]} classes), got {target[where]} at {where}"
        )
    return np.where(counts, target, 0), counts


# ---- classification ------------------------------------------------------------------------------
def cross_entropy(y, target, *, class_weights=None, ignore_index=None, axis=1):
    """Mean of ``-log softmax(y)`` at the right classes.

    Parameters
    ----------
    y : array_like, shape (N, K) or (N, K, *spatial)
        Scores before any softmax, K classes along `axis`.
    target : array_like of int, shape (N,) or (N, *spatial)
        Class numbers.
    class_weights : array_like, shape (K,), optional
        The weight of each class; the mean is then the weighted one, as in PyTorch.
    ignore_index : int, optional
        Positions whose target is this number count for nothing. Where all do, the loss is 0.
    axis : int, optional
        That of the classes: 1, or -1 for channels last and for tokens.

    Returns
    -------
    value : float
    grad : ndarray, of y's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that disagree, class numbers out of range, and weights that are negative.

    Examples
    --------
    >>> from dsconv.training import cross_entropy
    >>> value, grad = cross_entropy([[0.0, 0.0]], [1])
    >>> round(value, 4), grad.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    given, y = _scores(y)
    _not_empty(y)
    axis = class_axis(y, axis)
    labels, counts = _labels(y, target, axis, ignore_index)
    weights = np.where(counts, _class_weights(class_weights, y.shape[axis])[labels], 0)
    total = weights.sum()
    if total == 0:
        return 0.0, np.zeros_like(given)
    at = np.expand_dims(labels, axis)
    shifted = y - y.max(axis=axis, keepdims=True)
    sums = np.exp(shifted).sum(axis=axis, keepdims=True)
    losses = np.log(sums) - np.take_along_axis(shifted, at, axis)
    share = np.expand_dims(weights / total, axis)
    # positions that do not count may hold anything, a NaN too
    value = np.where(share > 0, losses * share, 0).sum()
    grad = np.exp(shifted) / sums
    np.put_along_axis(grad, at, np.take_along_axis(grad, at, axis) - 1, axis)
    return float(value), np.where(share > 0, grad * share, 0).astype(given.dtype)


def _class_weights(weights, classes):
    if weights is None:
        return np.ones(classes)
    try:
        weights = np.asarray(weights, float)
    except (TypeError, ValueError):
        raise TypeError(f"class_weights: expected one number for each class, got {weights!r}") from None
    if weights.shape != (classes,):
        raise ValueError(f"class_weights: expected one for each of {classes} classes, got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"class_weights: must be finite and at least 0, got {weights.tolist()}")
    return weights


def binary_cross_entropy(y, target, *, positive_weight=1.0):
    """Mean of ``-t*log(p) - (1 - t)*log(1 - p)`` with ``p = sigmoid(y)``, without overflow for any y.

    Parameters
    ----------
    y : array_like
        Scores before any sigmoid.
    target : array_like, of y's shape
        From 0 to 1.
    positive_weight : float, optional
        A factor of the first term, for classes of unequal size.

    Returns
    -------
    value : float
    grad : ndarray, of y's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that disagree, and targets outside 0 to 1.

    Examples
    --------
    >>> from dsconv.training import binary_cross_entropy
    >>> value, grad = binary_cross_entropy([1000.0, -1000.0], [1, 1])
    >>> value, grad.tolist()
    (500.0, [0.0, -0.5])
    """
    given, y = _scores(y)
    _not_empty(y)
    target = _same_shape(y, target)
    if not ((target >= 0) & (target <= 1)).all():
        raise ValueError(f"target: must be from 0 to 1, got {target.min()} to {target.max()}")
    factor = y.dtype.type(as_real(positive_weight, "positive_weight", above=0))
    small = np.exp(-np.abs(y))
    rest = np.log1p(small)
    positive, negative = rest + np.maximum(-y, 0), rest + np.maximum(y, 0)
    value = np.mean(factor * target * positive + (1 - target) * negative, dtype=float)
    p = _sigmoid(y, small)
    grad = ((1 - target) * p - factor * target * (1 - p)) / y.size
    return float(value), grad.astype(given.dtype)


def _sigmoid(y, small):
    """The logistic function from ``exp(-|y|)``."""
    return np.where(y >= 0, 1, small) / (1 + small)


# ---- regression ----------------------------------------------------------------------------------
def mean_squared_error(y, target):
    """Mean of ``(y - target)**2`` over all elements.

    Parameters
    ----------
    y : array_like
    target : array_like, of y's shape
        Nothing is broadcast.

    Returns
    -------
    value : float
    grad : ndarray, of y's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that disagree, and complex numbers.

    Examples
    --------
    >>> from dsconv.training import mean_squared_error
    >>> value, grad = mean_squared_error([1.0, 4.0], [1.0, 2.0])
    >>> value, grad.tolist()
    (2.0, [0.0, 2.0])
    """
    given, y = _scores(y)
    _not_empty(y)
    error = y - _same_shape(y, target)
    return float(np.mean(np.square(error), dtype=float)), (error * (2 / y.size)).astype(given.dtype)


def l1_loss(y, target):
    """Mean of ``|y - target|`` over all elements; the gradient is 0 where they are equal.

    Parameters
    ----------
    y : array_like
    target : array_like, of y's shape
        Nothing is broadcast.

    Returns
    -------
    value : float
    grad : ndarray, of y's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that disagree, and complex numbers.

    Examples
    --------
    >>> from dsconv.training import l1_loss
    >>> value, grad = l1_loss([1.0, 4.0], [1.0, 2.0])
    >>> value, grad.tolist()
    (1.0, [0.0, 0.5])
    """
    given, y = _scores(y)
    _not_empty(y)
    error = y - _same_shape(y, target)
    return float(np.mean(np.abs(error), dtype=float)), (np.sign(error) / y.size).astype(given.dtype)


# ---- segmentation --------------------------------------------------------------------------------
def dice_loss(y, target, *, smooth=1.0, axis=1):
    """Mean over samples and classes of ``1 - (2*sum(p*t) + smooth) / (sum(p) + sum(t) + smooth)``.

    Sums run over the positions of a sample; p are probabilities, t the target as zeros and ones.

    Parameters
    ----------
    y : array_like, shape (N, K, *spatial)
        Scores: p is their softmax over `axis`; or their sigmoid, where the target has y's shape.
    target : array_like
        Class numbers, shape (N, *spatial); or numbers from 0 to 1 of y's shape, each channel a class.
    smooth : float, optional
        More than 0; it keeps classes that a sample lacks from dividing by zero.
    axis : int, optional
        That of the classes.

    Returns
    -------
    value : float
    grad : ndarray, of y's shape

    Raises
    ------
    ValueError, TypeError
        For shapes that disagree, and targets out of range.

    References
    ----------
    .. [1] C. H. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly
       unbalanced segmentations", DLMIA 2017, arXiv:1707.03237.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv.training import dice_loss
    >>> value, grad = dice_loss(np.array([[[20.0, -20.0]]]), np.array([[[1, 0]]]))
    >>> round(value, 6), grad.shape
    (0.0, (1, 1, 2))
    """
    given, y = _scores(y)
    _not_empty(y)
    axis = class_axis(y, axis)
    smooth = as_real(smooth, "smooth", above=0)
    binary = np.shape(target) == y.shape
    p, t = _sigmoids(y, target) if binary else _softmax(y, target, axis)
    positions = tuple(each for each in range(1, y.ndim) if each != axis)
    double = 2 * (p * t).sum(axis=positions, keepdims=True) + smooth
    sums = (p + t).sum(axis=positions, keepdims=True) + smooth
    of_p = (double - 2 * t * sums) / (np.square(sums) * double.size)
    if binary:
        grad = of_p * p * (1 - p)
    else:
        grad = p * (of_p - (of_p * p).sum(axis=axis, keepdims=True))
    return float(np.mean(1 - double / sums, dtype=float)), grad.astype(given.dtype)


def _sigmoids(y, target):
    target = _same_shape(y, target)
    if not ((target >= 0) & (target <= 1)).all():
        raise ValueError(f"target: must be from 0 to 1, got {target.min()} to {target.max()}")
    return _sigmoid(y, np.exp(-np.abs(y))), target


def _softmax(y, target, axis):
    labels, _ = _labels(y, target, axis)
    p = np.exp(y - y.max(axis=axis, keepdims=True))
    p /= p.sum(axis=axis, keepdims=True)
    t = np.zeros_like(p)
    np.put_along_axis(t, np.expand_dims(labels, axis), 1, axis)
    return p, t
