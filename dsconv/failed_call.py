"""A call that a ufunc has refused, as the checks of `diagnosis` see it."""

from numpy import asarray
from numpy import dtype as as_dtype

from .gufuncs import OPERATIONS

_SPATIAL = ("d", "h", "w")
_KERNEL = ("t", "i", "j")
_OUTPUT = ("r", "p", "q")


class FailedCall:
    """A failed call, with what the checks ask of it."""

    def __init__(self, spec, operands, inputs, out, dtype, casting):
        self.spec = spec
        self.rank = spec.rank
        self.result = OPERATIONS[spec.operation].result
        self.transposed = "_transpose" in spec.operation
        self.pointwise = spec.operation.startswith("pointwise")
        self.names = [operand.argument for operand in operands]
        self.roles = [operand.role for operand in operands]
        # other libraries' arrays have data types of their own, and know how to become NumPy's
        self.arrays = [
            value if isinstance(getattr(value, "dtype", None), as_dtype) else asarray(value)
            for value in inputs
        ]
        self.out = out[0] if isinstance(out, tuple) and len(out) == 1 else out
        self.dtype = dtype
        self.casting = casting

    def operands(self):
        return zip(self.names, self.roles, self.arrays, strict=True)

    def named(self, role):
        """(argument, array), or (None, None) if the operation has no such operand."""
        return next(((name, array) for name, each, array in self.operands() if each == role), (None, None))

    def array(self, role):
        return self.named(role)[1]

    def core(self, role):
        return len(self.axes(role))

    def axes(self, role):
        """The names of the core axes, for messages."""
        output = _SPATIAL if self.pointwise else _OUTPUT
        return {
            "x": self.ordered("C", _SPATIAL[-self.rank :]),
            "grad_output": self.ordered("O" if self.pointwise else "C*M", output[-self.rank :]),
            "depthwise_weight": ("C", "M", *_KERNEL[-self.rank :]),
            "pointwise_weight": ("O", "C*M" if "depthwise_weight" in self.roles else "C"),
            "depthwise_bias": ("C*M",),
            "pointwise_bias": ("O",),
        }[role]

    def ordered(self, channels, spatial):
        """The core axes of a feature map in the order of the data format."""
        return (*spatial, channels) if self.spec.channels_last else (channels, *spatial)

    def channels_of(self, role):
        array = self.array(role)
        return None if array is None else array.shape[-1 if self.spec.channels_last else -self.rank - 1]

    def spatial_of(self, role):
        shape = self.array(role).shape
        return shape[-self.rank - 1 : -1] if self.spec.channels_last else shape[-self.rank :]

    def channels(self):
        """(C, C*M, O): input channels, those after the depthwise stage, those of the result's map."""
        depthwise, pointwise = self.array("depthwise_weight"), self.array("pointwise_weight")
        channels, last = self.channels_of("x"), self.channels_of("grad_output")
        if channels is None:
            channels = pointwise.shape[-1] if depthwise is None else depthwise.shape[-self.rank - 2]
        middle = channels if depthwise is None else channels * depthwise.shape[-self.rank - 1]
        if last is None or depthwise is not None:
            last = middle
        return channels, middle, last if pointwise is None else pointwise.shape[-2]

    def window(self):
        """(input, kernel, stride, dilation), each with one value per spatial axis."""
        spec = self.spec
        weight = self.array("depthwise_weight")
        sizes = spec.sizes if self.array("x") is None else self.spatial_of("x")
        kernel = spec.sizes if weight is None else weight.shape[-self.rank :]
        return sizes, kernel, spec.stride, spec.dilation

    def padding(self):
        return self.spec.padding, self.spec.low, self.spec.high


def text(axes):
    """A shape, numbers or names, as a tuple is written."""
    return f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"
