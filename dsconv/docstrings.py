"""The docstrings of the functions: one template per operation, filled in with the shapes of a rank."""

# Spatial, kernel and output axes are the last `rank` of these, as in the signatures of the ufuncs.
_SPATIAL = ("d", "h", "w")
_KERNEL = ("t", "i", "j")
_OUTPUT = ("r", "p", "q")

_X = """x : array_like, shape (..., C, {s})
    The input, with any number of leading batch axes, none too; ``(..., {s}, C)`` with
    ``data_format="channels_last"``."""

_DEPTHWISE_WEIGHT = """{name} : array_like, shape (C, M, {k})
    The filters, M for each input channel: channel ``c*M + m`` {of} is input channel c under
    filter ``[c, m]``. PyTorch's ``(C*M, 1, {k})`` is taken too. Leading axes broadcast against those of
    `x`."""

_POINTWISE_WEIGHT = """{name} : array_like, shape (O, {K})
    One row for each output channel. PyTorch's ``(O, {K}, {ones})`` is taken too; leading axes, which
    broadcast against those of `x`, go with the two-axis form only."""

_WINDOW = """stride, dilation : int or tuple of int, optional
    Step of the window, and distance of its taps (the atrous rate): one for all, or one for each spatial axis.
padding : int, tuple or str, optional
    One for all; one for each spatial axis; one ``(low, high)`` pair for each; ``"valid"`` (none);
    ``"same"`` or ``"same_upper"`` (output ``ceil(input/stride)``, the odd element at the end);
    ``"same_lower"`` (the odd one first); ``"full"``; ``"causal"`` (on the first spatial axis all of it
    before, the others ``"same"``).
padding_mode : {{"zeros", "reflect", "symmetric", "replicate", "edge", "circular", "wrap"}}, optional
    What the padding consists of, in the words of `numpy.pad`; ``"edge"`` is ``"replicate"`` and ``"wrap"`` is
    ``"circular"``. No padded copy of `x` is made."""

_ACTIVATION = """activation : str or None, optional
    Applied to the result, in the same pass: ``"relu"``, ``"relu6"``, ``"hardswish"``, ``"hardsigmoid"``,
    ``"silu"``, ``"sigmoid"``, ``"tanh"`` or ``"gelu"`` (exact, by erf)."""

_COMMON = """data_format : {{"channels_first", "channels_last"}}, optional
    Where `x` and the result have their channels.
out : ndarray or tuple of one ndarray, optional
    Where the result is written. It may overlap the inputs, `x` itself included.
dtype : {{"float32", "float64"}}, optional
    The type to compute in. By default that which all inputs promote to; integers and bool promote with
    float32, from int32 up with float64.
casting : str, optional
    What casts `dtype` and `out` may ask for, as in every ufunc."""

_RAISES = """ValueError
    For sizes that do not fit together or arguments out of range; the message names the argument, the rule,
    what came and what was needed.
TypeError
    For arguments of a wrong type, and for data types other than the above.
OverflowError
    For integers that do not fit 64 bits.
MemoryError
    Where the result cannot be allocated."""

_SIZE_NOTE = """Convolution is cross-correlation, as in deep-learning libraries: the filter is not flipped.
Along each axis the output has ``floor((input + low + high - dilation*(kernel - 1) - 1)/stride) + 1``
elements (`conv_output_size`). Padded zeros count as skipped: an infinite weight over them makes no NaN.
"""

_SIFRE = """L. Sifre and S. Mallat, "Rigid-motion scattering for texture classification", 2014,
   arXiv:1403.1687."""
_HOWARD = """A. G. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
   applications", 2017, arXiv:1704.04861."""
_CHOLLET = """F. Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017,
   arXiv:1610.02357."""
_LIN = """M. Lin, Q. Chen and S. Yan, "Network in network", ICLR 2014, arXiv:1312.4400."""


def _section(title, text):
    return f"\n\n{title}\n{'-' * len(title)}\n{text}"


def _references(*texts):
    return "\n".join(f".. [{number}] {text}" for number, text in enumerate(texts, 1))


_BIAS = "{name} : array_like, shape ({length},), optional\n    Added to {to}."

_RESULT = """ndarray, shape (..., {channels}, {p})
    ``(..., {p}, {channels})`` with ``data_format="channels_last"``."""

_TEMPLATES = {
    "depthwise_conv": (
        "Depthwise convolution in {rank}D: each input channel under filters of its own.",
        (
            _X,
            _DEPTHWISE_WEIGHT.replace("{name}", "weight").replace("{of}", "of the result"),
            _BIAS.format(name="bias", length="C*M", to="the result"),
            _WINDOW,
            _ACTIVATION,
            _COMMON,
        ),
        _RESULT.replace("{channels}", "C*M").replace("{p}", "{o}"),
        _SIZE_NOTE
        + """
For each image it takes ``C*M * {out_size} * {kernel_size}`` multiply-accumulate operations (MACs), that is
a factor O fewer than a standard convolution with ``M = 1`` and O output channels. It is the first stage of
a depthwise separable convolution [1]_ [2]_.""",
        (_SIFRE, _HOWARD),
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
            _X,
            _POINTWISE_WEIGHT.replace("{name}", "weight").replace("{K}", "C"),
            _BIAS.format(name="bias", length="O", to="the result"),
            _ACTIVATION,
            _COMMON,
        ),
        _RESULT.replace("{channels}", "O").replace("{p}", "{s}"),
        """For each image it takes ``O * C * {in_size}`` multiply-accumulate operations (MACs). The 1x1
        convolution comes from
[1]_; it is the second stage of a depthwise separable convolution [2]_.""",
        (_LIN, _HOWARD),
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
            _X,
            _DEPTHWISE_WEIGHT.replace("{name}", "depthwise_weight").replace("{of}", "after the first stage"),
            _POINTWISE_WEIGHT.replace("{name}", "pointwise_weight").replace("{K}", "C*M"),
            _BIAS.format(name="depthwise_bias", length="C*M", to="the result of the first stage"),
            _BIAS.format(name="pointwise_bias", length="O", to="the result of the second stage"),
            _WINDOW,
            "depthwise_" + _ACTIVATION.replace("to the result", "to the result of the first stage"),
            "activation : str or None, optional\n    The same for the second stage.",
            _COMMON,
        ),
        _RESULT.replace("{channels}", "O").replace("{p}", "{o}"),
        _SIZE_NOTE
        + """
The depthwise result is never stored whole: a tile of it feeds the pointwise stage while it is in cache.

For each image it takes ``{out_size} * C*M * ({kernel_size} + O)`` multiply-accumulate operations (MACs). A
standard convolution takes ``{out_size} * C * {kernel_size} * O``; with ``M = 1`` the ratio is ``1/O +
1/({kernel_size})`` [2]_. The factorisation comes from [1]_; whole networks were built of it in [2]_ and
[3]_.""",
        (_SIFRE, _HOWARD, _CHOLLET),
        """>>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((1, 3, {eights}), np.float32)
>>> depthwise_weight = np.ones((3, 1, {threes}), np.float32)
>>> pointwise_weight = np.ones((16, 3), np.float32)
>>> ds.separable_conv{rank}d(x, depthwise_weight, pointwise_weight, padding=1, stride=2).shape
(1, 16, {fours})""",
    ),
}


def of_function(operation, rank):
    """The docstring of `operation` at `rank`, in numpydoc's form."""
    summary, parameters, result, notes, references, example = _TEMPLATES[operation]
    spatial, kernel, output = _SPATIAL[-rank:], _KERNEL[-rank:], _OUTPUT[-rank:]
    text = (
        summary
        + _section("Parameters", "\n".join(parameters))
        + _section("Returns", result)
        + _section("Raises", _RAISES)
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
        in_size="*".join(spatial),
        kernel_size="*".join(kernel),
        out_size="*".join(output),
        ones=", ".join("1" * rank),
        threes=", ".join("3" * rank),
        fours=", ".join("4" * rank),
        eights=", ".join("8" * rank),
    )
