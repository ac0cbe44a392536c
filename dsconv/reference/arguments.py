"""Checking of arguments: what may come in, and the plain error for what may not."""

import operator
import re

import numpy as np

DATA_FORMATS = ("channels_first", "channels_last")
OPERATIONS = (
    "depthwise_conv",
    "pointwise_conv",
    "separable_conv",
    "depthwise_conv_transpose",
    "separable_conv_transpose",
    "depthwise_conv_input_grad",
    "depthwise_conv_weight_grad",
    "depthwise_conv_transpose_input_grad",
    "depthwise_conv_transpose_weight_grad",
    "pointwise_conv_input_grad",
    "pointwise_conv_weight_grad",
)
_INT64_MAX = 2**63 - 1


def integer(value, name, minimum):
    """Return `value` as a Python int of at least `minimum`; bools, floats and strings are a TypeError."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got the bool {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number > _INT64_MAX:
        raise OverflowError(f"{name} must fit in 64 bits, got {number}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def is_sequence(value):
    """Tell whether `value` is a list of entries (a string and a 0-d array are not)."""
    return isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def integers(value, name, rank, minimum):
    """Return one int per spatial axis from an int or a sequence of `rank` ints."""
    if not is_sequence(value):
        return (integer(value, name, minimum),) * rank
    if len(value) != rank:
        raise ValueError(f"{name} must be an int or have one int per spatial axis ({rank}), got {value!r}")
    return tuple(integer(entry, name, minimum) for entry in value)


def name_of(operation, rank):
    """Return `"depthwise_conv2d_input_grad"` for `("depthwise_conv_input_grad", 2)`."""
    stem, suffix = re.fullmatch(r"(.+?)(_input_grad|_weight_grad|_vjp|)", operation).groups()
    return f"{stem}{rank}d{suffix}"


def split_name(name):
    """Return `("depthwise_conv_input_grad", 2)` for `"depthwise_conv2d_input_grad"`, and so on."""
    match = re.fullmatch(r"(\w+?)([123])d(_\w+)?", name)
    operation = match and match[1] + (match[3] or "")
    if operation not in OPERATIONS:
        raise ValueError(f"unknown function {name!r}: needed depthwise_conv2d, separable_conv1d or such")
    return operation, int(match[2])


def to_arrays(dtype, casting, *values):
    """Bring all inputs to one dtype: `dtype`, or what NumPy promotes them to; None stays None."""
    arrays = [None if value is None else np.asarray(value) for value in values]
    present = [array for array in arrays if array is not None]
    common = np.result_type(*present) if dtype is None else np.dtype(dtype)
    common = common.newbyteorder("=")
    for array in present:
        if not np.can_cast(array.dtype, common, casting):
            raise TypeError(f"cannot cast an input from {array.dtype} to {common} with casting={casting!r}")
    return [None if array is None else array.astype(common) for array in arrays]


def conjugate(array):
    """Return the complex conjugate; NumPy would turn bools into integers."""
    return np.conjugate(array) if array.dtype.kind in "cO" else array


def channels_first(x, rank, data_format, name="x"):
    """Return the feature map `name` as `(..., C, *spatial)`."""
    if not isinstance(data_format, str):
        raise TypeError(f"data_format must be a string, got {data_format!r}")
    if data_format not in DATA_FORMATS:
        raise ValueError(f"data_format must be one of {DATA_FORMATS}, got {data_format!r}")
    if x.ndim < rank + 1:
        needed = f"{rank + 1} axes (channels and {rank} spatial)"
        raise ValueError(f"{name} must have at least {needed}, got {x.shape}")
    return np.moveaxis(x, -1, -rank - 1) if data_format == "channels_last" else x


def finish(y, rank, data_format, dtype, out, casting):
    """Put the channels back where `data_format` says, and write into `out` if there is one."""
    if dtype is not None:
        y = y.astype(dtype, copy=False)
    if data_format == "channels_last":
        y = np.moveaxis(y, -rank - 1, -1)
    if out is None:
        return np.ascontiguousarray(y)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an array, got {type(out).__name__}")
    if out.shape[-rank - 1 :] != y.shape[-rank - 1 :] or out.ndim < y.ndim:
        raise ValueError(f"out must have shape {y.shape}, got {out.shape}")
    np.copyto(out, y, casting=casting)
    return out
