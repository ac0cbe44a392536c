"""The table of cases that the console command runs, on arrays cut from a photo.

A new case is one row of `CASES`; a new family of operations is one row of `FAMILIES` too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .gufuncs import public_name
from .images import luminance
from .sizes import conv_output_size, conv_transpose_output_size

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
    """One operation on one array; `kernel` is the size along every axis, `keywords` go to the function.

    With a `chunk` the array goes through `Stream1d`, so many samples at a time.
    """

    operation: str
    rank: int
    source: Callable
    kernel: int = 1
    multiplier: int = 1
    outputs: int = 0
    bias: bool = False
    dtype: str = "float32"
    chunk: int = 0
    keywords: dict = field(default_factory=dict)

    @property
    def function(self):
        return public_name(self.operation, self.rank)

    @property
    def label(self):
        return "Stream1d" if self.chunk else self.function

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
        words += [f"chunks of {self.chunk}"] if self.chunk else []
        for name, value in self.keywords.items():
            if name != "data_format" and value != "same":
                words.append(f"{name} {value}" if isinstance(value, int) else value)
        return " ".join(words)


def depthwise_operands(case, shape, draw):
    hidden = shape[0] * case.multiplier
    weight = draw(shape[0], case.multiplier, *[case.kernel] * case.rank, terms=case.taps)
    return [weight, *([draw(hidden)] if case.bias else [])]


def pointwise_operands(case, shape, draw):
    return [draw(case.outputs, shape[0], terms=shape[0]), *([draw(case.outputs)] if case.bias else [])]


def separable_operands(case, shape, draw):
    hidden = shape[0] * case.multiplier
    depthwise, *depthwise_bias = depthwise_operands(case, shape, draw)
    pointwise, *pointwise_bias = pointwise_operands(case, (hidden,), draw)
    return [depthwise, pointwise, *depthwise_bias, *pointwise_bias]


def input_grad_operands(case, shape, draw):
    """Arguments after grad_output, which the photo is here."""
    stride = case.keywords.get("stride", 1)
    sizes = [size // stride if "_transpose" in case.operation else size * stride for size in shape[1:]]
    weight = draw(shape[0] // case.multiplier, case.multiplier, *[case.kernel] * case.rank, terms=case.taps)
    return [weight, tuple(sizes)]


def weight_grad_operands(case, shape, draw):
    size = conv_transpose_output_size if "_transpose" in case.operation else conv_output_size
    window = {
        name: case.keywords[name] for name in ("stride", "dilation", "padding") if name in case.keywords
    }
    return [draw(shape[0] * case.multiplier, *size(shape[1:], case.kernel, **window)), case.kernel]


def pointwise_input_grad_operands(case, shape, draw):
    return [draw(shape[0], case.outputs, terms=shape[0])]


def pointwise_weight_grad_operands(case, shape, draw):
    return [draw(case.outputs, *shape[1:])]


def depthwise_macs(case, channels, pixels, all_pixels):
    hidden = channels * case.multiplier
    return hidden * case.taps * pixels, channels * hidden * case.taps * pixels


def input_grad_macs(case, channels, pixels, all_pixels):
    return depthwise_macs(case, channels // case.multiplier, pixels, all_pixels)


def pointwise_macs(case, channels, pixels, all_pixels):
    return (channels * case.outputs * pixels,) * 2


def separable_macs(case, channels, pixels, all_pixels):
    hidden = channels * case.multiplier
    mixed = all_pixels if "_transpose" in case.operation else pixels
    return (
        hidden * (case.taps * pixels + case.outputs * mixed),
        channels * case.outputs * case.taps * pixels,
    )


@dataclass(frozen=True)
class Family:
    """What rows of one operation have in common.

    `operands(case, shape, draw)` makes the arguments after the first, whose shape with channels first is
    given. `macs(case, channels, pixels, all_pixels)` counts multiply-adds, all taps, padding too: the
    operation's own, and those of the standard convolution that it stands for. `channels` are those of the
    first argument, `pixels` and `all_pixels` those of the smaller and of the larger feature map.
    """

    operands: Callable
    macs: Callable


FAMILIES = {
    "depthwise_conv": Family(depthwise_operands, depthwise_macs),
    "pointwise_conv": Family(pointwise_operands, pointwise_macs),
    "separable_conv": Family(separable_operands, separable_macs),
    "depthwise_conv_transpose": Family(depthwise_operands, depthwise_macs),
    "separable_conv_transpose": Family(separable_operands, separable_macs),
    "depthwise_conv_input_grad": Family(input_grad_operands, input_grad_macs),
    "depthwise_conv_weight_grad": Family(weight_grad_operands, depthwise_macs),
    "depthwise_conv_transpose_input_grad": Family(input_grad_operands, input_grad_macs),
    "depthwise_conv_transpose_weight_grad": Family(weight_grad_operands, depthwise_macs),
    "pointwise_conv_input_grad": Family(pointwise_input_grad_operands, pointwise_macs),
    "pointwise_conv_weight_grad": Family(pointwise_weight_grad_operands, pointwise_macs),
}


# ---- the cases -----------------------------------------------------------------------------------
def _case(
    operation, source, kernel=1, multiplier=1, outputs=0, bias=False, dtype="float32", chunk=0, **words
):
    if "pointwise" not in operation and not chunk:
        words = {"padding": "same", **words}
    rank = {signal: 1, volume: 3}.get(source, 2)
    return Case(operation, rank, source, kernel, multiplier, outputs, bias, dtype, chunk, words)


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
    _case("depthwise_conv", features, 3, 2, bias=True, dtype="float16", activation="silu"),
    _case("separable_conv", features, 3, outputs=96, dtype="float16", **LAST),
    _case("depthwise_conv", signal, 9, dtype="complex64"),
    _case("separable_conv", features, 3, outputs=32, bias=True, dtype="complex128"),
    _case("depthwise_conv", signal, 9, bias=True, chunk=100, stride=2, activation="relu"),
    _case("separable_conv", signal, 3, outputs=64, chunk=100, dilation=8, activation="silu"),
    _case("depthwise_conv_transpose", signal, 4, 2, stride=2, bias=True, activation="relu"),
    _case("depthwise_conv_transpose", features, 4, stride=2),
    _case("depthwise_conv_transpose", features, 3, stride=2, dtype="float16", **LAST),
    _case("depthwise_conv_transpose", volume, 3, dilation=2, dtype="float64"),
    _case("separable_conv_transpose", signal, 4, outputs=32, stride=2),
    _case("separable_conv_transpose", features, 4, outputs=48, stride=2, activation="relu6"),
    _case("separable_conv_transpose", features, 3, outputs=48, dtype="complex64", **LAST),
    _case("separable_conv_transpose", volume, 3, outputs=16),
    _case("depthwise_conv_input_grad", signal, 9, stride=2),
    _case("depthwise_conv_input_grad", features, 5, 2, padding_mode="reflect"),
    _case("depthwise_conv_input_grad", volume, 3, **LAST),
    _case("depthwise_conv_weight_grad", signal, 9, 2, dilation=4),
    _case("depthwise_conv_weight_grad", features, 3, stride=2, dtype="complex64"),
    _case("depthwise_conv_weight_grad", volume, 3, **LAST),
    _case("depthwise_conv_transpose_input_grad", signal, 4, stride=2),
    _case("depthwise_conv_transpose_input_grad", features, 4, 2, stride=2, **LAST),
    _case("depthwise_conv_transpose_input_grad", volume, 3),
    _case("depthwise_conv_transpose_weight_grad", signal, 4, 2, stride=2),
    _case("depthwise_conv_transpose_weight_grad", features, 3, stride=2),
    _case("depthwise_conv_transpose_weight_grad", volume, 3, dtype="float64"),
    _case("pointwise_conv_input_grad", signal, outputs=96),
    _case("pointwise_conv_input_grad", features, outputs=96, dtype="float64", **LAST),
    _case("pointwise_conv_input_grad", volume, outputs=32),
    _case("pointwise_conv_weight_grad", signal, outputs=96, dtype="float64"),
    _case("pointwise_conv_weight_grad", features, outputs=96),
    _case("pointwise_conv_weight_grad", volume, outputs=32, **LAST),
]
