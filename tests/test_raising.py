"""The fast functions against the reference: whether a call raises, and which kind of error."""

import itertools

import numpy as np
import pytest

import dsconv as ds
from dsconv import reference

from .strategies import RANKS, outcome


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

    for key, value in itertools.product(
        ("stride", "dilation", "padding"),
        (
            0,
            -1,
            True,
            np.True_,
            1.0,
            "1",
            None,
            [],
            (1, 1, 1, 1),
            (1.5,),
            2**63,
            -(2**70),
            [[1]],
            np.float32(1),
        ),
    ):
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
    yield "channels + 1", shape(1, lambda s, rank: (*s[: -rank - 2], s[-rank - 2] + 1, *s[-rank - 1 :]))
    yield "weight short of axes", shape(1, lambda s, rank: s[-rank - 1 :])
    yield "kernel of 40", shape(1, lambda s, rank: (*s[:-rank], *(40,) * rank))
    yield "x short of axes", shape(0, lambda s, rank: s[-rank:])
    yield "x empty", shape(0, lambda s, rank: (*s[:-1], 0))
    yield "no batch", shape(0, lambda s, rank: (0, *s))
    yield "leading axes that disagree", shape(0, lambda s, rank: (5, *s))
    yield "leading axes of the weight", shape(1, lambda s, rank: (7, *s))


BROKEN = dict(broken_cases())


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("name", ["depthwise_conv", "separable_conv"])
def test_both_raise_or_neither(name, rank, fault):
    rng = np.random.default_rng([11, rank])
    args = [rng.integers(-2, 3, (2, 3, *(6,) * rank)), rng.integers(-2, 3, (3, 2, *(3,) * rank))]
    if name == "separable_conv":
        args.append(rng.integers(-2, 3, (4, 6)))
    args, kwargs = BROKEN[fault]([array.astype("f4") for array in args], {}, rank)
    actual, error = outcome(getattr(ds, f"{name}{rank}d"), args, kwargs)
    expected, needed = outcome(getattr(reference, f"{name}{rank}d"), args, kwargs)
    assert (error is None) == (needed is None), f"raised {error!r}, the reference {needed!r}"
    if error is not None:
        assert isinstance(error, TypeError) == isinstance(needed, TypeError), f"{error!r}, {needed!r}"
    else:
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


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
