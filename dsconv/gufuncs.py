"""The table of operations, and the cache of the ufuncs made from it.

A gufunc takes no `stride=`, so there is one ufunc for each geometry. A new operation is one row of
`OPERATIONS`.
"""

import os
import threading
from collections import namedtuple
from functools import lru_cache

from . import _core, geometry

CACHE_SIZE = 1024

# operands: in the order of the ufunc's inputs and of the function's arguments; a role names the core axes.
# keywords: the geometry arguments, in the order in which the function hands them on.
# result: the role whose core axes the result has.
Operation = namedtuple("Operation", "title operands keywords result", defaults=("y",))
Operand = namedtuple("Operand", "argument role optional", defaults=(False,))

_X = Operand("x", "x")
_GRAD = Operand("grad_output", "grad_output")
_DEPTHWISE = (_X, Operand("weight", "depthwise_weight"), Operand("bias", "depthwise_bias", True))
_POINTWISE = (_X, Operand("weight", "pointwise_weight"), Operand("bias", "pointwise_bias", True))
_SEPARABLE = (
    _X,
    Operand("depthwise_weight", "depthwise_weight"),
    Operand("pointwise_weight", "pointwise_weight"),
    Operand("depthwise_bias", "depthwise_bias", True),
    Operand("pointwise_bias", "pointwise_bias", True),
)
_WINDOW = ("stride", "padding", "dilation", "padding_mode")
_TRANSPOSED = ("stride", "padding", "output_padding", "output_size", "dilation")
_BOTH_ACTIVATIONS = ("depthwise_activation", "activation")

OPERATIONS = {
    "depthwise_conv": Operation("depthwise convolution", _DEPTHWISE, (*_WINDOW, "activation", "data_format")),
    "pointwise_conv": Operation("pointwise convolution", _POINTWISE, ("activation", "data_format")),
    "separable_conv": Operation(
        "depthwise separable convolution", _SEPARABLE, (*_WINDOW, *_BOTH_ACTIVATIONS, "data_format")
    ),
    "depthwise_conv_transpose": Operation(
        "transposed depthwise convolution", _DEPTHWISE, (*_TRANSPOSED, "activation", "data_format")
    ),
    "separable_conv_transpose": Operation(
        "transposed depthwise separable convolution",
        _SEPARABLE,
        (*_TRANSPOSED, *_BOTH_ACTIVATIONS, "data_format"),
    ),
    "depthwise_conv_input_grad": Operation(
        "input gradient of the depthwise convolution",
        (_GRAD, _DEPTHWISE[1]),
        ("input_size", *_WINDOW, "data_format"),
        "x",
    ),
    "depthwise_conv_weight_grad": Operation(
        "weight gradient of the depthwise convolution",
        (_X, _GRAD),
        ("kernel_size", *_WINDOW, "data_format", "batch_axes"),
        "depthwise_weight",
    ),
    "depthwise_conv_transpose_input_grad": Operation(
        "input gradient of the transposed depthwise convolution",
        (_GRAD, _DEPTHWISE[1]),
        ("input_size", "stride", "padding", "dilation", "data_format"),
        "x",
    ),
    "depthwise_conv_transpose_weight_grad": Operation(
        "weight gradient of the transposed depthwise convolution",
        (_X, _GRAD),
        ("kernel_size", "stride", "padding", "dilation", "data_format", "batch_axes"),
        "depthwise_weight",
    ),
    "pointwise_conv_input_grad": Operation(
        "input gradient of the pointwise convolution", (_GRAD, _POINTWISE[1]), ("data_format",), "x"
    ),
    "pointwise_conv_weight_grad": Operation(
        "weight gradient of the pointwise convolution",
        (_X, _GRAD),
        ("data_format", "batch_axes"),
        "pointwise_weight",
    ),
}

# what the standard convolution and the gradients of biases and activations are made of; no functions of their
# own. The weight of the first, (O, C, *kernel), must be dense but for its first axis.
INTERNAL = {
    "standard_conv": Operation("standard convolution", _POINTWISE, (*_WINDOW, "activation", "data_format")),
    "channel_sum": Operation(
        "sum over all axes but the channels", (_GRAD,), ("data_format", "batch_axes"), "pointwise_bias"
    ),
    "activation": Operation("activation", (_X,), ("activation",), "x"),
    "activation_grad": Operation("gradient of an activation", (_X, _GRAD), ("activation",), "x"),
}

DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "output_size": None,
    "dilation": 1,
    "padding_mode": "zeros",
    "depthwise_activation": None,
    "activation": None,
    "data_format": "channels_first",
    "batch_axes": 0,
}
# bound sizes without a default, and the least that they may be
NEEDED = {"input_size": 0, "kernel_size": 1}
BATCH_AXES_MOST = 24

# Everything that tells one ufunc from another; the order of the C constructor's arguments.
Geometry = namedtuple(
    "Geometry",
    "operation rank channels_last depthwise_bias pointwise_bias stride dilation padding low high "
    "padding_mode depthwise_activation activation output_padding sizes batch_axes",
)


# ---- names ---------------------------------------------------------------------------------------
def public_name(operation, rank):
    """The rank goes inside: ("depthwise_conv_input_grad", 2) is "depthwise_conv2d_input_grad"."""
    for suffix in ("_input_grad", "_weight_grad"):
        if operation.endswith(suffix):
            return f"{operation.removesuffix(suffix)}{rank}d{suffix}"
    return f"{operation}{rank}d"


_NAMES = {
    public_name(operation, rank): (operation, rank)
    for operation in OPERATIONS
    for rank in range(1, geometry.MAX_RANK + 1)
}


def split_name(name):
    """The operation and the rank of a public name."""
    if not isinstance(name, str):
        raise TypeError(f"name: expected a string such as 'depthwise_conv2d', got {type(name).__name__}")
    if name in _NAMES:
        return _NAMES[name]
    known = ", ".join(public_name(each, "{1,2,3}") for each in OPERATIONS)
    raise ValueError(f"name: expected one of {known}, got {name!r}")


def flags_of(operation):
    """The optional operands of a row: {argument: role}."""
    return {operand.argument: operand.role for operand in OPERATIONS[operation].operands if operand.optional}


def canonical(operation, rank, given, present=()):
    """The `Geometry` of a call.

    `given` holds geometry keywords as the user spelt them, `present` the roles of the optional operands.
    """
    get = {**DEFAULTS, **given}
    words = geometry.TRANSPOSED_PADDINGS if "_transpose" in operation else geometry.PADDINGS
    kind, low, high = geometry.canonical_padding(get["padding"], rank, words=words)
    stride = geometry.per_axis(get["stride"], "stride", rank, 1)
    dilation = geometry.per_axis(get["dilation"], "dilation", rank, 1)
    extra, sizes = geometry.canonical_output(
        get["output_padding"], get["output_size"], kind, stride, dilation, rank
    )
    for name, least in NEEDED.items():
        if name in get:
            sizes = geometry.per_axis(get[name], name, rank, least)
    return Geometry(
        operation,
        rank,
        geometry.canonical_format(get["data_format"]),
        "depthwise_bias" in present,
        "pointwise_bias" in present,
        stride,
        dilation,
        kind,
        low,
        high,
        geometry.canonical_mode(get["padding_mode"]),
        geometry.canonical_activation(get["depthwise_activation"], "depthwise_activation"),
        geometry.canonical_activation(get["activation"]),
        extra,
        sizes,
        _batch_axes(get["batch_axes"]),
    )


def _batch_axes(value):
    value = geometry.as_integer(value, "batch_axes", 0)
    if value > BATCH_AXES_MOST:
        raise ValueError(f"batch_axes: must be at most {BATCH_AXES_MOST}, got {value}; reshape them into one")
    return value


# ---- the cache -----------------------------------------------------------------------------------
@lru_cache(maxsize=CACHE_SIZE)
def _cached(key):
    name = public_name(key.operation, key.rank)
    return _core.make_gufunc(*key, name, _ufunc_doc(name, key))


def _new_lock():
    global _lock
    # reentrant: a signal handler or a finalizer may call in while this thread holds it
    _lock = threading.RLock()


_new_lock()
if hasattr(os, "register_at_fork"):
    # another thread may have held the lock at the fork, and does not exist in the child
    os.register_at_fork(after_in_child=_new_lock)


def ufunc_of(key):
    """The ufunc of a `Geometry`; the same object as long as it stays among the last `CACHE_SIZE` in use."""
    # lru_cache alone would let two threads make, and hand out, two ufuncs of one geometry
    with _lock:
        return _cached(key)


def _ufunc_doc(name, key):
    words = ", ".join(f"{field}={value!r}" for field, value in zip(key._fields[2:], key[2:], strict=True))
    internal = INTERNAL.get(key.operation)
    what = f"{OPERATIONS[key.operation].title} as `dsconv.{name}`" if internal is None else internal.title
    return f"{what[0].upper()}{what[1:]}, bound to {words}."


# ---- the public function -------------------------------------------------------------------------
def gufunc(name, /, **geometry):
    """A NumPy generalized ufunc with the geometry bound in.

    Parameters
    ----------
    name : str
        The name of a function of this package: ``"depthwise_conv1d"``, ``"pointwise_conv2d"``,
        ``"separable_conv_transpose3d"``, ``"depthwise_conv2d_input_grad"`` and so on.
    **geometry
        The geometry arguments of that function, with the same defaults: `stride`, `padding`, `dilation`,
        `padding_mode`, `activation`, `data_format`, `output_size`, `input_size`, `kernel_size` and others,
        as far as it has them. For each optional operand a flag of its name, False by default: ``bias=True``,
        or ``depthwise_bias=True`` and ``pointwise_bias=True`` for the separable ones, adds it to the inputs.
        Weight gradients also take `batch_axes`, 0 by default: the number of batch axes, up to 24, that are
        core axes of both inputs and summed over.

    Returns
    -------
    numpy.ufunc
        The inputs stand in the order of the function's arguments; their core axes are in its ``signature``.
        It takes ``out``, ``axes``, ``dtype``, ``casting``, ``order``, ``signature`` and broadcasts over
        leading axes as every gufunc does. Weights have their native form, ``(C, M, *kernel)`` and ``(O,
        C*M)``.

    Raises
    ------
    ValueError, TypeError
        For a name, a keyword or a value that does not exist; the message says which do.

    Notes
    -----
    Equal geometry gives the same object, however it is spelt. At most 1024 are kept, those used last.

    Examples
    --------
    >>> import dsconv as ds
    >>> f = ds.gufunc("depthwise_conv2d", stride=2, padding=1)
    >>> f.signature
    '(c,h,w),(c,m,i,j)->(o,p,q)'
    """
    operation, rank = split_name(name)
    flags = flags_of(operation)
    given, present = {}, set()
    for keyword, value in geometry.items():
        if keyword in OPERATIONS[operation].keywords:
            given[keyword] = value
        elif keyword not in flags:
            raise TypeError(_keyword_message(name, operation, keyword))
        elif _flag(value, keyword):
            present.add(flags[keyword])
    for keyword in NEEDED:
        if keyword in OPERATIONS[operation].keywords and keyword not in given:
            raise TypeError(f"{keyword}: gufunc({name!r}) needs it, as it is in no operand's shape")
    return ufunc_of(canonical(operation, rank, given, present))


def _flag(value, name):
    if value is True or value is False:
        return value
    raise TypeError(
        f"{name}: expected True or False (does the ufunc take this operand?), got {type(value).__name__}; "
        "the operand itself goes to the call"
    )


def _keyword_message(name, operation, keyword):
    accepted = ", ".join((*OPERATIONS[operation].keywords, *flags_of(operation)))
    return f"gufunc({name!r}) got an unexpected keyword {keyword!r}; it takes {accepted}"
