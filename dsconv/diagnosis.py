"""Why a ufunc refused its arguments, in words that name them. Imported only when a call has failed.

The core-dimension hook of the ufunc explains itself what depends on the operands' sizes alone. What NumPy
finds before or after the hook (an operand with too few axes, two that disagree, an unsuitable `out`) NumPy
reports in terms of operand numbers; here that is found again and said in terms of the function's arguments.
"""

from numpy import can_cast, ndarray, result_type
from numpy import dtype as as_dtype

from . import diagnosis_shapes
from .diagnosis_shapes import broadcast, leading_shapes
from .failed_call import FailedCall, text
from .sizes import output_sizes, transposed_sizes

FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")


def explain(spec, operands, inputs, out, dtype, casting):
    """The exception to raise instead of NumPy's, or None if nothing here explains it."""
    call = FailedCall(spec, operands, inputs, out, dtype, casting)
    for check in _CHECKS:
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
            return TypeError(
                f"{name}: expected {', '.join(FLOATS)}, an integer type or bool, got {array.dtype}"
            )
    return None


def _dtype(call):
    if call.dtype is None:
        return None
    try:
        known = as_dtype(call.dtype).name in FLOATS
    except TypeError:
        known = False
    return None if known else TypeError(f"dtype: expected one of {', '.join(FLOATS)}, got {call.dtype!r}")


def _computed_in(call):
    """The type the loop runs in: `dtype`, or what all the inputs promote to."""
    if call.dtype is not None:
        return as_dtype(call.dtype)
    common = result_type(*[array.dtype for array in call.arrays])
    if common.name in FLOATS:
        return common
    return as_dtype("float32" if common.itemsize <= 2 else "float64")


def _promotion(call):
    try:
        _computed_in(call)
    except TypeError:
        types = ", ".join(str(array.dtype) for array in call.arrays)
        return TypeError(
            f"{', '.join(call.names)}: the data types have no common one: {types}; convert, or say dtype="
        )
    return None


def _activation(call):
    computed = _computed_in(call)
    if computed.kind == "c":
        for name in ("depthwise_activation", "activation"):
            word = getattr(call.spec, name)
            if word is not None:
                return TypeError(f"{name}: must be None for complex values ({computed}), got {word!r}")
    return None


def _casts(call):
    target = _computed_in(call)
    for name, _, array in call.operands():
        if not can_cast(array.dtype, target, call.casting):
            return TypeError(
                f"{name}: cannot be cast from {array.dtype} to {target} with casting={call.casting!r}"
            )
    return None


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
    core, shape = _result_core(call), call.out.shape
    if core is None:
        return None
    leading = () if call.spec.batch_axes else broadcast(leading_shapes(call))
    expected = (*leading, *core)
    given = shape[: max(len(shape) - len(core), 0)]
    # as in every ufunc, out may have leading axes that the inputs lack
    if shape[len(given) :] != core or broadcast([leading, given]) != given:
        return ValueError(f"out: expected shape {text(expected)}, got {text(shape)}")
    return None


def _result_core(call):
    """The core axes of the result, or None where the hook has refused the sizes already."""
    channels, _, last = call.channels()
    if call.result == "pointwise_weight":
        return last, channels
    if call.result == "depthwise_weight":
        return channels, (last // channels if channels else 1), *call.spec.sizes
    if call.result == "x":
        return call.ordered(channels, call.spec.sizes or call.spatial_of("grad_output"))
    spatial = call.spatial_of("x") if call.pointwise else _result_sizes(call)
    return None if spatial is None else call.ordered(last, spatial)


def _result_sizes(call):
    spec = call.spec
    try:
        if call.transposed:
            return transposed_sizes(*call.window(), call.padding(), spec.output_padding, spec.sizes)
        return output_sizes(*call.window(), call.padding())
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


_CHECKS = (_casting, _input_types, _dtype, _promotion, _activation, *diagnosis_shapes.CHECKS, _casts, _out)
