"""Templates of the docstrings of gradients and vjp functions; `docstrings` fills them in."""

from . import docstring_pieces as p

_WEIGHT = """weight : array_like, shape (C, M, {k})
    The filters of the convolution, in this form and without leading axes."""

_POINTWISE_WEIGHT = """weight : array_like, shape (O, C)
    The weight of the convolution, in this form and without leading axes."""

_INPUT_SIZE = """input_size : int or tuple of int
    The spatial size ``({s}{comma})`` of the convolution's input, or one number for all axes."""

_KERNEL_SIZE = """kernel_size : int or tuple of int
    The size ``({k}{comma})`` of the filters, or one number for all axes."""

_WINDOW = """stride, dilation, padding, padding_mode : optional
    Those of `depthwise_conv{rank}d`; the words of `padding` mean what they do for the convolution's input."""

_TRANSPOSED_WINDOW = """stride, dilation, padding : optional
    Those of `depthwise_conv_transpose{rank}d`. The output padding is seen from the shape of `grad_output`."""

_COMMON = p.COMMON.replace("`x` and the result have", "feature maps have")

_INPUT_RESULT = """ndarray, shape (..., C, {s})
    The gradient of `x`; ``(..., {s}, C)`` with ``data_format="channels_last"``."""

_DEPTHWISE_RESULT = """ndarray, shape (C, M, {k})
    The gradient of the weight, in the native form, summed over all leading axes."""

_POINTWISE_RESULT = """ndarray, shape (O, C)
    The gradient of the weight, in the native form, summed over positions and leading axes."""

_LINEAR = """The chain rule for a convolution without bias and activation [1]_; all of it is in
`{forward}_vjp`. Complex weights and inputs enter conjugated, as in PyTorch.
"""

_ADJOINT = """
As a linear map of `grad_output` it is the adjoint of the convolution as one of `x`: the sum of
``conj(gradient) * x`` is that of ``conj(grad_output) * y``.
"""

_SUMS = """
The sum is pairwise over blocks of bounded length, so its error does not grow with the number of positions,
and its bits do not depend on the number of threads.
"""

_MACS = """
It takes as many multiply-accumulate operations (MACs) as the convolution."""


def _grad_output(forward, channels, axes):
    text = p.GRAD_OUTPUT.replace("{channels}", channels).replace("{of}", axes)
    return text.replace("{forward}", f"{forward}{{rank}}d")


def _notes(forward, *texts):
    return "".join((_LINEAR, *texts)).replace("{forward}", f"{forward}{{rank}}d") + _MACS


TEMPLATES = {
    "depthwise_conv_input_grad": (
        "Gradient of `depthwise_conv{rank}d` with respect to its input.",
        (_grad_output("depthwise_conv", "C*M", "{o}"), _WEIGHT, _INPUT_SIZE, _WINDOW, _COMMON),
        _INPUT_RESULT,
        _notes("depthwise_conv", _ADJOINT),
        (p.RUMELHART,),
        """>>> import numpy as np
>>> import dsconv as ds
>>> grad_output = np.ones((2, 3, {fours}), np.float32)
>>> weight = np.ones((3, 1, {threes}), np.float32)
>>> ds.depthwise_conv{rank}d_input_grad(grad_output, weight, 8, stride=2, padding=1).shape
(2, 3, {eights})""",
    ),
    "depthwise_conv_weight_grad": (
        "Gradient of `depthwise_conv{rank}d` with respect to its weight.",
        (p.X, _grad_output("depthwise_conv", "C*M", "{o}"), _KERNEL_SIZE, _WINDOW, _COMMON),
        _DEPTHWISE_RESULT,
        _notes("depthwise_conv", _SUMS),
        (p.RUMELHART,),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x, grad_output = np.ones((2, 3, {eights}), np.float32), np.ones((2, 6, {fours}), np.float32)
>>> ds.depthwise_conv{rank}d_weight_grad(x, grad_output, 3, stride=2, padding=1).shape
(3, 2, {threes})""",
    ),
    "depthwise_conv_transpose_input_grad": (
        "Gradient of `depthwise_conv_transpose{rank}d` with respect to its input.",
        (
            _grad_output("depthwise_conv_transpose", "C*M", "{o}"),
            _WEIGHT,
            _INPUT_SIZE,
            _TRANSPOSED_WINDOW,
            _COMMON,
        ),
        _INPUT_RESULT,
        _notes("depthwise_conv_transpose", _ADJOINT),
        (p.RUMELHART,),
        """>>> import numpy as np
>>> import dsconv as ds
>>> grad_output = np.ones((2, 3, {eights}), np.float32)
>>> weight = np.ones((3, 1, {threes}), np.float32)
>>> ds.depthwise_conv_transpose{rank}d_input_grad(grad_output, weight, 4, stride=2, padding=1).shape
(2, 3, {fours})""",
    ),
    "depthwise_conv_transpose_weight_grad": (
        "Gradient of `depthwise_conv_transpose{rank}d` with respect to its weight.",
        (
            p.X,
            _grad_output("depthwise_conv_transpose", "C*M", "{o}"),
            _KERNEL_SIZE,
            _TRANSPOSED_WINDOW,
            _COMMON,
        ),
        _DEPTHWISE_RESULT,
        _notes("depthwise_conv_transpose", _SUMS),
        (p.RUMELHART,),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x, grad_output = np.ones((2, 3, {fours}), np.float32), np.ones((2, 6, {eights}), np.float32)
>>> ds.depthwise_conv_transpose{rank}d_weight_grad(x, grad_output, 3, stride=2, padding=1).shape
(3, 2, {threes})""",
    ),
    "pointwise_conv_input_grad": (
        "Gradient of `pointwise_conv{rank}d` with respect to its input.",
        (_grad_output("pointwise_conv", "O", "{s}"), _POINTWISE_WEIGHT, _COMMON),
        _INPUT_RESULT,
        _notes("pointwise_conv", _ADJOINT),
        (p.RUMELHART,),
        """>>> import numpy as np
>>> import dsconv as ds
>>> grad_output, weight = np.ones((2, 16, {eights}), np.float32), np.ones((16, 3), np.float32)
>>> ds.pointwise_conv{rank}d_input_grad(grad_output, weight).shape
(2, 3, {eights})""",
    ),
    "pointwise_conv_weight_grad": (
        "Gradient of `pointwise_conv{rank}d` with respect to its weight.",
        (p.X, _grad_output("pointwise_conv", "O", "{s}"), _COMMON),
        _POINTWISE_RESULT,
        _notes("pointwise_conv", _SUMS),
        (p.RUMELHART,),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x, grad_output = np.ones((2, 3, {eights}), np.float32), np.ones((2, 16, {eights}), np.float32)
>>> ds.pointwise_conv{rank}d_weight_grad(x, grad_output).shape
(16, 3)""",
    ),
}

_VJP_COMMON = """The chain rule [1]_, for bias and activation too. The pullback keeps the arguments,
without copies, and `y` where the derivative of the activation is read off it (``"relu"``, ``"relu6"``); for
other activations it computes again what went into them. It may be called many times, and pickled. Complex
gradients follow PyTorch's convention: weights and inputs enter conjugated."""
_VJP_NOTES = {
    False: _VJP_COMMON,
    True: _VJP_COMMON
    + """

The depthwise result, which the fused operation does not store, is computed again.""",
}
_EXAMPLE_WEIGHTS = {
    "depthwise": ["(3, 2, {threes})"],
    "pointwise": ["(5, 3)"],
    "separable": ["(3, 2, {threes})", "(5, 6)"],
}


def vjp_template(operation, parameters):
    """The template of `NAME_vjp`; `parameters` are the names of its arguments."""
    name = f"{operation}{{rank}}d"
    arrays = [each for each in parameters if each == "x" or each.endswith(("weight", "bias"))]
    others = [each for each in parameters if each not in arrays]
    weights = _EXAMPLE_WEIGHTS[operation.partition("_")[0]]
    ones = ", ".join(f"np.ones({shape})" for shape in weights)
    shapes = ["(1, 3, {eights})", *weights, *["None"] * (len(arrays) - len(weights) - 1)]
    return (
        f"The result of `{name}`, and the function that takes its gradient back to the arguments.",
        (
            f"{', '.join(arrays)} : array_like\n    As for `{name}`; no leading axes on weights and biases.",
            f"{', '.join(others)} : optional\n    As for `{name}`, which has `out` besides.",
        ),
        f"""y : ndarray
    What `{name}` returns.
pullback : callable
    ``pullback(grad)`` takes the gradient of `y`, of its shape, and returns a tuple with those of
    {", ".join(f"`{each}`" for each in arrays)},
    of their shapes (PyTorch's forms of weights too) and of the dtype of `y`; None for an absent bias.""",
        _VJP_NOTES[operation.startswith("separable")],
        (p.RUMELHART,),
        f""">>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((1, 3, {{eights}}))
>>> y, pullback = ds.{name}_vjp(x, {ones}, activation="silu")
>>> [each if each is None else each.shape for each in pullback(np.ones_like(y))]
[{", ".join(shapes)}]""",
    )
