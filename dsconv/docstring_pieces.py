"""What the docstrings of several functions have in common; braces are filled in by `docstrings`."""

X = """x : array_like, shape (..., C, {s})
    The input, with any number of leading batch axes, none too; ``(..., {s}, C)`` with
    ``data_format="channels_last"``."""

DEPTHWISE_WEIGHT = """{name} : array_like, shape (C, M, {k})
    The filters, M for each input channel: channel ``c*M + m`` {of} is input channel c under
    filter ``[c, m]``. PyTorch's ``(C*M, 1, {k})`` is taken too. Leading axes broadcast against those of
    `x`."""

POINTWISE_WEIGHT = """{name} : array_like, shape (O, {K})
    One row for each output channel. PyTorch's ``(O, {K}, {ones})`` is taken too; leading axes, which
    broadcast against those of `x`, go with the two-axis form only."""

NATIVE_WEIGHT = """{name} : array_like, shape (C, M, {k})
    The filters, M for each input channel: channel ``c*M + m`` {of} is input channel c under
    filter ``[c, m]``. It is the form in which PyTorch keeps the filters of a transposed convolution with C
    groups. Leading axes broadcast against those of `x`."""

TRANSPOSED_WINDOW = """stride, dilation : int or tuple of int, optional
    Distance of the inputs in the output, and of the taps (the atrous rate): one for all, or one for each
    spatial axis.
padding : int, tuple or str, optional
    What is cut off the output, as in PyTorch: one for all; one for each spatial axis; one ``(low, high)``
    pair for each; ``"valid"`` (none); ``"same"`` or ``"same_upper"`` (output ``input*stride``).
output_padding : int or tuple of int, optional
    Elements added at the end of the output, less than the larger of stride and dilation: of the input sizes
    that a convolution takes to one output size, it tells which is meant.
output_size : int or tuple of int, optional
    The spatial size of the output, which says the same another way; None for `output_padding`."""

GRAD_OUTPUT = """grad_output : array_like, shape (..., {channels}, {of})
    The gradient of what `{forward}` returns, with any number of leading batch axes, none too;
    ``(..., {of}, {channels})`` with ``data_format="channels_last"``."""

WINDOW = """stride, dilation : int or tuple of int, optional
    Step of the window, and distance of its taps (the atrous rate): one for all, or one for each spatial axis.
padding : int, tuple or str, optional
    One for all; one for each spatial axis; one ``(low, high)`` pair for each; ``"valid"`` (none);
    ``"same"`` or ``"same_upper"`` (output ``ceil(input/stride)``, the odd element at the end);
    ``"same_lower"`` (the odd one first); ``"full"``; ``"causal"`` (on the first spatial axis all of it
    before, the others ``"same"``).
padding_mode : {{"zeros", "reflect", "symmetric", "replicate", "edge", "circular", "wrap"}}, optional
    What the padding consists of, in the words of `numpy.pad`; ``"edge"`` is ``"replicate"`` and ``"wrap"`` is
    ``"circular"``. No padded copy of `x` is made."""

ACTIVATION = """activation : str or None, optional
    Applied to the result, in the same pass: ``"relu"``, ``"relu6"``, ``"hardswish"``,
    ``"hardsigmoid"``, ``"silu"``, ``"sigmoid"``, ``"tanh"`` or ``"gelu"`` (exact, by erf). None for complex
    values."""

COMMON = """data_format : {{"channels_first", "channels_last"}}, optional
    Where `x` and the result have their channels.
out : ndarray or tuple of one ndarray, optional
    Where the result is written. It may overlap the inputs, `x` itself included.
dtype : dtype, optional
    The type to compute in: float16, bfloat16 (of `ml_dtypes`), float32, float64, complex64 or complex128; the
    first two accumulate in float32. By default that which all inputs promote to; integers and bool promote
    with float32, from int32 up with float64.
casting : str, optional
    What casts `dtype` and `out` may ask for, as in every ufunc."""

RAISES = """ValueError
    For sizes that do not fit together or arguments out of range; the message names the argument, the rule,
    what came and what was needed.
TypeError
    For arguments of a wrong type, and for data types other than the above.
OverflowError
    For integers that do not fit 64 bits.
MemoryError
    Where the result cannot be allocated."""

SIZE_NOTE = """Convolution is cross-correlation, as in deep-learning libraries: the filter is not flipped.
Along each axis the output has ``floor((input + low + high - dilation*(kernel - 1) - 1)/stride) + 1``
elements (`conv_output_size`). Padded zeros count as skipped: an infinite weight over them makes no NaN.
"""

SIFRE = """L. Sifre and S. Mallat, "Rigid-motion scattering for texture classification", 2014,
   arXiv:1403.1687."""
HOWARD = """A. G. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
   applications", 2017, arXiv:1704.04861."""
CHOLLET = """F. Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017,
   arXiv:1610.02357."""
ZEILER = """M. D. Zeiler, D. Krishnan, G. W. Taylor and R. Fergus, "Deconvolutional networks", CVPR 2010."""
DUMOULIN = """V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016,
   arXiv:1603.07285."""
RUMELHART = """D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by back-propagating
   errors", Nature 323, 1986."""
LIN = """M. Lin, Q. Chen and S. Yan, "Network in network", ICLR 2014, arXiv:1312.4400."""


BIAS = "{name} : array_like, shape ({length},), optional\n    Added to {to}."

RESULT = """ndarray, shape (..., {channels}, {p})
    ``(..., {p}, {channels})`` with ``data_format="channels_last"``."""
