"""The functions: `depthwise_conv1d` and so on bind a rank and nothing else."""

from . import docstrings, gufuncs
from .geometry import MAX_RANK
from .runner import InputGradientRunner, Runner, WeightGradientRunner


# ---- the functions -------------------------------------------------------------------------------
def _depthwise_conv(run):
    def function(
        x, weight, bias=None, *, stride=1, padding=0, dilation=1, padding_mode="zeros", activation=None,
        data_format="channels_first", out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            x, weight, bias, stride, padding, dilation, padding_mode, activation, data_format,
            out, dtype, casting,
        )  # fmt: skip

    return function


def _pointwise_conv(run):
    def function(
        x, weight, bias=None, *, activation=None, data_format="channels_first", out=None, dtype=None,
        casting="same_kind",
    ):  # fmt: skip
        return run(x, weight, bias, activation, data_format, out, dtype, casting)

    return function


def _separable_conv(run):
    def function(
        x, depthwise_weight, pointwise_weight, depthwise_bias=None, pointwise_bias=None, *, stride=1,
        padding=0, dilation=1, padding_mode="zeros", depthwise_activation=None, activation=None,
        data_format="channels_first", out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias,
            stride, padding, dilation, padding_mode, depthwise_activation, activation, data_format,
            out, dtype, casting,
        )  # fmt: skip

    return function


def _depthwise_conv_transpose(run):
    def function(
        x, weight, bias=None, *, stride=1, padding=0, output_padding=0, output_size=None, dilation=1,
        activation=None, data_format="channels_first", out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            x, weight, bias, stride, padding, output_padding, output_size, dilation, activation, data_format,
            out, dtype, casting,
        )  # fmt: skip

    return function


def _separable_conv_transpose(run):
    def function(
        x, depthwise_weight, pointwise_weight, depthwise_bias=None, pointwise_bias=None, *, stride=1,
        padding=0, output_padding=0, output_size=None, dilation=1, depthwise_activation=None,
        activation=None, data_format="channels_first", out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            x, depthwise_weight, pointwise_weight, depthwise_bias, pointwise_bias,
            stride, padding, output_padding, output_size, dilation, depthwise_activation, activation,
            data_format, out, dtype, casting,
        )  # fmt: skip

    return function


# ---- gradients -----------------------------------------------------------------------------------
def _depthwise_conv_input_grad(run):
    def function(
        grad_output, weight, input_size, *, stride=1, padding=0, dilation=1, padding_mode="zeros",
        data_format="channels_first", out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            grad_output, weight, input_size, stride, padding, dilation, padding_mode, data_format,
            out, dtype, casting,
        )  # fmt: skip

    return function


def _depthwise_conv_weight_grad(run):
    def function(
        x, grad_output, kernel_size, *, stride=1, padding=0, dilation=1, padding_mode="zeros",
        data_format="channels_first", out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            x, grad_output, kernel_size, stride, padding, dilation, padding_mode, data_format,
            out, dtype, casting,
        )  # fmt: skip

    return function


def _depthwise_conv_transpose_input_grad(run):
    def function(
        grad_output, weight, input_size, *, stride=1, padding=0, dilation=1, data_format="channels_first",
        out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            grad_output, weight, input_size, stride, padding, dilation, data_format,
            out, dtype, casting,
        )  # fmt: skip

    return function


def _depthwise_conv_transpose_weight_grad(run):
    def function(
        x, grad_output, kernel_size, *, stride=1, padding=0, dilation=1, data_format="channels_first",
        out=None, dtype=None, casting="same_kind",
    ):  # fmt: skip
        return run(
            x, grad_output, kernel_size, stride, padding, dilation, data_format,
            out, dtype, casting,
        )  # fmt: skip

    return function


def _pointwise_conv_input_grad(run):
    def function(
        grad_output, weight, *, data_format="channels_first", out=None, dtype=None, casting="same_kind"
    ):
        return run(grad_output, weight, data_format, out, dtype, casting)

    return function


def _pointwise_conv_weight_grad(run):
    def function(x, grad_output, *, data_format="channels_first", out=None, dtype=None, casting="same_kind"):
        return run(x, grad_output, data_format, out, dtype, casting)

    return function


# ---- all of them ---------------------------------------------------------------------------------
_MAKERS = {
    "depthwise_conv": (_depthwise_conv, Runner),
    "pointwise_conv": (_pointwise_conv, Runner),
    "separable_conv": (_separable_conv, Runner),
    "depthwise_conv_transpose": (_depthwise_conv_transpose, Runner),
    "separable_conv_transpose": (_separable_conv_transpose, Runner),
    "depthwise_conv_input_grad": (_depthwise_conv_input_grad, InputGradientRunner),
    "depthwise_conv_weight_grad": (_depthwise_conv_weight_grad, WeightGradientRunner),
    "depthwise_conv_transpose_input_grad": (_depthwise_conv_transpose_input_grad, InputGradientRunner),
    "depthwise_conv_transpose_weight_grad": (_depthwise_conv_transpose_weight_grad, WeightGradientRunner),
    "pointwise_conv_input_grad": (_pointwise_conv_input_grad, InputGradientRunner),
    "pointwise_conv_weight_grad": (_pointwise_conv_weight_grad, WeightGradientRunner),
}


def _define(operation, rank):
    maker, runner = _MAKERS[operation]
    function = maker(runner(operation, rank).quick_run)
    # under its own name it pickles, and shows up in tracebacks as what it is
    function.__name__ = function.__qualname__ = gufuncs.public_name(operation, rank)
    function.__doc__ = docstrings.of_function(operation, rank)
    return function


_ranks = range(1, MAX_RANK + 1)
_functions = [_define(operation, rank) for operation in _MAKERS for rank in _ranks]
globals().update({function.__name__: function for function in _functions})

__all__ = [function.__name__ for function in _functions]
