"""What the console command does: it runs the cases on a photo, checks each, and draws the photo in ink."""

import time
from math import prod

import numpy as np

from . import functional, reference
from .demonstration_cases import CASES, FAMILIES, cut
from .reference.bounds import expected_and_bound
from .runtime import isa
from .streaming import Stream1d


def run_all(picture):
    """Run the cases one by one; yield a line of the table for each."""
    for case in CASES:
        yield run(case, picture)


# ---- one run -------------------------------------------------------------------------------------
def run(case, picture):
    """Run a case on a picture, check it, time it; return one line of the table as a dict."""
    x, operands = arrays(case, picture)
    call = caller(case)
    y = call(x, *operands)
    seconds = fastest(lambda: call(x, *operands))
    keywords = {**case.keywords, "padding": "causal"} if case.chunk else case.keywords
    began = time.perf_counter()
    getattr(reference, case.function)(x, *operands, **keywords)
    reference_seconds = time.perf_counter() - began
    error = worst_error(y, case.function, x, *operands, **keywords)
    if case.chunk and not np.array_equal(y, getattr(functional, case.function)(x, *operands, **keywords)):
        error = np.inf  # the chunks must leave no trace at all
    other = operands[0] if case.operation.endswith("weight_grad") else y
    macs, standard_macs = multiply_adds(case, x, other)
    return {
        "operation": case.label,
        "details": case.details,
        "shape": list(x.shape),
        "result_shape": list(y.shape),
        "data_format": case.data_format,
        "dtype": case.dtype,
        "kernel_set": isa(),
        "error_of_bound": error,
        "macs": macs,
        "standard_macs": standard_macs,
        "seconds": seconds,
        "gmacs_per_second": macs / seconds / 1e9,
        "reference_seconds": reference_seconds,
    }


def arrays(case, picture):
    """The first argument of a case, and the others: random, but the same in every run."""
    rng = np.random.default_rng([case.rank, case.kernel, case.outputs])

    def draw(*shape, terms=1):
        values = rng.standard_normal(shape) / np.sqrt(terms)
        if case.dtype.startswith("complex"):
            values = values + 1j * rng.standard_normal(shape) / np.sqrt(terms)
        return values.astype(case.dtype)

    x = case.source(cut(picture))
    operands = FAMILIES[case.operation].operands(case, x.shape, draw)
    if case.dtype.startswith("complex"):
        # on a carrier wave, as radio signals are
        x = x * np.exp(0.25j * np.pi * np.arange(x.shape[-1]))
    if case.data_format == "channels_last":
        x = np.moveaxis(x, 0, -1)
        if case.operation.endswith("weight_grad"):
            operands[0] = np.moveaxis(operands[0], 0, -1).copy()
    return np.ascontiguousarray(x, case.dtype), operands


def caller(case):
    """The function of a case with its keywords, or the same chunk by chunk."""
    function = getattr(functional, case.function)
    if not case.chunk:
        return lambda *arguments: function(*arguments, **case.keywords)

    def stream(x, depthwise, *rest):
        if case.operation == "depthwise_conv":
            rest = None, *rest
        convolve = Stream1d(depthwise, *rest, **case.keywords)
        starts = range(0, x.shape[-1], case.chunk)
        return np.concatenate([convolve(x[:, start : start + case.chunk]) for start in starts], axis=-1)

    return stream


def multiply_adds(case, x, other):
    """Those of an operation between two feature maps."""
    axis = -1 if case.data_format == "channels_last" else 0
    pixels = sorted(prod(each.shape) // each.shape[axis] for each in (x, other))
    return FAMILIES[case.operation].macs(case, x.shape[axis], *pixels)


def worst_error(y, name, *args, **kwargs):
    """The largest error as a fraction of its bound; infinite for a wrong shape or dtype, or for a NaN."""
    expected, bound = expected_and_bound(name, *args, **kwargs)
    if y.shape != expected.shape or y.dtype != args[0].dtype:
        return np.inf
    worst = float(np.max(np.abs(y - expected) / bound, initial=0))
    return np.inf if np.isnan(worst) else worst


def fastest(call, least=0.02, rounds=5):
    """The shortest time of a call, in seconds, from at least `rounds` calls and `least` seconds."""
    best, end = np.inf, time.perf_counter() + least
    while rounds > 0 or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
        rounds -= 1
    return best


# ---- the filtered picture ------------------------------------------------------------------------
def _kernels():
    """A blur and the slopes to the four sides."""
    blur = np.outer([1, 2, 1], [1, 2, 1]) / 16
    slope = np.outer([1, 2, 1], [-1, 0, 1]) / 4
    return np.stack([blur, slope, -slope, slope.T, -slope.T]).astype(np.float32)


# luminance to sepia; from what the slopes add up to, in all three colours alike, comes the ink
SEPIA = np.array([[0.39, 0.77, 0.19], [0.35, 0.69, 0.17], [0.27, 0.53, 0.13]])
INK = -0.45
PAPER = 24


def ink(picture):
    """A picture as an ink drawing on sepia paper, and the worst error as a fraction of its bound.

    One separable convolution: for each colour a blur and four slopes, of which relu keeps what rises; then
    the colour mix. Of a picture beyond 512 x 512, four bands are compared with the reference.
    """
    depthwise = np.broadcast_to(_kernels(), (3, 5, 3, 3))
    pointwise = np.empty((3, 3, 5), np.float32)
    pointwise[..., 0], pointwise[..., 1:] = SEPIA, INK
    operands = depthwise, pointwise.reshape(3, 15), None, np.full(3, PAPER, np.float32)
    x = np.moveaxis(picture, -1, 0).astype(np.float32)
    y = functional.separable_conv2d(
        x, *operands, padding=1, padding_mode="replicate", depthwise_activation="relu"
    )
    worst = _worst_in_bands(y, np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge"), operands)
    return np.clip(np.rint(np.moveaxis(y, 0, -1)), 0, 255).astype(np.uint8), worst


def _worst_in_bands(y, padded, operands, pixels=65536, most=4):
    """Compare bands of rows, all of a small picture: of a large one that would take minutes."""
    height, width = y.shape[1:]
    rows = min(max(pixels // width, 1), height)
    count = min(-(-height // rows), most)
    tops = np.linspace(0, height - rows, count).astype(int)
    return max(_band_error(y, padded, operands, slice(top, top + rows)) for top in tops)


def _band_error(y, padded, operands, band):
    x = padded[:, band.start : band.stop + 2]
    return worst_error(y[:, band], "separable_conv2d", x, *operands, depthwise_activation="relu")
