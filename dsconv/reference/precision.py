"""The floating-point types of a call, and the error analysis of one step of it."""

from dataclasses import dataclass

import numpy as np

from .activations import activate

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


def loop_dtype(call):
    """Return the type in which the fast functions compute a call: integers become floats."""
    if call["dtype"] is not None:
        return np.dtype(call["dtype"])
    arrays = [np.asarray(call[key]) for key in array_names(call) if call[key] is not None]
    common = np.result_type(*arrays)
    if common.kind in "bui":
        common = np.result_type(common, np.float32)
        common = np.dtype(np.float32) if common == np.float16 else common
    return common.newbyteorder("=")


def array_names(call):
    """Return the names of the array arguments, in order."""
    return [key for key in call if key in ("x", "grad_output") or key.endswith(("weight", "bias"))]


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
        return self.real(half_ulp(self.accumulating))

    def widen(self, call):
        """Return the arrays, rounded to the type of the loop as the call rounds them, then widened."""
        arrays = {key: None if call[key] is None else np.asarray(call[key]) for key in array_names(call)}
        for array in arrays.values():
            if array is not None and not np.can_cast(array.dtype, self.loop, call["casting"]):
                raise TypeError(f"cannot cast an input from {array.dtype} to {self.loop}")
        return {
            key: None if array is None else array.astype(self.loop).astype(self.wide)
            for key, array in arrays.items()
        }

    def linear(self, function, x, weight, bias, terms):
        """Return `function` of an x that is only approximate: a sum of `terms()` products and the bias."""
        value = function(x.value, weight, bias)
        # not counted before the function has accepted its arguments
        count = terms() + (bias is not None)
        magnitude = function(np.abs(x.value), np.abs(weight), None if bias is None else np.abs(bias))
        inherited = 0 if x.error is None else function(x.error, np.abs(weight), None)
        error = self.gamma(count) * (magnitude + inherited) + inherited + self.underflow(count)
        largest = np.finfo(self.accumulating).max
        return Approximate(value, np.where(magnitude + error <= largest, error, np.inf))

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
        rounding = np.maximum(self.real(half_ulp(self.out)) * (np.abs(x.value) + x.error), eta / 2)
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
