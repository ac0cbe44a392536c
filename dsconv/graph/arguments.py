"""Arguments of the graph functions: features, data types, and where the result goes."""

import numpy as np

_WORKING = {
    np.dtype(np.float16): np.dtype(np.float32),
    **{np.dtype(each): np.dtype(each) for each in (np.float32, np.float64, np.complex64, np.complex128)},
}


def as_array(value, name):
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: cannot be made into an array: {error}") from error


def features(x, operator):
    """x as an array with a row for each node."""
    x = as_array(x, "x")
    if x.ndim < 2 or x.shape[-2] != operator.size:
        raise ValueError(
            f"x: expected shape (..., n, c) with n = {operator.size} nodes as in adjacency, got {x.shape}"
        )
    return x


def data_types(*arrays):
    """The type of the result, and that in which it is computed."""
    common = np.result_type(*[array.dtype for array in arrays if array is not None])
    common = common if common.isnative else common.newbyteorder("=")
    if common in _WORKING and common.char != "g":
        return common, _WORKING[common]
    if common.kind in "bui":
        common = np.dtype(np.float64 if common.kind != "b" and common.itemsize >= 4 else np.float32)
    if common.name == "bfloat16":
        return common, np.dtype(np.float32)
    if common not in _WORKING or common.char == "g":
        raise TypeError(
            f"the inputs' common dtype is {common}, needs to be float16, bfloat16, float32, float64, "
            "complex64, complex128, an integer or bool"
        )
    return common, _WORKING[common]


def flat(x, dtype):
    """(..., n, c) as the kernels take it: (b, n, c), the channels dense."""
    x = x.astype(dtype, copy=False)
    x = x.reshape(_count(x.shape[:-2]), *x.shape[-2:])
    item = x.dtype.itemsize
    dense = x.shape[2] < 2 or x.strides[2] == item
    whole = all(stride % item == 0 for stride in x.strides)
    return x if dense and whole and x.flags.aligned else np.require(x, requirements="CA")


def _count(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def checked_out(out, shape, dtype):
    """The array that a result of that shape and type is to be written to, or None."""
    if isinstance(out, tuple) and len(out) == 1:
        out = out[0]
    if out is None:
        return None
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out: the array is read-only")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"out: cannot hold the result, {dtype} to {out.dtype}")
    return out


def target(out, shape, dtype, work, inputs):
    """Where to compute: `out` itself where its form allows that and it is no input, else a new array."""
    form = _count(shape[:-2]), *shape[-2:]
    if out is not None and out.dtype == dtype == work and out.dtype.isnative:
        apart = not any(np.may_share_memory(out, each) for each in _arrays(inputs))
        if apart and out.flags.c_contiguous and out.flags.aligned:
            return out.reshape(form)
    return np.empty(form, work)


def _arrays(inputs):
    """All arrays that a result could overlap, those of an adjacency, which comes first, among them."""
    adjacency, *others = inputs
    if not isinstance(adjacency, np.ndarray):
        names = "indptr", "indices", "row", "col", "data"
        others += [getattr(adjacency, name, None) for name in names]
    return [each for each in (adjacency, *others) if isinstance(each, np.ndarray)]


def delivered(y, shape, dtype, out):
    """A computed (b, n, c) as the result that was asked for."""
    y = y.reshape(shape).astype(dtype, copy=False)
    if out is None:
        return y
    if not np.may_share_memory(y, out):
        np.copyto(out, y, casting="same_kind")
    return out
