"""dsconv as a contender, from plain NumPy arrays in either layout."""

import numpy as np

from .arrays import Contender, Unsupported, channels_first, channels_last

try:
    import dsconv
except ImportError as error:
    dsconv = None
    IMPORT_ERROR = f"dsconv does not import: {error}"
else:
    IMPORT_ERROR = None

LAYOUTS = ("channels_first", "channels_last")


def missing(row):
    """Why dsconv cannot run a row, or None."""
    if IMPORT_ERROR:
        return IMPORT_ERROR
    if not hasattr(dsconv, row.function):
        return f"dsconv has no {row.function}"
    return None


def prepare(row, arrays, threads, layout, allocate=False):
    """One layout of dsconv; the result array is reused unless `allocate`."""
    reason = missing(row)
    if reason:
        raise Unsupported(reason)
    dsconv.set_num_threads(threads)
    last = layout == "channels_last"
    arguments = _arguments(row, arrays, last)
    keywords = dict(stride=row.stride, padding=row.padding, dilation=row.dilation, data_format=layout)
    function = getattr(dsconv, row.function)
    if row.task == "forward" and not allocate:
        shape = (*row.output, row.result_channels) if last else (row.result_channels, *row.output)
        keywords["out"] = np.empty((row.batch, *shape), row.dtype)

    def call():
        function(*arguments, **keywords)

    def result():
        value = function(*arguments, **keywords)
        # A weight gradient has no layout.
        return channels_first(value) if last and row.task != "weight_grad" else value

    return Contender(f"dsconv {layout}", call, result)


def _arguments(row, arrays, last):
    place = channels_last if last else np.ascontiguousarray
    if row.task == "input_grad":
        return place(arrays.grad), arrays.depthwise, row.spatial
    if row.task == "weight_grad":
        return place(arrays.x), place(arrays.grad), row.kernel
    weights = (arrays.depthwise, arrays.pointwise) if row.separable else (arrays.depthwise,)
    return place(arrays.x), *weights


def version():
    """Of the code that runs, whether installed or built in place."""
    return getattr(dsconv, "__version__", None)


def kernel_set():
    return dsconv.isa() if hasattr(dsconv, "isa") else None
