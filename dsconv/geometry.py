"""Geometry arguments: every accepted spelling, checked and brought into one canonical form.

Nothing here looks at an array. `canonical_padding` and the others return plain tuples and strings that
serve as cache keys and go to the C side as they are; `conv_output_size` is the size arithmetic in exact
Python integers.
"""

from operator import index

INT64_MAX = 2**63 - 1
MAX_RANK = 3

PADDINGS = ("valid", "same", "same_upper", "same_lower", "full", "causal")
PADDING_MODES = ("zeros", "reflect", "symmetric", "replicate", "edge", "circular", "wrap")
ACTIVATIONS = ("relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid", "tanh", "gelu")
DATA_FORMATS = ("channels_first", "channels_last")

_MODE_ALIASES = {"edge": "replicate", "wrap": "circular"}

# What other libraries call it, and what that is here.
_PADDING_HINTS = {"zero": 0, "none": "valid", "half": "same"}
_MODE_HINTS = {
    "mirror": "reflect",
    "nearest": "replicate",
    "constant": "zeros",
    "zero": "zeros",
    "grid-constant": "zeros",
    "grid-mirror": "symmetric",
    "grid-wrap": "circular",
    "periodic": "circular",
}
_ACTIVATION_HINTS = {
    "swish": "silu",
    "hard_swish": "hardswish",
    "hard_sigmoid": "hardsigmoid",
    "linear": None,
    "identity": None,
    "none": None,
}
_FORMAT_HINTS = {
    "ncw": "channels_first",
    "nchw": "channels_first",
    "ncdhw": "channels_first",
    "nwc": "channels_last",
    "nhwc": "channels_last",
    "ndhwc": "channels_last",
}


# ---- integers ------------------------------------------------------------------------------------
def as_integer(value, name, minimum):
    """`value` as a Python int of at least `minimum` that fits int64; bool is not an integer here."""
    if type(value) is not int:
        # bool has __index__, so stride=True would pass for 1
        if isinstance(value, bool) or not hasattr(type(value), "__index__"):
            raise TypeError(f"{name}: expected an integer, got {_show(value)}")
        try:
            value = index(value)
        except TypeError:
            raise TypeError(f"{name}: expected an integer, got {_show(value)}") from None
    if value < minimum:
        raise ValueError(f"{name}: must be at least {minimum}, got {value}")
    if value > INT64_MAX:
        raise OverflowError(f"{name}: {value} does not fit a 64-bit integer (at most {INT64_MAX})")
    return value


def per_axis(value, name, rank, minimum):
    """An int for all axes, or one int per spatial axis, as a tuple of `rank` ints."""
    items = _items(value)
    if items is None:
        if not _is_integer(value):
            raise TypeError(f"{name}: expected {_per_axis_rule(rank)}, got {_show(value)}")
        return (as_integer(value, name, minimum),) * rank
    if len(items) != rank:
        raise ValueError(f"{name}: expected {_per_axis_rule(rank)}, got {len(items)} values: {_show(value)}")
    return tuple(as_integer(item, f"{name}[{axis}]", minimum) for axis, item in enumerate(items))


def _per_axis_rule(rank):
    return (
        "an integer or a tuple of 1 integer"
        if rank == 1
        else (f"an integer, or a tuple of {rank} integers, one per spatial axis")
    )


def _is_integer(value):
    return type(value) is int or (hasattr(type(value), "__index__") and not isinstance(value, bool))


def _items(value):
    """The elements of a tuple, list, range or array; None for everything else (strings and sets too)."""
    if isinstance(value, (tuple, list, range)):
        return tuple(value)
    if getattr(value, "ndim", 0) and hasattr(value, "tolist"):
        return tuple(value.tolist())
    return None


def _show(value):
    """`value` for a message: short, with its type where the value alone does not tell."""
    text = repr(value)
    if len(text) > 80:
        text = text[:77] + "..."
    return text if value is None or isinstance(value, (tuple, list)) else f"{text} ({type(value).__name__})"


# ---- padding -------------------------------------------------------------------------------------
def canonical_padding(value, rank, name="padding"):
    """(kind, low, high): kind is "explicit", or a rule of the C side, for which low and high are zeros."""
    zeros = (0,) * rank
    if isinstance(value, str):
        if value == "valid":
            return "explicit", zeros, zeros
        if value == "same":
            return "same_upper", zeros, zeros
        if value in PADDINGS:
            return str(value), zeros, zeros
        raise ValueError(_padding_word_message(value, name))
    items = _items(value)
    if items is None:
        if not _is_integer(value):
            raise TypeError(f"{name}: expected {_padding_rule(rank)}, got {_show(value)}")
        low = (as_integer(value, name, 0),) * rank
        return "explicit", low, low
    low, high = _padding_items(value, items, rank, name)
    return "explicit", low, high


def _padding_items(value, items, rank, name):
    pairs = [_items(item) for item in items]
    if len(items) != rank:
        raise ValueError(_padding_length_message(value, items, pairs, rank, name))
    if all(pair is None for pair in pairs):
        low = tuple(as_integer(item, f"{name}[{axis}]", 0) for axis, item in enumerate(items))
        return low, low
    for axis, pair in enumerate(pairs):
        if pair is None or len(pair) != 2:
            raise ValueError(
                f"{name}: expected {_padding_rule(rank)}; {name}[{axis}] is {_show(items[axis])}, "
                f"which is not a (low, high) pair, in {_show(value)}"
            )
    low = tuple(as_integer(pair[0], f"{name}[{axis}][0]", 0) for axis, pair in enumerate(pairs))
    high = tuple(as_integer(pair[1], f"{name}[{axis}][1]", 0) for axis, pair in enumerate(pairs))
    return low, high


def _padding_rule(rank):
    each = (
        "a tuple of 1 integer, one (low, high) pair in a tuple"
        if rank == 1
        else (f"a tuple of {rank} integers, a tuple of {rank} (low, high) pairs")
    )
    return f"an integer, {each}, or one of {_choices(PADDINGS)}"


def _padding_length_message(value, items, pairs, rank, name):
    message = f"{name}: expected {_padding_rule(rank)}, got {len(items)} values: {_show(value)}"
    flat = all(pair is None for pair in pairs)
    if flat and len(items) == 2 * rank:
        suggestion = tuple(zip(items[::2], items[1::2], strict=True))
        message += f". For (low, high) pairs write {name}={suggestion}"
    return message


def _padding_word_message(value, name):
    message = f"{name}: expected one of {_choices(PADDINGS)}, an integer or a tuple, got {value!r}"
    word = value.lower()
    if word in PADDINGS:
        return f"{message}; did you mean {word!r}?"
    if word in PADDING_MODES or word in _MODE_HINTS:
        return f"{message}; that is a padding_mode: padding says how much, padding_mode with what"
    if word in _PADDING_HINTS:
        return f"{message}; did you mean {_PADDING_HINTS[word]!r}?"
    return message


# ---- words ---------------------------------------------------------------------------------------
def canonical_mode(value, name="padding_mode"):
    value = _word(value, name, PADDING_MODES, _MODE_HINTS)
    return _MODE_ALIASES.get(value, value)


def canonical_activation(value, name="activation"):
    return None if value is None else _word(value, name, ACTIVATIONS, _ACTIVATION_HINTS, " or None")


def canonical_format(value, name="data_format"):
    """True for channels_last."""
    return _word(value, name, DATA_FORMATS, _FORMAT_HINTS) == "channels_last"


def _word(value, name, choices, hints, otherwise=""):
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {_choices(choices)}{otherwise}, got {_show(value)}")
    if value in choices:
        return str(value)
    message = f"{name}: expected one of {_choices(choices)}{otherwise}, got {value!r}"
    word = value.lower()
    if word in choices:
        message += f"; did you mean {word!r}?"
    elif word in hints:
        message += f"; the equivalent here is {hints[word]!r}"
    raise ValueError(message)


def _choices(words):
    return ", ".join(f'"{word}"' for word in words)


# ---- sizes ---------------------------------------------------------------------------------------
def conv_output_size(input_size, kernel_size, *, stride=1, padding=0, dilation=1):
    """Spatial size of a convolution's result.

    Parameters
    ----------
    input_size, kernel_size : int or tuple of int
        Spatial sizes, without batch and channels. With two ints the rank is 1 and the result is an int;
        with a tuple in either place the result is a tuple.
    stride, dilation : int or tuple of int
        As in `depthwise_conv2d`.
    padding : int, tuple or str
        As in `depthwise_conv2d`.

    Returns
    -------
    int or tuple of int
        ``floor((input + low + high - dilation*(kernel - 1) - 1) / stride) + 1`` for each axis.

    Raises
    ------
    ValueError
        Where the numerator is below 0, that is where the dilated kernel is longer than the padded input,
        and for arguments out of range.
    OverflowError
        Where a size exceeds the 64-bit integers.

    Examples
    --------
    >>> import dsconv as ds
    >>> ds.conv_output_size(224, 3, stride=2, padding=1)
    112
    >>> ds.conv_output_size((5, 7), 3, padding="same", stride=2)
    (3, 4)
    """
    items = next((i for i in (_items(input_size), _items(kernel_size)) if i is not None), None)
    rank = 1 if items is None else len(items)
    if rank == 0:
        raise ValueError("input_size, kernel_size: expected at least one spatial axis, got ()")
    sizes = per_axis(input_size, "input_size", rank, 0)
    kernel = per_axis(kernel_size, "kernel_size", rank, 1)
    stride = per_axis(stride, "stride", rank, 1)
    dilation = per_axis(dilation, "dilation", rank, 1)
    result = output_sizes(sizes, kernel, stride, dilation, canonical_padding(padding, rank))
    return result[0] if items is None else result


def output_sizes(sizes, kernel, stride, dilation, padding):
    """`conv_output_size` on canonical tuples; `padding` as `canonical_padding` returns it."""
    kind, low, high = padding
    return tuple(
        _output_size(axis, kind, *each)
        for axis, each in enumerate(zip(sizes, kernel, stride, dilation, low, high, strict=True))
    )


def _output_size(axis, kind, size, kernel, stride, dilation, low, high):
    reach = dilation * (kernel - 1)
    if kind == "full":
        low = high = reach
    elif kind == "causal" and axis == 0:
        low = reach
    elif kind != "explicit":
        # "same" is defined by its result, whatever padding that takes
        low, high = max(((size + stride - 1) // stride - 1) * stride + reach + 1 - size, 0), 0
    padded = size + low + high
    terms = f"spatial axis {axis}: input {size}, padding {low} + {high}, dilation {dilation}, kernel {kernel}"
    if max(padded, reach) > INT64_MAX:
        raise OverflowError(f"padding, dilation: the padded size does not fit a 64-bit integer: {terms}")
    if padded - reach - 1 < 0:
        raise ValueError(
            "kernel_size: the dilated kernel must not be longer than the padded input: "
            f"dilation*(kernel - 1) + 1 = {reach + 1} > input + low + high = {padded} ({terms})"
        )
    return (padded - reach - 1) // stride + 1
