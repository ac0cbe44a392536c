"""What a workload is: its sizes, its arithmetic, its memory traffic, its name."""

from dataclasses import dataclass, replace
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
    family: str = ""

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


def describe(row):
    """The name of a row that has none."""
    kind = "separable" if row.separable else "depthwise"
    words = [f"{kind} {row.rank}D {'x'.join(map(str, row.spatial))}, {row.channels}"]
    words[0] += f"->{row.out_channels}" if row.separable else " ch"
    words.append("k" + ("x".join(map(str, row.kernel)) if len(set(row.kernel)) > 1 else f"{row.kernel[0]}"))
    for word, value in ("stride", row.stride), ("rate", row.dilation), ("multiplier", row.multiplier):
        words += [f"{word} {value}"] if value > 1 else []
    words += [f"batch {row.batch}"] if row.batch > 1 else []
    before = ("float64 " if row.dtype == "float64" else "") + ("transposed " if row.transposed else "")
    return before + ", ".join(words)


def make_row(name, operation, channels, spatial, kernel, **options):
    """A row; `kernel` and `padding` are for every axis unless they are tuples.

    Padding keeps the size at stride 1 unless told otherwise; without a name, it is described.
    """
    rank = len(spatial)
    kernel = kernel if isinstance(kernel, tuple) else (kernel,) * rank
    same = tuple(options.get("dilation", 1) * (k - 1) // 2 for k in kernel)
    padding = options.pop("padding", same)
    padding = padding if isinstance(padding, tuple) else (padding,) * rank
    row = Row(name, operation, channels, spatial, kernel, padding=padding, **options)
    return row if name else replace(row, name=describe(row))


def depthwise(name, channels, spatial, kernel, **options):
    return make_row(name, "depthwise_conv", channels, spatial, kernel, **options)


def separable(name, channels, out_channels, spatial, kernel, **options):
    return make_row(name, "separable_conv", channels, spatial, kernel, out_channels=out_channels, **options)


def transposed(name, channels, spatial, kernel, stride, padding, **options):
    """Separable where it has `out_channels`."""
    operation = "separable_conv_transpose" if "out_channels" in options else "depthwise_conv_transpose"
    return make_row(name, operation, channels, spatial, kernel, stride=stride, padding=padding, **options)
