"""The measured workloads as data, with their arithmetic and their memory traffic."""

from dataclasses import dataclass
from math import prod

ITEM_SIZES = {"float32": 4, "float64": 8}


@dataclass(frozen=True)
class Row:
    """One workload; `task` is "forward", "input_grad" or "weight_grad".

    The rows of `training` are not for peers that only do inference.
    """

    name: str
    operation: str
    channels: int
    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    out_channels: int | None = None
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, ...] = ()
    multiplier: int = 1
    dtype: str = "float32"
    batch: int = 1
    task: str = "forward"
    training: bool = False

    @property
    def rank(self):
        return len(self.spatial)

    @property
    def transposed(self):
        return self.operation.endswith("_transpose")

    @property
    def separable(self):
        return self.operation.startswith("separable")

    @property
    def function(self):
        """Name of the function of `dsconv` that does this work."""
        suffix = "" if self.task == "forward" else f"_{self.task}"
        return f"{self.operation}{self.rank}d{suffix}"

    @property
    def hidden_channels(self):
        """Channels of the depthwise result."""
        return self.channels * self.multiplier

    @property
    def result_channels(self):
        return self.out_channels if self.separable else self.hidden_channels

    @property
    def output(self):
        """Spatial size of the forward result."""
        size = transposed_size if self.transposed else forward_size
        axes = zip(self.spatial, self.kernel, self.padding, strict=True)
        return tuple(size(n, k, self.stride, p, self.dilation) for n, k, p in axes)

    @property
    def taps(self):
        """Pairs of an output and a tap that fall inside the input, for one channel."""
        # A transposed convolution visits the pairs of the convolution it transposes.
        inner, outer = (self.output, self.spatial) if self.transposed else (self.spatial, self.output)
        axes = zip(inner, outer, self.kernel, self.padding, strict=True)
        return prod(inside_pairs(n, m, k, self.stride, p, self.dilation) for n, m, k, p in axes)

    @property
    def macs(self):
        """Multiply-adds, padding left out; a gradient has those of its forward pass."""
        total = self.batch * self.hidden_channels * self.taps
        if self.separable:
            total += self.batch * self.hidden_channels * self.out_channels * prod(self.output)
        return total

    @property
    def bytes(self):
        """Compulsory traffic: every operand read once, the result written once."""
        values = self.batch * self.channels * prod(self.spatial)
        values += self.batch * self.result_channels * prod(self.output)
        values += self.hidden_channels * prod(self.kernel)
        if self.separable:
            values += self.hidden_channels * self.out_channels
        return values * ITEM_SIZES[self.dtype]


def forward_size(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def transposed_size(size, kernel, stride, padding, dilation):
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1


def inside_pairs(inner, outer, kernel, stride, padding, dilation):
    """Pairs (position of `outer`, tap) whose place in `inner` exists, along one axis."""
    total = 0
    for tap in range(kernel):
        shift = padding - tap * dilation
        first = max(0, -(-shift // stride))
        last = min(outer - 1, (inner - 1 + shift) // stride)
        total += max(0, last - first + 1)
    return total


def _row(name, operation, channels, spatial, kernel, **options):
    """A row with a square kernel, padded to keep the size at stride 1 unless told otherwise."""
    rank = len(spatial)
    dilation = options.get("dilation", 1)
    padding = options.pop("padding", dilation * (kernel - 1) // 2)
    return Row(name, operation, channels, spatial, (kernel,) * rank, padding=(padding,) * rank, **options)


def _depthwise(name, channels, spatial, kernel, **options):
    return _row(name, "depthwise_conv", channels, spatial, kernel, **options)


def _separable(name, channels, out_channels, spatial, kernel, **options):
    return _row(name, "separable_conv", channels, spatial, kernel, out_channels=out_channels, **options)


def _upsampler(name, operation, channels, spatial, **options):
    return _row(name, operation, channels, spatial, 4, stride=2, padding=1, **options)


FORWARD = (
    _separable("separable 2D 112x112, 32->64, k3", 32, 64, (112, 112), 3),
    _separable("separable 2D 56x56, 128->128, k3", 128, 128, (56, 56), 3),
    _separable("separable 2D 28x28, 256->256, k3", 256, 256, (28, 28), 3),
    _separable("separable 2D 14x14, 512->512, k3", 512, 512, (14, 14), 3),
    _separable("separable 2D 7x7, 1024->1024, k3", 1024, 1024, (7, 7), 3),
    _depthwise("depthwise 2D 112x112x32, k3", 32, (112, 112), 3),
    _depthwise("depthwise 2D 112x112x96, k3, stride 2", 96, (112, 112), 3, stride=2),
    _depthwise("depthwise 2D 14x14x512, k3", 512, (14, 14), 3),
    _depthwise("depthwise 2D 28x28x240, k5", 240, (28, 28), 5),
    _depthwise("depthwise 2D 56x56x96, k7", 96, (56, 56), 7),
    _depthwise("depthwise 2D 56x56x64, k31", 64, (56, 56), 31),
    _separable("atrous separable 2D 65x65, 256->256, k3, rate 6", 256, 256, (65, 65), 3, dilation=6),
    _depthwise("atrous depthwise 2D 65x65x256, k3, rate 12", 256, (65, 65), 3, dilation=12),
    _upsampler(
        "transposed separable 2D 32x32, 64->64, k4, stride 2",
        "separable_conv_transpose",
        64,
        (32, 32),
        out_channels=64,
    ),
    _upsampler("transposed depthwise 2D 64x64x64, k4, stride 2", "depthwise_conv_transpose", 64, (64, 64)),
    _depthwise("depthwise 1D 40 bands x 98 frames, k9", 40, (98,), 9),
    _separable("separable 1D 64 x 16000, 64->64, k9", 64, 64, (16000,), 9),
    _depthwise("depthwise 1D 512 x 1000, k31", 512, (1000,), 31),
    _depthwise("depthwise 3D 64 x 16x56x56, k3", 64, (16, 56, 56), 3),
    _separable("separable 3D 32->64, 16x56x56, k3", 32, 64, (16, 56, 56), 3),
    _upsampler(
        "transposed depthwise 3D 32 x 8x28x28, k4, stride 2", "depthwise_conv_transpose", 32, (8, 28, 28)
    ),
    _separable("float64 separable 2D 28x28, 256->256, k3", 256, 256, (28, 28), 3, dtype="float64"),
    _depthwise("float64 depthwise 2D 112x112x32, k3", 32, (112, 112), 3, dtype="float64"),
    _depthwise("float64 depthwise 3D 32 x 16x56x56, k3", 32, (16, 56, 56), 3, dtype="float64"),
)

TASKS = {"forward": "forward", "input_grad": "input gradient", "weight_grad": "weight gradient"}


def _training(name, *arguments, **options):
    return tuple(
        _depthwise(f"training {name}: {words}", *arguments, task=task, training=True, **options)
        for task, words in TASKS.items()
    )


TRAINING = (
    *_training("2D 8x128x56x56, k3", 128, (56, 56), 3, batch=8),
    *_training("2D 8x512x14x14, k5", 512, (14, 14), 5, batch=8),
    *_training("1D 8x256x1000, k15", 256, (1000,), 15, batch=8),
    *_training("3D 2x32x8x28x28, k3", 32, (8, 28, 28), 3, batch=2),
    *_training("float64 2D 4x64x28x28, k3", 64, (28, 28), 3, batch=4, dtype="float64"),
    *_training("2D 2x256x33x33, k3, rate 6", 256, (33, 33), 3, batch=2, dilation=6),
)

TINY = (_depthwise("tiny depthwise 2D 8x8x8, k3", 8, (8, 8), 3),)

SUITES = {"forward": FORWARD, "training": TRAINING, "tiny": TINY, "all": FORWARD + TRAINING + TINY}
