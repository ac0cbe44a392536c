"""How far a floating-point result may be from the exact one, element by element.

A sum of n products, in any order, fused or not, is off by at most

    gamma_n * (|w| conv |x| + |bias|) + n*eta,      gamma_n = n*u / (1 - n*u)

where u is the unit roundoff of the accumulating type and eta its smallest subnormal number. What comes in
with an error e adds |w| conv e. An activation multiplies the error by its Lipschitz constant and adds its own
(`OWN_ERRORS`), and rounding to the type of the result adds max(u_out*|y|, eta_out/2).
"""

import inspect
from dataclasses import dataclass

import numpy as np

from . import depthwise, pointwise, separable
from .activations import activate
from .arguments import channels_first, split_name
from .depthwise import depthwise_stage
from .padding import Geometry
from .pointwise import pointwise_stage

_MODULES = {"depthwise_conv": depthwise, "pointwise_conv": pointwise, "separable_conv": separable}
_WIDER = {"f": np.float64, "d": np.longdouble, "F": np.complex128, "D": np.clongdouble}
_ACCUMULATING = {
    "float16": "f",
    "bfloat16": "f",
    "float32": "f",
    "float64": "d",
    "complex64": "F",
    "complex128": "D",
}

LIPSCHITZ = {
    "relu": 1,
    "relu6": 1,
    "hardswish": 1.5,
    "hardsigmoid": 1 / 6,
    "silu": 1.1,  # 1.0998 at x = 2.4
    "sigmoid": 0.25,
    "tanh": 1,
    "gelu": 1.13,  # 1.1289 at x = sqrt 2
}

#: The error of an activation itself, given u, the smallest normal number, |argument| and |value|. Where exp
#: takes part, results below the normal range may be flushed.
OWN_ERRORS = {
    "relu": lambda u, tiny, x, y: 0 * x,
    "relu6": lambda u, tiny, x, y: 0 * x,
    "hardswish": lambda u, tiny, x, y: 4 * u * x,
    "hardsigmoid": lambda u, tiny, x, y: 4 * u + 0 * x,
    "silu": lambda u, tiny, x, y: 8 * u * y + (1 + x) * tiny,
    "sigmoid": lambda u, tiny, x, y: 8 * u * y + tiny,
    "tanh": lambda u, tiny, x, y: 8 * u * y + tiny,
    "gelu": lambda u, tiny, x, y: 8 * u * x + tiny,  # 1 + erf cancels on the left
}


def error_bound(name, *args, **kwargs):
    """Return the rigorous bound of |computed - exact| for a call of `dsconv.<name>`.

    Parameters
    ----------
    name : str
        Such as "separable_conv2d".
    *args, **kwargs
        The arguments of that call.

    Returns
    -------
    ndarray of the shape of the result, in a type wider than it; inf where something may overflow

    Raises
    ------
    ValueError, TypeError
        For an unknown name, a type that the fast functions do not take, and what the reference refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import reference
    >>> x = np.ones((1, 100), np.float32)
    >>> bound = reference.error_bound("depthwise_conv1d", x, np.ones((1, 1, 3), np.float32))
    >>> bool(bound.max() < 1e-6)
    True
    """
    return expected_and_bound(name, *args, **kwargs)[1]


def expected_and_bound(name, *args, **kwargs):
    """Return the result in a wider type, and its bound, in the layout of the call."""
    operation, rank = split_name(name)
    call = bind(name, args, kwargs)
    precision = Precision.of(call)
    with np.errstate(all="ignore"):
        x, *arrays = precision.widen(call, rank)
        approximate = Approximate(x, None)
        geometry = None if operation == "pointwise_conv" else _geometry(rank, call)
        if operation == "depthwise_conv":
            approximate = precision.depthwise(approximate, *arrays, geometry)
        elif operation == "pointwise_conv":
            approximate = precision.pointwise(approximate, *arrays, rank)
        else:
            depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias = arrays
            approximate = precision.depthwise(approximate, depthwise_weight, depthwise_bias, geometry)
            approximate = precision.activate(call["depthwise_activation"], approximate)
            approximate = precision.pointwise(approximate, pointwise_weight, pointwise_bias, rank)
        value, bound = precision.round(precision.activate(call["activation"], approximate))
    if call["data_format"] == "channels_last":
        value, bound = np.moveaxis(value, -rank - 1, -1), np.moveaxis(bound, -rank - 1, -1)
    return value, bound


def bind(name, args, kwargs):
    function = getattr(_MODULES[split_name(name)[0]], name)
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def _geometry(rank, call):
    return Geometry.parse(rank, call["stride"], call["padding"], call["dilation"], call["padding_mode"])


def loop_dtype(call):
    """Return the type in which the fast functions compute a call: integers become floats."""
    if call["dtype"] is not None:
        return np.dtype(call["dtype"])
    arrays = [np.asarray(call[key]) for key in _array_names(call) if call[key] is not None]
    common = np.result_type(*arrays)
    if common.kind in "bui":
        common = np.result_type(common, np.float32)
        common = np.dtype(np.float32) if common == np.float16 else common
    return common.newbyteorder("=")


def _array_names(call):
    """Yield the names of the array arguments, x first."""
    return [key for key in call if key == "x" or key.endswith("weight") or key.endswith("bias")]


@dataclass(frozen=True)
class Approximate:
    """An exact value (up to the wide type), and by how much the computed one may differ; None is 0."""

    value: np.ndarray
    error: np.ndarray | None


@dataclass(frozen=True)
class Precision:
    """The types of one call, and the error analysis of one step in them."""

    loop: np.dtype
    out: np.dtype

    @classmethod
    def of(cls, call):
        loop = loop_dtype(call)
        if loop.name not in _ACCUMULATING:
            raise TypeError(f"there is no bound for {loop}: needed one of {tuple(_ACCUMULATING)}")
        out = call["out"]
        if out is not None and not isinstance(out, np.ndarray):
            raise TypeError(f"out must be an array, got {type(out).__name__}")
        return cls(loop, loop if out is None else out.dtype)

    @property
    def accumulating(self):
        return np.dtype(_ACCUMULATING[self.loop.name])

    @property
    def wide(self):
        return np.dtype(_WIDER[self.accumulating.char])

    def unit(self):
        return half_ulp(self.accumulating)

    def widen(self, call, rank):
        """Return the arrays, rounded to the type of the loop as the call rounds them, then widened."""
        arrays = [None if call[key] is None else np.asarray(call[key]) for key in _array_names(call)]
        for array in arrays:
            if array is not None and not np.can_cast(array.dtype, self.loop, call["casting"]):
                raise TypeError(f"cannot cast an input from {array.dtype} to {self.loop}")
        arrays = [None if array is None else array.astype(self.loop).astype(self.wide) for array in arrays]
        return [channels_first(arrays[0], rank, call["data_format"]), *arrays[1:]]

    def depthwise(self, x, weight, bias, geometry):
        def conv(x, weight, bias):
            return depthwise_stage(x, weight, bias, geometry)

        return self.linear(conv, x, weight, bias, np.prod(weight.shape[-geometry.rank :], dtype=float))

    def pointwise(self, x, weight, bias, rank):
        def conv(x, weight, bias):
            return pointwise_stage(x, weight, bias, rank)

        return self.linear(conv, x, weight, bias, x.value.shape[-rank - 1])

    def linear(self, conv, x, weight, bias, terms):
        """Return a sum of `terms` products and the bias, for an x that is itself only approximate."""
        terms = terms + (bias is not None)
        magnitude = conv(np.abs(x.value), np.abs(weight), None if bias is None else np.abs(bias))
        inherited = 0 if x.error is None else conv(x.error, np.abs(weight), None)
        error = self.gamma(terms) * (magnitude + inherited) + inherited + self.underflow(terms)
        largest = np.finfo(self.accumulating).max
        error = np.where(magnitude + error <= largest, error, np.inf)
        return Approximate(conv(x.value, weight, bias), error)

    def gamma(self, terms):
        """Return gamma_n; a complex product is two real ones added, in each of two parts."""
        if self.accumulating.kind == "c":
            terms, factor = terms + 2, np.sqrt(self.wide.type(2).real)
        else:
            factor = 1
        product = terms * self.unit()
        return factor * product / (1 - product) if product < 1 else np.inf

    def underflow(self, terms):
        eta = np.finfo(self.accumulating).smallest_subnormal
        return (terms + 1) * (2 if self.accumulating.kind == "c" else 1) * self.real(eta)

    def real(self, number):
        return self.wide.type(number).real

    def activate(self, name, x):
        value = activate(name, x.value)
        if name is None:
            return x
        tiny = self.real(np.finfo(self.accumulating).smallest_normal)
        error = self.real(LIPSCHITZ[name]) * x.error
        # the activation meets, and yields, what was computed, not what is exact
        reach = np.abs(x.value) + x.error, np.abs(value) + error
        return Approximate(value, error + OWN_ERRORS[name](self.unit(), tiny, *reach))

    def round(self, x):
        """Return the value, and the error after rounding to the type of the result; NaN becomes no claim."""
        eta = self.real(_limits(self.out).smallest_subnormal)
        rounding = np.maximum(half_ulp(self.out) * (np.abs(x.value) + x.error), eta / 2)
        bound = x.error + rounding
        reaches = np.abs(x.value) + bound <= self.real(_limits(self.out).max)
        return x.value, np.where(reaches, bound, np.inf)


def _limits(dtype):
    if dtype.name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(dtype)
    return np.finfo(dtype)


def half_ulp(dtype):
    """Return the unit roundoff: 2**-24 for float32."""
    return np.longdouble(_limits(dtype).eps) / 2
