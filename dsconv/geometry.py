"""Geometry arguments: every accepted spelling, checked and brought into one canonical form.

Nothing here looks at an array. `canonical_padding` and the others return plain tuples and strings that
serve as cache keys and go to the C side as they are.
"""

from operator import index

INT64_MAX = 2**63 - 1
MAX_RANK = 3

PADDINGS = ("valid", "same", "same_upper", "same_lower", "full", "causal")
TRANSPOSED_PADDINGS = ("valid", "same", "same_upper")
PADDING_MODES = ("zeros", "reflect", "symmetric", "replicate", "edge", "circular", "wrap")
ACTIVATIONS = ("relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid", "tanh", "gelu")
DATA_FORMATS = ("channels_first", "channels_last")

_MODE_ALIASES = {"edge": "replicate", "wrap": "circular"}
_WORD_KINDS = {"valid": "explicit", "same": "same_upper"}

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
    items = items_of(value)
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


def items_of(value):
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
def canonical_padding(value, rank, name="padding", words=PADDINGS):
    """(kind, low, high): kind is "explicit", or a rule of the C side, for which low and high are zeros."""
    zeros = (0,) * rank
    if isinstance(value, str):
        if value not in words:
            raise ValueError(_padding_word_message(value, name, words))
        return _WORD_KINDS.get(value, str(value)), zeros, zeros
    items = items_of(value)
    if items is None:
        if not _is_integer(value):
            raise TypeError(f"{name}: expected {_padding_rule(rank, words)}, got {_show(value)}")
        low = (as_integer(value, name, 0),) * rank
        return "explicit", low, low
    low, high = _padding_items(value, items, rank, name, words)
    return "explicit", low, high


def _padding_items(value, items, rank, name, words):
    pairs = [items_of(item) for item in items]
    if len(items) != rank:
        raise ValueError(_padding_length_message(value, items, pairs, rank, name, words))
    if all(pair is None for pair in pairs):
        low = tuple(as_integer(item, f"{name}[{axis}]", 0) for axis, item in enumerate(items))
        return low, low
    for axis, pair in enumerate(pairs):
        if pair is None or len(pair) != 2:
            raise ValueError(
                f"{name}: expected {_padding_rule(rank, words)}; {name}[{axis}] is {_show(items[axis])}, "
                f"which is not a (low, high) pair, in {_show(value)}"
            )
    low = tuple(as_integer(pair[0], f"{name}[{axis}][0]", 0) for axis, pair in enumerate(pairs))
    high = tuple(as_integer(pair[1], f"{name}[{axis}][1]", 0) for axis, pair in enumerate(pairs))
    return low, high


def _padding_rule(rank, words):
    each = (
        "a tuple of 1 integer, one (low, high) pair in a tuple"
        if rank == 1
        else (f"a tuple of {rank} integers, a tuple of {rank} (low, high) pairs")
    )
    return f"an integer, {each}, or one of {_choices(words)}"


def _padding_length_message(value, items, pairs, rank, name, words):
    message = f"{name}: expected {_padding_rule(rank, words)}, got {len(items)} values: {_show(value)}"
    flat = all(pair is None for pair in pairs)
    if flat and len(items) == 2 * rank:
        suggestion = tuple(zip(items[::2], items[1::2], strict=True))
        message += f". For (low, high) pairs write {name}={suggestion}"
    return message


def _padding_word_message(value, name, words):
    message = f"{name}: expected one of {_choices(words)}, an integer or a tuple, got {value!r}"
    word = value.lower()
    if value in PADDINGS:
        return f"{message}, which a transposed convolution does not have"
    if word in words:
        return f"{message}; did you mean {word!r}?"
    if word in PADDING_MODES or word in _MODE_HINTS:
        return f"{message}; that is a padding_mode: padding says how much, padding_mode with what"
    if word in _PADDING_HINTS:
        return f"{message}; did you mean {_PADDING_HINTS[word]!r}?"
    return message


def canonical_output(output_padding, output_size, kind, stride, dilation, rank):
    """(output_padding, sizes) of a transposed convolution; sizes is () without an `output_size`."""
    extra = per_axis(output_padding, "output_padding", rank, 0)
    sizes = () if output_size is None else per_axis(output_size, "output_size", rank, 1)
    if any(extra) and sizes:
        raise ValueError(
            "output_padding: must be 0 where output_size is given, which decides it; got output_padding="
            f"{_show(output_padding)} and output_size={_show(output_size)}"
        )
    if any(extra) and kind != "explicit":
        raise ValueError(
            'output_padding: must be 0 with padding="same", which makes the output input*stride long; got '
            f"{_show(output_padding)}"
        )
    for axis, (value, step, rate) in enumerate(zip(extra, stride, dilation, strict=True)):
        if value >= max(step, rate):
            raise ValueError(
                "output_padding: must be less than the larger of stride and dilation on each axis, got "
                f"{value} on spatial axis {axis} with stride {step} and dilation {rate}"
            )
    return extra, sizes


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
