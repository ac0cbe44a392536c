"""What the console command runs: a table of operations on arrays cut from a photo, each one checked.

A new case is one row of `CASES`; a new family of operations is one row of `FAMILIES` too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from . import functional, reference
from .images import luminance
from .reference.bounds import expected_and_bound
from .runtime import isa

SIDE_LEAST, SIDE_MOST = 96, 192
SIGNAL_CHANNELS = 64
DEPTH, SHIFT = 8, 2
BLOCK = 4


# ---- what is cut from the photo ------------------------------------------------------------------
def cut(picture):
    """The middle of a picture, at most 192 pixels a side; a smaller one is mirrored up to 96."""
    for axis in 0, 1:
        size = picture.shape[axis]
        start = max((size - SIDE_MOST) // 2, 0)
        picture = np.take(picture, range(start, min(start + SIDE_MOST, size)), axis)
    missing = [(0, max(SIDE_LEAST - size, 0)) for size in picture.shape[:2]]
    return np.pad(picture, (*missing, (0, 0)), mode="symmetric")


def image(picture):
    """Three channels: (3, h, w), from 0 to 1."""
    return np.moveaxis(picture, -1, 0) / 255


def signal(picture):
    """The scan lines of the luminance, end to end and then dealt out to 64 channels."""
    line = (luminance(picture) / 255).ravel()
    return line[: line.size // SIGNAL_CHANNELS * SIGNAL_CHANNELS].reshape(SIGNAL_CHANNELS, -1)


def features(picture):
    """48 channels: every block of 4 x 4 pixels becomes one pixel."""
    x = image(picture)
    height, width = (size // BLOCK for size in x.shape[1:])
    x = x[:, : height * BLOCK, : width * BLOCK].reshape(3, height, BLOCK, width, BLOCK)
    return x.transpose(0, 2, 4, 1, 3).reshape(-1, height, width)


def volume(picture):
    """Overlapping crops of the features, each shifted by 2 pixels, stacked as depth."""
    x = features(picture)
    height, width = (size - SHIFT * (DEPTH - 1) for size in x.shape[1:])
    crops = [x[:, SHIFT * i : SHIFT * i + height, SHIFT * i : SHIFT * i + width] for i in range(DEPTH)]
    return np.stack(crops, axis=1)


# ---- families of operations ----------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """One operation on one array; `kernel` is the size along every axis, `keywords` go to the function."""

    operation: str
    rank: int
    source: Callable
    kernel: int = 1
    multiplier: int = 1
    outputs: int = 0
    bias: bool = False
    dtype: str = "float32"
    keywords: dict = field(default_factory=dict)

    @property
    def function(self):
        return f"{self.operation}{self.rank}d"

    @property
    def taps(self):
        return self.kernel**self.rank

    @property
    def data_format(self):
        return self.keywords.get("data_format", "channels_first")

    @property
    def details(self):
        """The case in words: kernel, channels, and keywords that are not what most cases have."""
        words = [f"k{self.kernel}"] if self.kernel > 1 else []
        words += [f"x{self.multiplier}"] if self.multiplier > 1 else []
        words += [f"to {self.outputs}"] if self.outputs else []
        words += ["bias"] if self.bias else []
        for name, value in self.keywords.items():
            if name != "data_format" and value != "same":
                words.append(f"{name} {value}" if isinstance(value, int) else value)
        return " ".join(words)


def depthwise_operands(case, channels, draw):
    hidden = channels * case.multiplier
    weight = draw(channels, case.multiplier, *[case.kernel] * case.rank, terms=case.taps)
    return [weight, *([draw(hidden)] if case.bias else [])]


def pointwise_operands(case, channels, draw):
    return [draw(case.outputs, channels, terms=channels), *([draw(case.outputs)] if case.bias else [])]


def separable_operands(case, channels, draw):
    hidden = channels * case.multiplier
    depthwise, *depthwise_bias = depthwise_operands(case, channels, draw)
    pointwise, *pointwise_bias = pointwise_operands(case, hidden, draw)
    return [depthwise, pointwise, *depthwise_bias, *pointwise_bias]


def depthwise_macs(case, channels, pixels):
    hidden = channels * case.multiplier
    return hidden * case.taps * pixels, channels * hidden * case.taps * pixels


def pointwise_macs(case, channels, pixels):
    return (channels * case.outputs * pixels,) * 2


def separable_macs(case, channels, pixels):
    hidden = channels * case.multiplier
    return hidden * (case.taps + case.outputs) * pixels, channels * case.outputs * case.taps * pixels


@dataclass(frozen=True)
class Family:
    """What rows of one operation have in common.

    `operands(case, channels, draw)` makes the arguments after x. `macs(case, channels, pixels)` counts
    multiply-adds for so many pixels of the result, all taps, padding too: the operation's own, and those of
    the standard convolution that it stands for.
    """

    operands: Callable
    macs: Callable


FAMILIES = {
    "depthwise_conv": Family(depthwise_operands, depthwise_macs),
    "pointwise_conv": Family(pointwise_operands, pointwise_macs),
    "separable_conv": Family(separable_operands, separable_macs),
}


# ---- the cases -----------------------------------------------------------------------------------
def _case(operation, source, kernel=1, multiplier=1, outputs=0, bias=False, dtype="float32", **keywords):
    if FAMILIES[operation] is not FAMILIES["pointwise_conv"]:
        keywords = {"padding": "same", **keywords}
    rank = {signal: 1, volume: 3}.get(source, 2)
    return Case(operation, rank, source, kernel, multiplier, outputs, bias, dtype, keywords)


LAST = {"data_format": "channels_last"}

CASES = [
    _case("depthwise_conv", signal, 9),
    _case("depthwise_conv", signal, 31, padding_mode="circular"),
    _case("depthwise_conv", signal, 5, bias=True, dtype="float64", stride=2, activation="tanh"),
    _case("pointwise_conv", signal, outputs=96),
    _case("pointwise_conv", signal, outputs=32, bias=True, dtype="float64", activation="gelu", **LAST),
    _case("separable_conv", signal, 9, outputs=64),
    _case("separable_conv", signal, 3, outputs=64, padding="causal", dilation=8, activation="silu"),
    _case("separable_conv", signal, 5, outputs=64, bias=True, stride=2, activation="relu", **LAST),
    _case("depthwise_conv", image, 3, 8),
    _case("depthwise_conv", image, 7, dtype="float64", padding_mode="reflect"),
    _case("depthwise_conv", features, 5, bias=True, stride=2, activation="hardswish"),
    _case("depthwise_conv", features, 3, dilation=6),
    _case("depthwise_conv", features, 3, bias=True, activation="relu6", **LAST),
    _case("pointwise_conv", features, outputs=96),
    _case("pointwise_conv", features, outputs=96, bias=True, activation="sigmoid", **LAST),
    _case("separable_conv", image, 3, 8, 16, bias=True, depthwise_activation="relu"),
    _case("separable_conv", features, 3, outputs=96),
    _case("separable_conv", features, 3, outputs=96, bias=True, stride=2, activation="relu6", **LAST),
    _case("separable_conv", features, 3, outputs=96, dilation=2, padding_mode="replicate"),
    _case("separable_conv", features, 3, outputs=96, dtype="float64"),
    _case("depthwise_conv", volume, 3),
    _case("depthwise_conv", volume, 3, dtype="float64", dilation=2),
    _case("pointwise_conv", volume, outputs=64),
    _case("separable_conv", volume, 3, outputs=64),
    _case("separable_conv", volume, 3, outputs=64, bias=True, stride=2, activation="hardsigmoid", **LAST),
]


# ---- one run -------------------------------------------------------------------------------------
def run(case, picture):
    """Run a case on a picture, check it, time it; return one line of the table as a dict."""
    x, operands = arrays(case, picture)
    call = getattr(functional, case.function)
    y = call(x, *operands, **case.keywords)
    seconds = fastest(lambda: call(x, *operands, **case.keywords))
    began = time.perf_counter()
    getattr(reference, case.function)(x, *operands, **case.keywords)
    reference_seconds = time.perf_counter() - began
    macs, standard_macs = multiply_adds(case, x, y)
    return {
        "operation": case.function,
        "details": case.details,
        "shape": list(x.shape),
        "result_shape": list(y.shape),
        "data_format": case.data_format,
        "dtype": case.dtype,
        "kernel_set": isa(),
        "error_of_bound": worst_error(y, case.function, x, *operands, **case.keywords),
        "macs": macs,
        "standard_macs": standard_macs,
        "seconds": seconds,
        "gmacs_per_second": macs / seconds / 1e9,
        "reference_seconds": reference_seconds,
    }


def arrays(case, picture):
    """The input of a case, and its weights and biases: random, but the same in every run."""
    rng = np.random.default_rng([case.rank, case.kernel, case.outputs])

    def draw(*shape, terms=1):
        return (rng.standard_normal(shape) / np.sqrt(terms)).astype(case.dtype)

    x = case.source(cut(picture))
    operands = FAMILIES[case.operation].operands(case, x.shape[0], draw)
    if case.data_format == "channels_last":
        x = np.moveaxis(x, 0, -1)
    return np.ascontiguousarray(x, case.dtype), operands


def multiply_adds(case, x, y):
    axis = -1 if case.data_format == "channels_last" else 0
    pixels = prod(y.shape) // y.shape[axis]
    return FAMILIES[case.operation].macs(case, x.shape[axis], pixels)


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
