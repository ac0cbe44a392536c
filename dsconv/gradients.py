"""`NAME_vjp`: every forward function together with the pullback of its gradients.

Nothing is stored for the pullback but the arguments, and the result where an activation's derivative is told
from it. A separable convolution's depthwise result is computed again.
"""

import inspect
from functools import lru_cache

from numpy import asarray, can_cast

from . import docstrings, functional, gufuncs
from .geometry import MAX_RANK
from .runner import Runner, merge_batch

_FAMILIES = (
    "depthwise_conv",
    "pointwise_conv",
    "separable_conv",
    "depthwise_conv_transpose",
    "separable_conv_transpose",
)
# what these activations have let through can be read off the result
_TOLD_BY_RESULT = (None, "relu", "relu6")


@lru_cache(maxsize=256)
def _ufunc(operation, rank=1, **given):
    return gufuncs.ufunc_of(gufuncs.canonical(operation, rank, given))


def _through_activation(name, before, gradient):
    """The gradient before an activation, from what went into it; for relu and relu6 what came out will do."""
    return gradient if name is None else _ufunc("activation_grad", activation=name)(before, gradient)


class Pullback:
    """From the gradient of a call's result to those of its array arguments.

    Parameters
    ----------
    grad : array_like
        The gradient of the result, of its shape, and of a type that can be cast to its dtype.

    Returns
    -------
    tuple of ndarray
        One gradient for each array argument of the function, in their order, of their shapes and of the
        result's dtype; None for an absent bias.
    """

    def __init__(self, operation, rank, arrays, shapes, keywords, y):
        self.operation = operation
        self.rank = rank
        self.arrays = arrays
        self.shapes = shapes
        self.keywords = keywords
        self.shape, self.dtype = y.shape, y.dtype
        self.y = y if keywords["activation"] in _TOLD_BY_RESULT[1:] else None

    def __repr__(self):
        name = gufuncs.public_name(self.operation, self.rank)
        return f"<pullback of {name}: gradient {self.shape} {self.dtype}>"

    def __call__(self, grad):
        grad = self._checked(grad)
        if self.operation.startswith("separable"):
            gradients = self._separable(grad)
        else:
            grad = self._through_last(self.operation, self.arrays, grad)
            gradients = self._stage(self.operation, *self.arrays, grad)
        return tuple(
            None if gradient is None else gradient.reshape(shape)
            for gradient, shape in zip(gradients, self.shapes, strict=True)
        )

    def _checked(self, grad):
        grad = asarray(grad)
        if grad.shape != self.shape:
            raise ValueError(f"grad: expected the shape of the result, {self.shape}, got {grad.shape}")
        casting = self.keywords["casting"]
        if not can_cast(grad.dtype, self.dtype, casting):
            raise TypeError(
                f"grad: cannot be cast from {grad.dtype} to {self.dtype} with casting={casting!r}"
            )
        return grad.astype(self.dtype, copy=False)

    def _through_last(self, operation, arrays, grad):
        """The gradient before the last activation, which follows `operation`."""
        name = self.keywords["activation"]
        before = self.y if name in _TOLD_BY_RESULT else self._run(operation, *arrays)
        return _through_activation(name, before, grad)

    def _run(self, operation, *arrays, **more):
        """One of the operations with this call's geometry, but no activation."""
        taken = gufuncs.OPERATIONS[operation].keywords
        keywords = {name: self.keywords[name] for name in taken if name in self.keywords}
        keywords.pop("activation", None)
        function = getattr(functional, gufuncs.public_name(operation, self.rank))
        if any(array is not None and array.dtype != self.dtype for array in arrays):
            keywords.update(dtype=self.dtype, casting=self.keywords["casting"])
        return function(*arrays, **keywords, **more)

    def _separable(self, grad):
        x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias = self.arrays
        depthwise = self.operation.replace("separable", "depthwise")
        name = self.keywords["depthwise_activation"]
        at_once = name if name in _TOLD_BY_RESULT else None
        first = (x, depthwise_weight, depthwise_bias)
        hidden = before = self._run(depthwise, *first, activation=at_once)
        if name != at_once:
            hidden = _ufunc("activation", activation=name)(before)
        second = (hidden, pointwise_weight, pointwise_bias)
        grad = self._through_last("pointwise_conv", second, grad)
        of_hidden, of_pointwise, of_pointwise_bias = self._stage("pointwise_conv", *second, grad)
        of_hidden = _through_activation(name, before, of_hidden)
        of_x, of_depthwise, of_depthwise_bias = self._stage(depthwise, *first, of_hidden)
        return of_x, of_depthwise, of_pointwise, of_depthwise_bias, of_pointwise_bias

    def _stage(self, operation, x, weight, bias, grad):
        """Gradients of x, weight and bias of one linear stage."""
        input_size = kernel_size = {}
        if not operation.startswith("pointwise"):
            last = self.keywords["data_format"] == "channels_last"
            input_size = {"input_size": x.shape[-self.rank - 1 : -1] if last else x.shape[-self.rank :]}
            kernel_size = {"kernel_size": weight.shape[-self.rank :]}
        return (
            self._run(operation + "_input_grad", grad, weight, **input_size),
            self._run(operation + "_weight_grad", x, grad, **kernel_size),
            None if bias is None else self._channel_sum(grad),
        )

    def _channel_sum(self, grad):
        (grad,), count = merge_batch([grad], grad.ndim - self.rank - 1, self.rank)
        data_format = self.keywords["data_format"]
        return _ufunc("channel_sum", self.rank, data_format=data_format, batch_axes=count)(grad)


# ---- the functions -------------------------------------------------------------------------------
def _vjp(runner, forward, arguments):
    """The result of a call, and its pullback."""
    operands = gufuncs.OPERATIONS[runner.operation].operands
    arrays = [_array(arguments.pop(operand.argument), operand) for operand in operands]
    shapes = [None if array is None else array.shape for array in arrays]
    required = len(runner.required)
    native = arrays[:required]
    runner.adapt(native, -1 if arguments["data_format"] == "channels_last" else -runner.rank - 1)
    arrays[:required] = native
    for operand, array in zip(operands[1:], arrays[1:], strict=True):
        _refuse_leading(runner, operand, array)
    y = forward(*arrays, **arguments)
    return y, Pullback(runner.operation, runner.rank, arrays, shapes, arguments, y)


def _array(value, operand):
    if value is None and operand.optional:
        return None
    try:
        return asarray(value)
    except ValueError as error:
        raise ValueError(f"{operand.argument}: cannot be made into an array: {error}") from error


def _refuse_leading(runner, operand, array):
    core = {"depthwise_weight": runner.rank + 2, "pointwise_weight": 2}.get(operand.role, 1)
    if array is not None and array.ndim > core:
        name = gufuncs.public_name(runner.operation, runner.rank)
        raise ValueError(
            f"{operand.argument}: {name}_vjp takes no leading axes on weights and biases: expected {core} "
            f"ax{'e' if core > 1 else 'i'}s, got shape {array.shape}"
        )


def _define(operation, rank):
    runner = Runner(operation, rank)
    name = gufuncs.public_name(operation, rank)
    forward = getattr(functional, name)
    parameters = inspect.signature(forward).parameters.values()
    signature = inspect.Signature([each for each in parameters if each.name != "out"])

    def function(*args, **kwargs):
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        return _vjp(runner, forward, call.arguments)

    function.__name__ = function.__qualname__ = f"{name}_vjp"
    function.__signature__ = signature
    function.__doc__ = docstrings.of_vjp(operation, rank, signature)
    return function


_functions = [_define(operation, rank) for operation in _FAMILIES for rank in range(1, MAX_RANK + 1)]
globals().update({function.__name__: function for function in _functions})

__all__ = [function.__name__ for function in _functions]
