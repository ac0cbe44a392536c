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
Operation = namedtuple("Operation", "title operands keywords")
Operand = namedtuple("Operand", "argument role optional")

_WINDOW = ("stride", "padding", "dilation", "padding_mode")

OPERATIONS = {
    "depthwise_conv": Operation(
        "depthwise convolution",
        (
            Operand("x", "x", False),
            Operand("weight", "depthwise_weight", False),
            Operand("bias", "depthwise_bias", True),
        ),
        (*_WINDOW, "activation", "data_format"),
    ),
    "pointwise_conv": Operation(
        "pointwise convolution",
        (
            Operand("x", "x", False),
            Operand("weight", "pointwise_weight", False),
            Operand("bias", "pointwise_bias", True),
        ),
        ("activation", "data_format"),
    ),
    "separable_conv": Operation(
        "depthwise separable convolution",
        (
            Operand("x", "x", False),
            Operand("depthwise_weight", "depthwise_weight", False),
            Operand("pointwise_weight", "pointwise_weight", False),
            Operand("depthwise_bias", "depthwise_bias", True),
            Operand("pointwise_bias", "pointwise_bias", True),
        ),
        (*_WINDOW, "depthwise_activation", "activation", "data_format"),
    ),
}

DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "padding_mode": "zeros",
    "depthwise_activation": None,
    "activation": None,
    "data_format": "channels_first",
}

# Everything that tells one ufunc from another; the order of the C constructor's arguments.
Geometry = namedtuple(
    "Geometry",
    "operation rank channels_last depthwise_bias pointwise_bias stride dilation padding low high "
    "padding_mode depthwise_activation activation",
)


def flags_of(operation):
    """The optional operands of a row: {argument: role}."""
    return {operand.argument: operand.role for operand in OPERATIONS[operation].operands if operand.optional}


def canonical(operation, rank, given, present):
    """The `Geometry` of a call.

    `given` holds geometry keywords as the user spelt them, `present` the roles of the optional operands.
    """
    get = {**DEFAULTS, **given}
    kind, low, high = geometry.canonical_padding(get["padding"], rank)
    return Geometry(
        operation,
        rank,
        geometry.canonical_format(get["data_format"]),
        "depthwise_bias" in present,
        "pointwise_bias" in present,
        geometry.per_axis(get["stride"], "stride", rank, 1),
        geometry.per_axis(get["dilation"], "dilation", rank, 1),
        kind,
        low,
        high,
        geometry.canonical_mode(get["padding_mode"]),
        geometry.canonical_activation(get["depthwise_activation"], "depthwise_activation"),
        geometry.canonical_activation(get["activation"]),
    )


# ---- the cache -----------------------------------------------------------------------------------
@lru_cache(maxsize=CACHE_SIZE)
def _cached(key):
    name = f"{key.operation}{key.rank}d"
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
    return f"{OPERATIONS[key.operation].title.capitalize()} as `dsconv.{name}`, bound to {words}."


# ---- the public function -------------------------------------------------------------------------
def gufunc(name, /, **geometry):
    """A NumPy generalized ufunc with the geometry bound in.

    Parameters
    ----------
    name : str
        The name of a function of this package: ``"depthwise_conv1d"``, ``"pointwise_conv2d"``,
        ``"separable_conv3d"`` and so on.
    **geometry
        The geometry arguments of that function, with the same defaults: `stride`, `padding`, `dilation`,
        `padding_mode`, `activation`, `depthwise_activation`, `data_format`, as far as it has them. For each
        optional operand a flag of its name, False by default: ``bias=True``, or ``depthwise_bias=True`` and
        ``pointwise_bias=True`` for the separable ones, adds it to the inputs.

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
    operation, rank = _parse_name(name)
    flags = flags_of(operation)
    given, present = {}, set()
    for keyword, value in geometry.items():
        if keyword in OPERATIONS[operation].keywords:
            given[keyword] = value
        elif keyword not in flags:
            raise TypeError(_keyword_message(name, operation, keyword))
        elif _flag(value, keyword):
            present.add(flags[keyword])
    return ufunc_of(canonical(operation, rank, given, present))


def _flag(value, name):
    if value is True or value is False:
        return value
    raise TypeError(
        f"{name}: expected True or False (does the ufunc take this operand?), got {type(value).__name__}; "
        "the operand itself goes to the call"
    )


def _parse_name(name):
    if not isinstance(name, str):
        raise TypeError(f"name: expected a string such as 'depthwise_conv2d', got {type(name).__name__}")
    operation, rank = name[:-2], name[-2:-1]
    if operation in OPERATIONS and name[-1:] == "d" and rank in ("1", "2", "3"):
        return operation, int(rank)
    known = ", ".join(f"{each}{{1,2,3}}d" for each in OPERATIONS)
    raise ValueError(f"name: expected one of {known}, got {name!r}")


def _keyword_message(name, operation, keyword):
    accepted = ", ".join((*OPERATIONS[operation].keywords, *flags_of(operation)))
    return f"gufunc({name!r}) got an unexpected keyword {keyword!r}; it takes {accepted}"
