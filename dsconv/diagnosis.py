"""Why a ufunc refused its arguments, in words that name them. Imported only when a call has failed.

The core-dimension hook of the ufunc explains itself what depends on the operands' sizes alone. What NumPy
finds before or after the hook (an operand with too few axes, two that disagree, an unsuitable `out`) NumPy
reports in terms of operand numbers; here that is found again and said in terms of the function's arguments.
"""

from numpy import asarray, can_cast, ndarray, result_type
from numpy import dtype as as_dtype

from .geometry import output_sizes

FLOATS = ("float32", "float64")
CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe", "same_value")

_SPATIAL = ("d", "h", "w")
_KERNEL = ("t", "i", "j")


class _Call:
    """A failed call, with what the checks ask of it."""

    def __init__(self, spec, operands, inputs, out, dtype, casting):
        self.spec = spec
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

    def core(self, role):
        return len(self.axes(role))

    def axes(self, role):
        """The names of the core axes, for messages."""
        rank = self.spec.rank
        spatial = _SPATIAL[-rank:]
        return {
            "x": (*spatial, "C") if self.spec.channels_last else ("C", *spatial),
            "depthwise_weight": ("C", "M", *_KERNEL[-rank:]),
            "pointwise_weight": ("O", "C*M" if "depthwise_weight" in self.roles else "C"),
            "depthwise_bias": ("C*M",),
            "pointwise_bias": ("O",),
        }[role]

    def channels(self):
        """(C, C*M, O): input channels, those after the depthwise stage, those of the result."""
        channels = self.arrays[0].shape[-1 if self.spec.channels_last else -self.spec.rank - 1]
        _, depthwise = self.named("depthwise_weight")
        middle = channels if depthwise is None else channels * depthwise.shape[-self.spec.rank - 1]
        _, pointwise = self.named("pointwise_weight")
        return channels, middle, middle if pointwise is None else pointwise.shape[-2]


def explain(spec, operands, inputs, out, dtype, casting):
    """The exception to raise instead of NumPy's, or None if nothing here explains it."""
    call = _Call(spec, operands, inputs, out, dtype, casting)
    for check in (_casting, _input_types, _dtype, _axes, _channels, _biases, _leading, _casts, _out):
        error = check(call)
        if error is not None:
            return error
    return None


# ---- data types ----------------------------------------------------------------------------------
def _casting(call):
    if not isinstance(call.casting, str):
        return TypeError(f"casting: expected a string, got {call.casting!r}")
    if call.casting not in CASTINGS:
        return ValueError(f"casting: expected one of {', '.join(CASTINGS)}, got {call.casting!r}")
    return None


def _input_types(call):
    for name, _, array in call.operands():
        if array.dtype.kind not in "biu" and array.dtype.name not in FLOATS:
            return TypeError(f"{name}: expected float32, float64, an integer type or bool, got {array.dtype}")
    return None


def _dtype(call):
    if call.dtype is None:
        return None
    try:
        known = as_dtype(call.dtype).name in FLOATS
    except TypeError:
        known = False
    return None if known else TypeError(f"dtype: expected {' or '.join(FLOATS)}, got {call.dtype!r}")


def _computed_in(call):
    """The type the loop runs in: `dtype`, or what all the inputs promote to."""
    if call.dtype is not None:
        return as_dtype(call.dtype)
    common = result_type(*[array.dtype for array in call.arrays])
    if common.kind == "f":
        return common
    return as_dtype("float32" if common.itemsize <= 2 else "float64")


def _casts(call):
    target = _computed_in(call)
    for name, _, array in call.operands():
        if not can_cast(array.dtype, target, call.casting):
            return TypeError(
                f"{name}: cannot be cast from {array.dtype} to {target} with casting={call.casting!r}"
            )
    return None


# ---- shapes --------------------------------------------------------------------------------------
def _text(axes):
    return f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"


def _axes(call):
    for name, role, array in call.operands():
        axes = call.axes(role)
        if len(array.shape) < len(axes):
            return ValueError(
                f"{name}: expected at least {len(axes)} axes, {_text(('...', *axes))}, "
                f"got {len(array.shape)}: shape {_text(array.shape)}"
            )
    return None


def _channels(call):
    rank, x = call.spec.rank, call.arrays[0]
    channels, middle, _ = call.channels()
    name, weight = call.named("depthwise_weight")
    if weight is not None and weight.shape[-rank - 2] != channels:
        kernel = weight.shape[-rank:]
        return ValueError(
            f"{name}: the channels must be those of x, C = {channels}: expected shape "
            f"{_text((channels, 'M', *kernel))}, or {_text((f'{channels}*M', 1, *kernel))} as in PyTorch, "
            f"got {_text(weight.shape)} with x of shape {_text(x.shape)}"
            + _format_hint(call, weight.shape[-rank - 2])
        )
    name, weight = call.named("pointwise_weight")
    if weight is not None and weight.shape[-1] != middle:
        rule = f"C = {channels}" if middle == channels else f"C*M = {middle}"
        return ValueError(
            f"{name}: the last axis must have the length {rule}: expected shape {_text(('O', middle))}, or "
            f"{_text(('O', middle, *[1] * rank))} as in PyTorch, got {_text(weight.shape)} with x of shape "
            f"{_text(x.shape)}" + _format_hint(call, weight.shape[-1])
        )
    return None


def _format_hint(call, wanted):
    here, other = "channels_first", "channels_last"
    axis = -1
    if call.spec.channels_last:
        here, other, axis = other, here, -call.spec.rank - 1
    if call.arrays[0].shape[axis] == wanted:
        return f" and data_format={here!r}; did you mean data_format={other!r}?"
    return f" and data_format={here!r}"


def _biases(call):
    _, middle, last = call.channels()
    for role, length in (("depthwise_bias", middle), ("pointwise_bias", last)):
        name, bias = call.named(role)
        if bias is not None and bias.shape[-1] != length:
            axes = call.axes(role)
            return ValueError(
                f"{name}: one value for each of {axes[0]} = {length} channels is needed: expected shape "
                f"({length},), got {_text(bias.shape)}"
            )
    return None


def _broadcast(shapes):
    """The common shape, or None. Unlike numpy.broadcast_shapes it takes any length."""
    rank = max(map(len, shapes))
    result = []
    for column in zip(*[(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes], strict=True):
        lengths = set(column) - {1}
        if len(lengths) > 1:
            return None
        result.append(lengths.pop() if lengths else 1)
    return tuple(result)


def _leading_shapes(call):
    return [array.shape[: len(array.shape) - call.core(role)] for _, role, array in call.operands()]


def _leading(call):
    leading = _leading_shapes(call)
    if _broadcast(leading) is not None:
        return None
    pairs = zip(call.names, leading, strict=True)
    listed = ", ".join(f"{name} {_text(shape)}" for name, shape in pairs if shape)
    return ValueError(
        f"{', '.join(call.names)}: the leading axes must broadcast against one another, got {listed}"
    )


# ---- out -----------------------------------------------------------------------------------------
def _out(call):
    out = call.out
    if out is None:
        return None
    if isinstance(out, tuple):
        return ValueError(f"out: expected an array or a tuple of one array, got a tuple of {len(out)}")
    if not isinstance(out, ndarray):
        return TypeError(f"out: expected an array or a tuple of one array, got {type(out).__name__}")
    if not out.flags.writeable:
        return ValueError("out: the array is read-only")
    return _out_shape(call) or _out_type(call)


def _out_shape(call):
    spec, shape = call.spec, call.out.shape
    spatial = _result_sizes(call)
    if spatial is None:
        return None
    last = call.channels()[2]
    core = (*spatial, last) if spec.channels_last else (last, *spatial)
    leading = _broadcast(_leading_shapes(call))
    expected = (*leading, *core)
    given = shape[: max(len(shape) - len(core), 0)]
    # as in every ufunc, out may have leading axes that the inputs lack
    if shape[len(given) :] != core or _broadcast([leading, given]) != given:
        return ValueError(f"out: expected shape {_text(expected)}, got {_text(shape)}")
    return None


def _result_sizes(call):
    spec = call.spec
    shape = call.arrays[0].shape
    sizes = shape[-spec.rank - 1 : -1] if spec.channels_last else shape[-spec.rank :]
    _, weight = call.named("depthwise_weight")
    kernel = (1,) * spec.rank if weight is None else weight.shape[-spec.rank :]
    try:
        return output_sizes(sizes, kernel, spec.stride, spec.dilation, (spec.padding, spec.low, spec.high))
    except (ValueError, OverflowError):
        # the hook has said so already
        return None


def _out_type(call):
    computed = _computed_in(call)
    if can_cast(computed, call.out.dtype, call.casting):
        return None
    return TypeError(
        f"out: expected an array that {computed} can be cast to with casting={call.casting!r}, "
        f"got {call.out.dtype}"
    )
