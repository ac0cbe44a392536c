"""The docstrings of the functions: one template per operation, filled in with the shapes of a rank."""

from . import docstring_gradients
from . import docstring_pieces as p

# Spatial, kernel and output axes are the last `rank` of these, as in the signatures of the ufuncs.
_SPATIAL = ("d", "h", "w")
_KERNEL = ("t", "i", "j")
_OUTPUT = ("r", "p", "q")

_TRANSPOSED_NOTE = """Under tap t, input i goes to output ``i*stride + t*dilation - low``, along each axis.
With real weights and ``M = 1`` that is the adjoint of `depthwise_conv{rank}d` with the same stride, padding
and dilation. The output has ``(input - 1)*stride - low - high + dilation*(kernel - 1) + 1 + output_padding``
elements (`conv_transpose_output_size`). ``"same"`` cuts off ``max(dilation*(kernel - 1) + 1 - stride, 0)``,
half of it first; a shortfall is output padding.
"""

_TEMPLATES = {
    "depthwise_conv": (
        "Depthwise convolution in {rank}D: each input channel under filters of its own.",
        (
            p.X,
            p.DEPTHWISE_WEIGHT.replace("{name}", "weight").replace("{of}", "of the result"),
            p.BIAS.format(name="bias", length="C*M", to="the result"),
            p.WINDOW,
            p.ACTIVATION,
            p.COMMON,
        ),
        p.RESULT.replace("{channels}", "C*M").replace("{p}", "{o}"),
        p.SIZE_NOTE
        + """
For each image it takes ``C*M * {out_size} * {kernel_size}`` multiply-accumulate operations (MACs), that is
a factor O fewer than a standard convolution with ``M = 1`` and O output channels. It is the first stage of
a depthwise separable convolution [1]_ [2]_.""",
        (p.SIFRE, p.HOWARD),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((1, 3, {eights}), np.float32)
>>> weight = np.ones((3, 1, {threes}), np.float32)
>>> ds.depthwise_conv{rank}d(x, weight, padding="same", activation="relu").shape
(1, 3, {eights})""",
    ),
    "pointwise_conv": (
        "Pointwise convolution in {rank}D: a linear map of the channels at each position (1x1 convolution).",
        (
            p.X,
            p.POINTWISE_WEIGHT.replace("{name}", "weight").replace("{K}", "C"),
            p.BIAS.format(name="bias", length="O", to="the result"),
            p.ACTIVATION,
            p.COMMON,
        ),
        p.RESULT.replace("{channels}", "O").replace("{p}", "{s}"),
        """For each image it takes ``O * C * {in_size}`` multiply-accumulate operations (MACs). The 1x1
convolution comes from [1]_; it is the second stage of a depthwise separable convolution [2]_.""",
        (p.LIN, p.HOWARD),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((1, 3, {eights}), np.float32)
>>> weight = np.ones((16, 3), np.float32)
>>> ds.pointwise_conv{rank}d(x, weight).shape
(1, 16, {eights})""",
    ),
    "separable_conv": (
        "Depthwise separable convolution in {rank}D: a depthwise and a pointwise one, fused.",
        (
            p.X,
            p.DEPTHWISE_WEIGHT.replace("{name}", "depthwise_weight").replace("{of}", "after the first stage"),
            p.POINTWISE_WEIGHT.replace("{name}", "pointwise_weight").replace("{K}", "C*M"),
            p.BIAS.format(name="depthwise_bias", length="C*M", to="the result of the first stage"),
            p.BIAS.format(name="pointwise_bias", length="O", to="the result of the second stage"),
            p.WINDOW,
            "depthwise_" + p.ACTIVATION.replace("to the result", "to the result of the first stage"),
            "activation : str or None, optional\n    The same for the second stage.",
            p.COMMON,
        ),
        p.RESULT.replace("{channels}", "O").replace("{p}", "{o}"),
        p.SIZE_NOTE
        + """
The depthwise result is never stored whole: a tile of it feeds the pointwise stage while it is in cache.

For each image it takes ``{out_size} * C*M * ({kernel_size} + O)`` multiply-accumulate operations (MACs). A
standard convolution takes ``{out_size} * C * {kernel_size} * O``; with ``M = 1`` the ratio is ``1/O +
1/({kernel_size})`` [2]_. The factorisation comes from [1]_; whole networks were built of it in [2]_ and
[3]_.""",
        (p.SIFRE, p.HOWARD, p.CHOLLET),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((1, 3, {eights}), np.float32)
>>> depthwise_weight = np.ones((3, 1, {threes}), np.float32)
>>> pointwise_weight = np.ones((16, 3), np.float32)
>>> ds.separable_conv{rank}d(x, depthwise_weight, pointwise_weight, padding=1, stride=2).shape
(1, 16, {fours})""",
    ),
    "depthwise_conv_transpose": (
        "Transposed depthwise convolution in {rank}D: each input channel spread by filters of its own.",
        (
            p.X,
            p.NATIVE_WEIGHT.replace("{name}", "weight").replace("{of}", "of the result"),
            p.BIAS.format(name="bias", length="C*M", to="the result"),
            p.TRANSPOSED_WINDOW,
            p.ACTIVATION,
            p.COMMON,
        ),
        p.RESULT.replace("{channels}", "C*M").replace("{p}", "{o}"),
        _TRANSPOSED_NOTE
        + """
For each image it takes ``C*M * {in_size} * {kernel_size}`` multiply-accumulate operations (MACs). Transposed
convolution comes from [1]_; [2]_ explains its sizes.""",
        (p.ZEILER, p.DUMOULIN),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((1, 3, {fours}), np.float32)
>>> weight = np.ones((3, 1, {threes}), np.float32)
>>> ds.depthwise_conv_transpose{rank}d(x, weight, stride=2, padding=1, output_padding=1).shape
(1, 3, {eights})""",
    ),
    "separable_conv_transpose": (
        "Transposed depthwise separable convolution in {rank}D: a transposed depthwise stage and a pointwise "
        "one, fused.",
        (
            p.X,
            p.NATIVE_WEIGHT.replace("{name}", "depthwise_weight").replace("{of}", "after the first stage"),
            p.POINTWISE_WEIGHT.replace("{name}", "pointwise_weight").replace("{K}", "C*M"),
            p.BIAS.format(name="depthwise_bias", length="C*M", to="the result of the first stage"),
            p.BIAS.format(name="pointwise_bias", length="O", to="the result of the second stage"),
            p.TRANSPOSED_WINDOW,
            "depthwise_" + p.ACTIVATION.replace("to the result", "to the result of the first stage"),
            "activation : str or None, optional\n    The same for the second stage.",
            p.COMMON,
        ),
        p.RESULT.replace("{channels}", "O").replace("{p}", "{o}"),
        _TRANSPOSED_NOTE
        + """
The depthwise result is never stored whole: a tile of it feeds the pointwise stage while it is in cache.

For each image it takes ``C*M * ({in_size} * {kernel_size} + {out_size} * O)`` multiply-accumulate operations
(MACs). Transposed convolution comes from [1]_, its sizes are explained in [2]_; the factorisation is that
of [3]_.""",
        (p.ZEILER, p.DUMOULIN, p.SIFRE),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((1, 3, {fours}), np.float32)
>>> depthwise_weight = np.ones((3, 1, {threes}), np.float32)
>>> pointwise_weight = np.ones((16, 3), np.float32)
>>> ds.separable_conv_transpose{rank}d(x, depthwise_weight, pointwise_weight, stride=2, padding="same").shape
(1, 16, {eights})""",
    ),
}


def _section(title, text):
    return f"\n\n{title}\n{'-' * len(title)}\n{text}"


def _references(*texts):
    return "\n".join(f".. [{number}] {text}" for number, text in enumerate(texts, 1))


def of_function(operation, rank):
    """The docstring of `operation` at `rank`, in numpydoc's form."""
    return _filled({**_TEMPLATES, **docstring_gradients.TEMPLATES}[operation], rank)


def of_vjp(operation, rank, signature):
    """The docstring of the function with the pullback of `operation`."""
    return _filled(docstring_gradients.vjp_template(operation, list(signature.parameters)), rank)


def _filled(template, rank):
    summary, parameters, result, notes, references, example = template
    spatial, kernel, output = _SPATIAL[-rank:], _KERNEL[-rank:], _OUTPUT[-rank:]
    text = (
        summary
        + _section("Parameters", "\n".join(parameters))
        + _section("Returns", result)
        + _section("Raises", p.RAISES)
        + _section("Notes", notes)
        + _section("References", _references(*references))
        + _section("Examples", example)
        + "\n"
    )
    return text.format(
        rank=rank,
        s=", ".join(spatial),
        k=", ".join(kernel),
        o=", ".join(output),
        comma="," if rank == 1 else "",
        in_size="*".join(spatial),
        kernel_size="*".join(kernel),
        out_size="*".join(output),
        ones=", ".join("1" * rank),
        threes=", ".join("3" * rank),
        fours=", ".join("4" * rank),
        eights=", ".join("8" * rank),
    )
