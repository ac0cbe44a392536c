"""The fast functions against the reference: whether a call raises, and which kind of error."""

import itertools

import numpy as np
import pytest

import dsconv as ds
from dsconv import reference
from dsconv.reference.arguments import name_of

from .strategies import ARGUMENTS, LAYOUTS, RANKS, outcome

WRONG_NUMBERS = (
    *(0, -1, True, np.True_, 1.0, "1", None, [], (1, 1, 1, 1), (1.5,)),
    *(2**63, -(2**70), [[1]], np.float32(1)),
)


def broken_cases():
    """Yield the name of a fault and a function that puts it into (args, kwargs) of a valid call."""

    def word(key, value):
        return lambda args, kwargs, rank: (args, {**kwargs, key: value(rank) if callable(value) else value})

    def shape(position, change):
        def apply(args, kwargs, rank):
            args = list(args)
            args[position] = np.ones(change(args[position].shape, rank), args[position].dtype)
            return args, kwargs

        return apply

    for key, value in itertools.product(("stride", "dilation", "padding"), WRONG_NUMBERS):
        yield f"{key}={value!r}", word(key, value)
    yield "stride huge", word("stride", 2**62)
    yield "dilation huge", word("dilation", 2**62)
    yield "numpy ints", word("stride", lambda rank: np.ones(rank, np.uint8))
    yield "pairs in an array", word("padding", lambda rank: np.ones((rank, 2), int))
    yield "bare pair", word("padding", (1, 2))
    yield "mixed", word("padding", lambda rank: ((1, 2), *(1,) * (rank - 1)))
    yield "triple", word("padding", lambda rank: ((1, 2, 3),) * rank)
    yield "negative in a pair", word("padding", lambda rank: ((1, -1),) * rank)
    for key, values in {
        "padding": ("SAME", "some", ""),
        "padding_mode": ("constant", "mirror", "nearest", "zero", None, 1),
        "activation": ("swish", "RELU", "", 1, np.tanh),
        "data_format": ("NCHW", None, "channels"),
        "casting": ("safe", "no", "nonsense", "unsafe"),
        "dtype": ("f4", "i4", "nonsense", "f8"),
        "out": ([1], np.empty((1, 1)), np.empty(0)),
    }.items():
        for value in values:
            yield f"{key}={value!r}", word(key, lambda rank, value=value: value)
    yield "no kernel", shape(1, lambda s, rank: (*s[:-1], 0))
    yield "no multiplier", shape(1, lambda s, rank: (*s[: -rank - 1], 0, *s[-rank:]))
    yield "channels + 1", shape(1, lambda s, rank: (s[0] + 1, *s[1:]))
    yield "weight short of axes", shape(1, lambda s, rank: s[-rank - 1 :])
    yield "kernel of 9", shape(1, lambda s, rank: (*s[:-rank], *(9,) * rank))
    yield "x short of axes", shape(0, lambda s, rank: s[-rank:])
    yield "x empty", shape(0, lambda s, rank: (*s[:-1], 0))
    yield "no batch", shape(0, lambda s, rank: (0, *s))
    yield "leading axes that disagree", shape(0, lambda s, rank: (5, *s))
    yield "leading axes of the weight", shape(1, lambda s, rank: (7, *s))


BROKEN = dict(broken_cases())

#: Small calls that are right, by rank: arrays (shapes), sizes (tuples of ints), keywords.
VALID = {
    "depthwise_conv": lambda n: ([(2, 3, *n), (3, 2, *three(n))], {}),
    "separable_conv": lambda n: ([(2, 3, *n), (3, 2, *three(n)), (4, 6)], {}),
    "depthwise_conv_transpose": lambda n: ([(2, 3, *n), (3, 2, *three(n))], {}),
    "separable_conv_transpose": lambda n: ([(2, 3, *n), (3, 2, *three(n)), (4, 6)], {}),
    "depthwise_conv_input_grad": lambda n: ([(2, 6, *n), (3, 2, *three(n)), plus(n, 2)], {}),
    "depthwise_conv_weight_grad": lambda n: ([(2, 3, *plus(n, 2)), (2, 6, *n), three(n)], {}),
    "depthwise_conv_transpose_input_grad": lambda n: ([(2, 6, *plus(n, 2)), (3, 2, *three(n)), n], {}),
    "depthwise_conv_transpose_weight_grad": lambda n: ([(2, 3, *n), (2, 6, *plus(n, 2)), three(n)], {}),
    "pointwise_conv_input_grad": lambda n: ([(2, 4, *n), (4, 3)], {}),
    "pointwise_conv_weight_grad": lambda n: ([(2, 3, *n), (2, 4, *n)], {}),
}


def three(n):
    return (3,) * len(n)


def plus(n, more):
    return tuple(size + more for size in n)


def valid_call(op, rank):
    """Return the arguments of a small right call."""
    rng = np.random.default_rng([11, rank])
    arguments, kwargs = VALID[op]((6,) * rank)
    sized = ARGUMENTS[op][-1].endswith("size")
    shapes, plain = (arguments[:-1], arguments[-1:]) if sized else (arguments, [])
    return [rng.integers(-2, 3, shape).astype("f4") for shape in shapes] + plain, kwargs


def check_same_outcome(name, args, kwargs):
    actual, error = outcome(getattr(ds, name), args, kwargs)
    expected, needed = outcome(getattr(reference, name), args, kwargs)
    assert (error is None) == (needed is None), f"raised {error!r}, the reference {needed!r}"
    if error is not None:
        assert isinstance(error, TypeError) == isinstance(needed, TypeError), f"{error!r}, {needed!r}"
    else:
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", VALID)
def test_valid_calls_are_valid(op, rank):
    args, kwargs = valid_call(op, rank)
    getattr(reference, name_of(op, rank))(*args, **kwargs)
    check_same_outcome(name_of(op, rank), args, kwargs)


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("op", VALID)
def test_both_raise_or_neither(op, fault):
    for rank in RANKS:
        args, kwargs = BROKEN[fault](*valid_call(op, rank), rank)
        check_same_outcome(name_of(op, rank), args, kwargs)


def size_faults():
    """Yield what may be wrong with a plain size, or with the output size and padding."""
    for value in (
        0,
        -1,
        True,
        1.0,
        "3",
        None,
        [],
        (3, 3, 3, 3),
        (1.5,),
        2**63,
        2**62,
        np.float32(3),
        40,
        1,
        2,
        7,
    ):
        yield repr(value), lambda rank, value=value: value
    yield "numpy int", lambda rank: np.int8(3)
    yield "array", lambda rank: np.full(rank, 3)
    yield "pairs", lambda rank: ((3, 3),) * rank


SIZE_FAULTS = dict(size_faults())
SIZED = [op for op in VALID if ARGUMENTS[op][-1].endswith("size")]


@pytest.mark.parametrize("fault", SIZE_FAULTS)
@pytest.mark.parametrize("op", SIZED)
def test_sizes(op, fault):
    for rank in RANKS:
        args, kwargs = valid_call(op, rank)
        args[-1] = SIZE_FAULTS[fault](rank)
        check_same_outcome(name_of(op, rank), args, kwargs)


@pytest.mark.parametrize("key", ["output_padding", "output_size"])
@pytest.mark.parametrize("fault", SIZE_FAULTS)
@pytest.mark.parametrize("op", ["depthwise_conv_transpose", "separable_conv_transpose"])
def test_output_sizes(op, fault, key):
    for rank, words in itertools.product(RANKS, (dict(stride=3), dict(dilation=4), dict(padding="same"))):
        args, kwargs = valid_call(op, rank)
        words = {**kwargs, **words, key: SIZE_FAULTS[fault](rank)}
        check_same_outcome(name_of(op, rank), args, words)


def around_natural():
    """Yield geometry and output sizes one above and one below the ends of what is allowed, and the ends."""
    for words in (
        dict(),
        dict(stride=2),
        dict(dilation=3),
        dict(stride=3, dilation=2, padding=1),
        dict(padding=((7, 0),)),
        dict(stride=2, padding="same"),
        dict(stride=4, padding="same"),
    ):
        for size in range(1, 30):
            yield words, size


@pytest.mark.parametrize("words, size", list(around_natural()))
def test_the_range_of_output_sizes(words, size):
    x, weight, grad = (np.ones(shape, "f4") for shape in ((1, 6), (1, 1, 3), (1, size)))
    check_same_outcome("depthwise_conv_transpose1d", (x, weight), dict(words, output_size=size))
    check_same_outcome("depthwise_conv_transpose1d", (x, weight), dict(words, output_padding=size % 5))
    check_same_outcome("depthwise_conv_transpose1d_input_grad", (grad, weight, 6), words)
    check_same_outcome("depthwise_conv_transpose1d_weight_grad", (x, grad, 3), words)


def test_output_size_beside_output_padding():
    args, _ = valid_call("depthwise_conv_transpose", 2)
    for size, extra in itertools.product((8, 9, None), (0, 1, (0, 0), (0, 1))):
        words = dict(stride=2, padding=2, output_size=size, output_padding=extra)
        check_same_outcome("depthwise_conv_transpose2d", args, words)


@pytest.mark.parametrize("word", ["valid", "same", "same_upper", "same_lower", "full", "causal"])
@pytest.mark.parametrize("op", [op for op in VALID if "transpose" in op])
def test_words_of_transposed_padding(op, word):
    for rank, stride in itertools.product(RANKS, (1, 2, 4)):
        args, kwargs = valid_call(op, rank)
        check_same_outcome(name_of(op, rank), args, dict(kwargs, padding=word, stride=stride))


#: Shapes of x or grad_output, of weight or grad_output, and the size: what disagrees in some way.
GRADIENT_SHAPES = {
    "depthwise_conv_input_grad": [
        ((2, 6, 4), (3, 2, 3), 5),
        ((2, 5, 4), (3, 2, 3), 6),
        ((2, 6, 4), (6, 1, 3), 6),
        ((2, 6, 4), (2, 3, 2, 3), 6),
        ((2, 6, 4), (1, 3, 2, 3), 6),
        ((6, 4), (3, 2, 3), 6),
        ((4,), (3, 2, 3), 6),
        ((2, 6, 4), (2, 3), 6),
        ((2, 6, 4), (3, 2, 0), 6),
        ((2, 6, 4), (3, 0, 3), 6),
        ((2, 0, 4), (0, 2, 3), 6),
        ((0, 6, 4), (3, 2, 3), 6),
        ((2, 6, 0), (3, 2, 3), 2),
        ((2, 6, 4), (3, 2, 9), 6),
    ],
    "depthwise_conv_weight_grad": [
        ((2, 3, 6), (2, 6, 4), 3),
        ((2, 3, 6), (2, 6, 5), 3),
        ((2, 3, 6), (2, 5, 4), 3),
        ((2, 3, 6), (2, 0, 4), 3),
        ((2, 3, 6), (2, 2, 4), 3),
        ((2, 0, 6), (2, 0, 4), 3),
        ((2, 0, 6), (2, 2, 4), 3),
        ((1, 3, 6), (2, 6, 4), 3),
        ((3, 6), (2, 6, 4), 3),
        ((2, 3, 6), (6, 4), 3),
        ((2, 1, 3, 6), (2, 1, 6, 4), 3),
        ((2, 1, 3, 6), (1, 2, 6, 4), 3),
        ((0, 3, 6), (0, 6, 4), 3),
        ((6,), (6, 4), 3),
        ((3, 6), (4,), 3),
        ((2, 3, 6), (2, 6, 0), 7),
    ],
    "depthwise_conv_transpose_input_grad": [
        ((2, 6, 8), (3, 2, 3), 6),
        ((2, 6, 7), (3, 2, 3), 6),
        ((2, 6, 9), (3, 2, 3), 6),
        ((2, 5, 8), (3, 2, 3), 6),
        ((2, 6, 8), (6, 1, 3), 6),
        ((2, 6, 8), (1, 3, 2, 3), 6),
        ((2, 0, 8), (0, 2, 3), 6),
        ((0, 6, 8), (3, 2, 3), 6),
        ((2, 6, 2), (3, 2, 3), 0),
        ((2, 6, 0), (3, 2, 3), 0),
    ],
    "depthwise_conv_transpose_weight_grad": [
        ((2, 3, 6), (2, 6, 8), 3),
        ((2, 3, 6), (2, 6, 9), 3),
        ((2, 3, 6), (2, 5, 8), 3),
        ((2, 3, 6), (2, 0, 8), 3),
        ((2, 0, 6), (2, 0, 8), 3),
        ((1, 3, 6), (2, 6, 8), 3),
        ((0, 3, 6), (0, 6, 8), 3),
        ((2, 3, 0), (2, 6, 2), 3),
        ((2, 3, 6), (2, 6, 0), 3),
    ],
    "pointwise_conv_input_grad": [
        ((2, 4, 5), (4, 3)),
        ((2, 4, 5), (3, 4)),
        ((2, 4, 5), (4, 3, 1)),
        ((2, 4, 5), (2, 4, 3)),
        ((2, 4, 5), (4,)),
        ((2, 0, 5), (0, 3)),
        ((2, 4, 5), (4, 0)),
        ((2, 4, 0), (4, 3)),
        ((0, 4, 5), (4, 3)),
        ((5,), (4, 3)),
    ],
    "pointwise_conv_weight_grad": [
        ((2, 3, 5), (2, 4, 5)),
        ((2, 3, 5), (2, 4, 6)),
        ((1, 3, 5), (2, 4, 5)),
        ((3, 5), (2, 4, 5)),
        ((2, 0, 5), (2, 4, 5)),
        ((2, 3, 5), (2, 0, 5)),
        ((2, 3, 0), (2, 4, 0)),
        ((0, 3, 5), (0, 4, 5)),
        ((5,), (4, 5)),
    ],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op, shapes", [(op, row) for op, rows in GRADIENT_SHAPES.items() for row in rows])
def test_shapes_of_gradients(op, shapes, layout):
    args = [np.ones(shape, "f4") if isinstance(shape, tuple) else shape for shape in shapes]
    for position, role in enumerate(ARGUMENTS[op]):
        if layout == "channels_last" and role in ("x", "middle", "result") and args[position].ndim > 1:
            args[position] = args[position].swapaxes(-1, -2)
    check_same_outcome(name_of(op, 1), args, dict(data_format=layout))


POINTWISE_SHAPES = [
    ((2, 3, 5), (4, 2)),
    ((2, 3, 5), (0, 3)),
    ((2, 3, 5), (3,)),
    ((5,), (4, 3)),
    ((2, 3, 5), (4, 3, 1)),
    ((2, 3, 5), (4, 3, 1, 1)),
    ((2, 3, 5), (2, 4, 3)),
    ((2, 3, 5), (5, 4, 3)),
    ((2, 0, 5), (4, 0)),
    ((0, 3, 5), (4, 3)),
    ((2, 3, 0), (4, 3)),
    ((2, 1, 5), (4, 1, 1)),
    ((2, 1, 5), (1, 1, 1)),
]


@pytest.mark.parametrize("bias", [None, (4,), (3,), (0,), (), (2, 4), (3, 4)])
@pytest.mark.parametrize("x, weight", POINTWISE_SHAPES)
def test_pointwise_shapes(x, weight, bias):
    args = [None if shape is None else np.ones(shape, "f4") for shape in (x, weight, bias)]
    actual, error = outcome(ds.pointwise_conv1d, args, {})
    expected, needed = outcome(reference.pointwise_conv1d, args, {})
    assert (error is None) == (needed is None), f"raised {error!r}, the reference {needed!r}"
    if error is None:
        assert actual.shape == expected.shape
        np.testing.assert_array_equal(actual, expected)
