"""The linear layer: a pointwise convolution whose positions are rows."""

from functools import lru_cache
from math import prod

import numpy as np

from .. import functional, gradients, gufuncs
from ..geometry import as_integer
from .convolution import epilogue_keywords
from .initial import he_normal, zeros
from .layer import Layer
from .stream import Stateless
from .windows import is_native

__all__ = ["Linear"]


def _words(activation):
    # at rank 1 the last two axes are positions and channels
    return {"activation": activation, "data_format": "channels_last"}


@lru_cache(maxsize=32)
def _ufunc(activation, biased):
    present = {"pointwise_bias"} if biased else ()
    return gufuncs.ufunc_of(gufuncs.canonical("pointwise_conv", 1, _words(activation), present))


class Linear(Layer):
    """Linear map of the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis, before and after.
    bias, activation, dtype, rng
        As for `PointwiseConv2d`.

    Attributes
    ----------
    weight : ndarray, shape (out_features, in_features)
    bias : ndarray, shape (out_features,), or None

    Raises
    ------
    ValueError, TypeError
        For an argument out of range, and inputs of fewer than two axes or with another last axis.

    Examples
    --------
    >>> import numpy as np
    >>> from dsconv import nn
    >>> nn.Linear(8, 3, rng=0)(np.ones((2, 5, 8), np.float32)).shape
    (2, 5, 3)
    """

    parameter_names = ("weight", "bias")

    def __init__(self, in_features, out_features, *, bias=True, activation=None, dtype="float32", rng=None):
        self.in_features = as_integer(in_features, "in_features", 1)
        self.out_features = as_integer(out_features, "out_features", 1)
        self.activation = epilogue_keywords(activation, "channels_last")["activation"]
        self.weight = he_normal(rng, (self.out_features, self.in_features), self.in_features, dtype)
        self.bias = zeros(bias, self.out_features, dtype)

    def _arguments(self, x):
        x = np.asarray(x)
        self._check(x.shape)
        return x, _words(self.activation)

    def _check(self, shape):
        if len(shape) < 2 or shape[-1] != self.in_features:
            raise ValueError(
                f"x: Linear takes a batch axis and a last axis of {self.in_features} features, got shape "
                f"{tuple(shape)}"
            )

    def __call__(self, x):
        weight, bias = self.weight, self.bias
        if is_native(x, weight, bias) and weight.ndim == 2 and x.ndim > 1 and x.shape[-1] == self.in_features:
            operands = (x, weight) if bias is None else (x, weight, bias)
            try:
                return _ufunc(self.activation, bias is not None)(*operands)
            except ValueError:
                pass  # what is wrong is said below
        x, words = self._arguments(x)
        return functional.pointwise_conv1d(x, self.weight, self.bias, **words)

    def traced(self, tape, x):
        if type(self).__call__ is not Linear.__call__:
            return super().traced(tape, x)
        return tape.kernel(self, x, (self.weight, self.bias))

    def vjp(self, x):
        x, words = self._arguments(x)
        y, pull = gradients.pointwise_conv1d_vjp(x, self.weight, self.bias, **words)

        def pullback(dy):
            dx, dweight, dbias = pull(dy)
            return dx, {"weight": dweight} | ({} if dbias is None else {"bias": dbias})

        return y, pullback

    def output_shape(self, shape):
        self._check(shape)
        return (*shape[:-1], self.out_features)

    def macs(self, shape):
        return prod(shape[:-1]) * self.in_features * self.out_features

    def describe(self):
        words = [f"{self.in_features}, {self.out_features}"]
        words += ["bias=False"] if self.bias is None else []
        return ", ".join(words + ([f"activation={self.activation!r}"] if self.activation else []))

    def streamed(self, name):
        return Stateless(self)
