"""Every spelling of every argument, and the message for everything else."""

import doctest
import inspect
import pickle

import numpy as np
import pytest

import dsconv as ds
from dsconv import functional, gradients, reference
from dsconv.geometry import (
    ACTIVATIONS,
    PADDING_MODES,
    canonical_activation,
    canonical_format,
    canonical_mode,
    canonical_padding,
    per_axis,
)

RANKS = (1, 2, 3)
FAMILIES = (
    "depthwise_conv",
    "pointwise_conv",
    "separable_conv",
    "depthwise_conv_transpose",
    "separable_conv_transpose",
)
FUNCTIONS = [f"{family}{rank}d" for family in FAMILIES for rank in RANKS]
BIG = 2**63


def operands(name, channels=3, multiplier=2, last=5, batch=(2,), size=7, dtype=np.float32):
    """Integer-valued operands of a function, without biases: every order of summation gives the same bits."""
    rank = int(name[-2])
    rng = np.random.default_rng(1)

    def integers(*shape):
        return rng.integers(-4, 5, shape).astype(dtype)

    x = integers(*batch, channels, *[size] * rank)
    depthwise = integers(channels, multiplier, *[3] * rank)
    if name.startswith("depthwise"):
        return [x, depthwise]
    if name.startswith("pointwise"):
        return [x, integers(last, channels)]
    return [x, depthwise, integers(last, channels * multiplier)]


def biases(name, channels=3, multiplier=2, last=5, dtype=np.float32):
    lengths = {"depthwise": [channels * multiplier], "pointwise": [last]}
    lengths["separable"] = lengths["depthwise"] + lengths["pointwise"]
    return [np.arange(length, dtype=dtype) - 2 for length in lengths[name.partition("_")[0]]]


def same_as_reference(name, *arguments, **keywords):
    actual = getattr(ds, name)(*arguments, **keywords)
    expected = getattr(reference, name)(*arguments, **keywords)
    np.testing.assert_array_equal(actual, expected)
    return actual


# ---- integers per axis ---------------------------------------------------------------------------
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(
    "spelling",
    [2, np.int8(2), np.uint64(2), np.array(2), pytest.param(lambda rank: (2,) * rank, id="tuple")]
    + [pytest.param(lambda rank: [2] * rank, id="list")]
    + [pytest.param(lambda rank: np.full(rank, 2), id="array")]
    + [pytest.param(lambda rank: [np.int32(2)] * rank, id="numpy ints")],
)
def test_ints_of_every_spelling(rank, spelling):
    value = spelling(rank) if callable(spelling) else spelling
    result = per_axis(value, "stride", rank, 1)
    assert result == (2,) * rank
    assert all(type(item) is int for item in result)


class Index:
    """An integer by `__index__` alone."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


def test_index_objects():
    x, weight = operands("depthwise_conv2d")
    expected = ds.depthwise_conv2d(x, weight, stride=2, padding=1, dilation=2)
    actual = ds.depthwise_conv2d(x, weight, stride=Index(2), padding=Index(1), dilation=(Index(2), 2))
    np.testing.assert_array_equal(actual, expected)


NOT_INTEGERS = [True, False, np.True_, 1.0, 2.5, np.float32(1), "1", None, 1j, b"1", {1}, {1: 1}, object]


@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
@pytest.mark.parametrize("argument", ["stride", "dilation", "padding"])
def test_not_an_integer(argument, value):
    if argument == "padding" and value == "1":
        value = b"one"  # words are for padding to take
    for rank in RANKS:
        x, weight = operands(f"depthwise_conv{rank}d")
        function = getattr(ds, f"depthwise_conv{rank}d")
        # what compares equal to a shortcut's key must not get through by it
        function(x, weight, **{argument: 1})
        with pytest.raises(TypeError, match=rf"^{argument}: .*integer.*got"):
            function(x, weight, **{argument: value})
        with pytest.raises(TypeError, match=rf"^{argument}\[0\]: .*integer.*got"):
            function(x, weight, **{argument: (value,) * rank})


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("argument", ["stride", "dilation", "padding"])
@pytest.mark.parametrize("extra", [-1, 1])
def test_wrong_number_of_values(rank, argument, extra):
    x, weight = operands(f"depthwise_conv{rank}d")
    value = (1,) * (rank + extra)
    with pytest.raises(ValueError, match=rf"^{argument}: .*{rank} integer.*got {rank + extra} values"):
        getattr(ds, f"depthwise_conv{rank}d")(x, weight, **{argument: value})


@pytest.mark.parametrize("argument, least", [("stride", 1), ("dilation", 1), ("padding", 0)])
@pytest.mark.parametrize("value", [-1, -100, -(2**31), -(2**63), -(10**30), np.int64(-5)], ids=repr)
def test_too_small(argument, least, value):
    x, weight = operands("depthwise_conv2d")
    for spelling, where in ((value, argument), ((1, value), rf"{argument}\[1\]")):
        with pytest.raises(ValueError, match=rf"^{where}: must be at least {least}, got {int(value)}$"):
            ds.depthwise_conv2d(x, weight, **{argument: spelling})


@pytest.mark.parametrize("argument", ["stride", "dilation"])
def test_zero(argument):
    x, weight = operands("depthwise_conv2d")
    with pytest.raises(ValueError, match=rf"^{argument}: must be at least 1, got 0$"):
        ds.depthwise_conv2d(x, weight, **{argument: 0})


@pytest.mark.parametrize("argument", ["stride", "dilation", "padding"])
@pytest.mark.parametrize("value", [BIG, BIG * 2, 10**30, np.uint64(BIG)], ids=repr)
def test_beyond_64_bits(argument, value):
    x, weight = operands("depthwise_conv1d")
    with pytest.raises(OverflowError, match=rf"^{argument}: {int(value)} does not fit a 64-bit integer"):
        ds.depthwise_conv1d(x, weight, **{argument: value})


# ---- padding -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "value, low, high",
    [
        (0, (0, 0), (0, 0)),
        (3, (3, 3), (3, 3)),
        (np.int16(3), (3, 3), (3, 3)),
        ((1, 2), (1, 2), (1, 2)),
        ([1, 2], (1, 2), (1, 2)),
        (np.array([1, 2]), (1, 2), (1, 2)),
        (((1, 2), (3, 4)), (1, 3), (2, 4)),
        ([[1, 2], (3, 4)], (1, 3), (2, 4)),
        (np.array([[1, 2], [3, 4]]), (1, 3), (2, 4)),
        ("valid", (0, 0), (0, 0)),
    ],
)
def test_explicit_padding(value, low, high):
    assert canonical_padding(value, 2) == ("explicit", low, high)


@pytest.mark.parametrize("word", ["same", "same_upper", "same_lower", "full", "causal"])
@pytest.mark.parametrize("kind", [str, np.str_])
def test_padding_words(word, kind):
    expected = "same_upper" if word == "same" else word
    result = canonical_padding(kind(word), 3)
    assert result == (expected, (0, 0, 0), (0, 0, 0))
    assert type(result[0]) is str


def test_bare_pair_at_rank_1():
    x, weight = operands("depthwise_conv1d")
    for pair in ((1, 2), [1, 2], np.array([1, 2])):
        with pytest.raises(ValueError, match=r"^padding: .*write padding=\(\(1, 2\),\)"):
            ds.depthwise_conv1d(x, weight, padding=pair)
    same_as_reference("depthwise_conv1d", x, weight, padding=((1, 2),))
    same_as_reference("depthwise_conv1d", x, weight, padding=(1,))


def test_flat_pairs_are_explained():
    with pytest.raises(ValueError, match=r"padding=\(\(1, 2\), \(3, 4\)\)"):
        canonical_padding((1, 2, 3, 4), 2)


@pytest.mark.parametrize(
    "value, words",
    [
        ("SAME", "did you mean 'same'"),
        ("reflect", "that is a padding_mode"),
        ("constant", "that is a padding_mode"),
        ("half", "did you mean 'same'"),
        ("", "expected one of"),
        ("1", "expected one of"),
        (((1, 2), 3), r"padding\[1\] is 3"),
        (((1, 2), (3,)), r"padding\[1\] is \(3,\)"),
        (((1, 2), (3, 4, 5)), r"padding\[1\] is \(3, 4, 5\)"),
        (((1, 2), (3, -4)), r"padding\[1\]\[1\]: must be at least 0, got -4"),
        (((-1, 2), (3, 4)), r"padding\[0\]\[0\]: must be at least 0, got -1"),
        ((), "got 0 values"),
        ([], "got 0 values"),
        (np.zeros((0, 2), int), "got 0 values"),
        (((1, 2),), "got 1 values"),
        (np.zeros((2, 2, 2), int), r"padding\[0\]\[0\]|padding"),
    ],
)
def test_wrong_padding(value, words):
    x, weight = operands("depthwise_conv2d")
    with pytest.raises((ValueError, TypeError), match=r"^padding") as caught:
        ds.depthwise_conv2d(x, weight, padding=value)
    assert caught.match(words)


# ---- words ---------------------------------------------------------------------------------------
def test_modes():
    assert {mode: canonical_mode(mode) for mode in PADDING_MODES} == {
        "zeros": "zeros",
        "reflect": "reflect",
        "symmetric": "symmetric",
        "replicate": "replicate",
        "edge": "replicate",
        "circular": "circular",
        "wrap": "circular",
    }


@pytest.mark.parametrize(
    "mode, equivalent",
    [("mirror", "reflect"), ("nearest", "replicate"), ("constant", "zeros"), ("grid-wrap", "circular")],
)
def test_modes_of_others(mode, equivalent):
    x, weight = operands("depthwise_conv2d")
    pattern = rf"^padding_mode: .*got '{mode}'; the equivalent here is '{equivalent}'"
    with pytest.raises(ValueError, match=pattern):
        ds.depthwise_conv2d(x, weight, padding_mode=mode)


@pytest.mark.parametrize("argument", ["padding_mode", "activation", "data_format"])
@pytest.mark.parametrize("value", [0, 1.5, True, b"zeros", ["zeros"], {"zeros"}, np.array("zeros")], ids=repr)
def test_word_of_wrong_type(argument, value):
    x, weight = operands("depthwise_conv2d")
    with pytest.raises(TypeError, match=rf"^{argument}: expected one of .*got"):
        ds.depthwise_conv2d(x, weight, **{argument: value})


@pytest.mark.parametrize("argument", ["padding_mode", "activation", "depthwise_activation", "data_format"])
def test_unknown_word(argument):
    with pytest.raises(ValueError, match=rf"^{argument}: expected one of .*got 'nonsense'"):
        ds.separable_conv2d(*operands("separable_conv2d"), **{argument: "nonsense"})


@pytest.mark.parametrize("argument", ["padding_mode", "data_format"])
def test_none_for_a_word(argument):
    with pytest.raises(TypeError, match=rf"^{argument}: "):
        ds.separable_conv2d(*operands("separable_conv2d"), **{argument: None})


def test_hints():
    for call, hint in (
        (lambda: canonical_activation("swish"), "'silu'"),
        (lambda: canonical_activation("linear"), "None"),
        (lambda: canonical_activation("ReLU"), "did you mean 'relu'"),
        (lambda: canonical_format("NHWC"), "'channels_last'"),
        (lambda: canonical_format("NCDHW"), "'channels_first'"),
    ):
        with pytest.raises(ValueError, match=hint):
            call()


# ---- the functions -------------------------------------------------------------------------------
SIGNATURES = {
    "depthwise_conv_transpose": (
        "(x, weight, bias=None, *, stride=1, padding=0, output_padding=0, output_size=None, dilation=1, "
        "activation=None, data_format='channels_first', out=None, dtype=None, casting='same_kind')"
    ),
    "separable_conv_transpose": (
        "(x, depthwise_weight, pointwise_weight, depthwise_bias=None, pointwise_bias=None, *, stride=1, "
        "padding=0, output_padding=0, output_size=None, dilation=1, depthwise_activation=None, "
        "activation=None, data_format='channels_first', out=None, dtype=None, casting='same_kind')"
    ),
    "depthwise_conv": (
        "(x, weight, bias=None, *, stride=1, padding=0, dilation=1, padding_mode='zeros', activation=None, "
        "data_format='channels_first', out=None, dtype=None, casting='same_kind')"
    ),
    "pointwise_conv": (
        "(x, weight, bias=None, *, activation=None, data_format='channels_first', out=None, dtype=None, "
        "casting='same_kind')"
    ),
    "separable_conv": (
        "(x, depthwise_weight, pointwise_weight, depthwise_bias=None, pointwise_bias=None, *, stride=1, "
        "padding=0, dilation=1, padding_mode='zeros', depthwise_activation=None, activation=None, "
        "data_format='channels_first', out=None, dtype=None, casting='same_kind')"
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_introspection(name):
    function = getattr(ds, name)
    assert name in ds.__all__
    assert function.__name__ == name
    assert pickle.loads(pickle.dumps(function)) is function
    assert str(inspect.signature(function)) == SIGNATURES[name[:-2]]
    for section in ("Parameters", "Returns", "Raises", "Notes", "References", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters:
        assert parameter in function.__doc__


@pytest.mark.parametrize(
    "name",
    [*functional.__all__, *gradients.__all__, "gufunc", "conv_output_size", "conv_transpose_output_size"]
    + ["Stream1d", "num_threads", ""],
)
def test_examples_run(name):
    documented = getattr(ds, name) if name else ds
    test = doctest.DocTestParser().get_doctest(documented.__doc__, {}, name, None, 0)
    assert test.examples
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_forms_of_the_operands(name):
    arguments = [*operands(name), *biases(name)]
    expected = same_as_reference(name, *arguments)
    function = getattr(ds, name)
    lists = [argument.tolist() for argument in arguments]
    np.testing.assert_array_equal(function(*lists), expected)
    assert function(*lists).dtype == np.float64
    assert function(arguments[0], *lists[1:]).dtype == np.float64
    assert expected.dtype == np.float32


@pytest.mark.parametrize("name", FUNCTIONS)
def test_weights_in_pytorch_form(name):
    rank = int(name[-2])
    for batch in ((), (2,), (2, 3)):
        arguments = operands(name, batch=batch)
        expected = getattr(ds, name)(*arguments)
        reshaped = [arguments[0]]
        if name.startswith(("depthwise_conv_t", "separable_conv_t")):
            reshaped.append(arguments[1])  # PyTorch's form is the native one
        elif not name.startswith("pointwise"):
            reshaped.append(arguments[1].reshape(6, 1, *[3] * rank))
        if not name.startswith("depthwise"):
            reshaped.append(arguments[-1].reshape(*arguments[-1].shape, *[1] * rank))
        np.testing.assert_array_equal(getattr(ds, name)(*reshaped), expected)
        lists = [argument.tolist() for argument in reshaped]
        np.testing.assert_array_equal(getattr(ds, name)(*lists), expected)


def test_pytorch_form_is_a_view_of_the_weight(rng):
    x = np.ones((3, 5, 5), np.float32)
    weight = rng.integers(-3, 4, (6, 1, 3, 3)).astype(np.float32)
    strided = np.repeat(weight, 2, axis=0)[::2]
    expected = ds.depthwise_conv2d(x, weight)
    np.testing.assert_array_equal(ds.depthwise_conv2d(x, strided), expected)
    weight *= 2
    np.testing.assert_array_equal(ds.depthwise_conv2d(x, weight), 2 * expected)


def test_multiplier_one_is_both_forms():
    x, weight = operands("depthwise_conv2d", multiplier=1)
    assert ds.depthwise_conv2d(x, weight).shape == (2, 3, 5, 5)
    # C axes come first: with C = 6 this is M = 1, with C = 3 it is M = 2, with C = 1 it is M = 6
    weight = np.arange(54.0).reshape(6, 1, 3, 3)
    for channels in (1, 2, 3, 6):
        x = np.ones((channels, 3, 3))
        result = ds.depthwise_conv2d(x, weight)
        np.testing.assert_array_equal(result[:, 0, 0], weight.sum((1, 2, 3)))


@pytest.mark.parametrize("rank", RANKS)
def test_pointwise_form_with_one_channel(rank):
    # (4, 1, 1, ...) could also be four filters with leading axes; the form of PyTorch goes first
    x = np.ones((1, *[2] * rank))
    weight = np.arange(4.0).reshape(4, 1, *[1] * rank)
    result = getattr(ds, f"pointwise_conv{rank}d")(x, weight)
    assert result.shape == (4, *[2] * rank)
    np.testing.assert_array_equal(result[(slice(None), *[0] * rank)], np.arange(4.0))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_filters_per_sample(name, rng):
    arguments = [*operands(name), *biases(name)]
    several = [arguments[0]] + [np.stack([each, 2 * each]) for each in arguments[1:]]
    result = getattr(ds, name)(*several)
    for sample in (0, 1):
        expected = getattr(ds, name)(*[each[sample] for each in several])
        np.testing.assert_array_equal(result[sample], expected)
    np.testing.assert_array_equal(result, getattr(reference, name)(*several))


def test_bias_may_have_leading_axes():
    x, weight = operands("depthwise_conv2d")
    bias = np.arange(12, dtype=np.float32).reshape(2, 6)
    expected = ds.depthwise_conv2d(x, weight) + bias[..., None, None]
    np.testing.assert_array_equal(ds.depthwise_conv2d(x, weight, bias), expected)
    stacked = ds.depthwise_conv2d(x, weight, bias[:, None])
    assert stacked.shape == (2, 2, 6, 5, 5)


@pytest.mark.parametrize("depthwise_bias", [False, True])
@pytest.mark.parametrize("pointwise_bias", [False, True])
def test_biases_of_separable(depthwise_bias, pointwise_bias):
    first, second = biases("separable_conv2d")
    same_as_reference(
        "separable_conv2d",
        *operands("separable_conv2d"),
        first if depthwise_bias else None,
        second if pointwise_bias else None,
        depthwise_activation="relu",
        activation="relu6",
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_formats_agree(name):
    rank = int(name[-2])
    arguments = [*operands(name), *biases(name)]
    expected = getattr(ds, name)(*arguments)
    last = [np.moveaxis(arguments[0], -rank - 1, -1), *arguments[1:]]
    result = getattr(ds, name)(*last, data_format="channels_last")
    np.testing.assert_array_equal(np.moveaxis(result, -1, -rank - 1), expected)
    assert result.flags.c_contiguous


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_activations(activation):
    arguments = [*operands("separable_conv2d"), *biases("separable_conv2d")]
    keywords = {"activation": activation, "depthwise_activation": "relu"}
    actual = ds.separable_conv2d(*arguments, **keywords)
    expected = reference.separable_conv2d(*[each.astype(np.float64) for each in arguments], **keywords)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [str, np.str_])
def test_geometry_in_every_spelling_gives_the_same(kind):
    x, weight = operands("depthwise_conv2d")
    expected = ds.depthwise_conv2d(x, weight, stride=2, padding=1)
    for stride in (2, (2, 2), [2, 2], np.int64(2), np.array([2, 2])):
        for padding in (1, (1, 1), ((1, 1), (1, 1)), np.ones((2, 2), int), np.uint8(1)):
            result = ds.depthwise_conv2d(
                x, weight, stride=stride, padding=padding, padding_mode=kind("zeros")
            )
            np.testing.assert_array_equal(result, expected)


def test_more_geometries_than_shortcuts():
    x = np.ones((1, 4))
    weight = np.ones((1, 1, 1))
    for padding in list(range(400)) * 2:
        result = ds.depthwise_conv1d(x, weight, padding=padding)
        assert result.shape == (1, 4 + 2 * padding)
        assert result.sum() == 4


def test_weights_are_read_at_each_call():
    arguments = operands("separable_conv2d")
    before = ds.separable_conv2d(*arguments)
    for weight in arguments[1:]:
        weight *= 2
    np.testing.assert_array_equal(ds.separable_conv2d(*arguments), 4 * before)


# ---- data types ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["depthwise_conv1d", "pointwise_conv2d", "separable_conv3d"])
@pytest.mark.parametrize(
    "first, others, expected",
    [
        ("f4", "f4", "f4"),
        ("f8", "f8", "f8"),
        ("f4", "f8", "f8"),
        ("f8", "f4", "f8"),
        ("?", "?", "f4"),
        ("u1", "u1", "f4"),
        ("u1", "f4", "f4"),
        ("i1", "u1", "f4"),
        ("i2", "i2", "f4"),
        ("u2", "u2", "f4"),
        ("u2", "f4", "f4"),
        ("u2", "i2", "f8"),
        ("i4", "i4", "f8"),
        ("u4", "f4", "f8"),
        ("i8", "i8", "f8"),
        ("u8", "u8", "f8"),
        ("u8", "f4", "f8"),
        ("?", "f8", "f8"),
        (">f4", "f4", "f4"),
        (">f8", ">f8", "f8"),
        (">i2", "u1", "f4"),
        ("f2", "f2", "f2"),
        ("f2", "u1", "f2"),
        ("?", "f2", "f2"),
        ("f2", "f4", "f4"),
        ("f2", "f8", "f8"),
        ("f2", "i2", "f4"),
        ("f2", "i4", "f8"),
        ("c8", "c8", "c8"),
        ("c8", "f4", "c8"),
        ("f4", "c8", "c8"),
        ("c8", "f8", "c16"),
        ("c8", "u1", "c8"),
        ("c8", "i4", "c16"),
        ("c16", "f2", "c16"),
        (">c8", "f2", "c8"),
    ],
)
def test_promotion(name, first, others, expected):
    arguments = [np.abs(argument) for argument in operands(name)]
    typed = [arguments[0].astype(first), *[argument.astype(others) for argument in arguments[1:]]]
    result = getattr(ds, name)(*typed)
    assert result.dtype == np.dtype(expected)
    assert getattr(ds, name)(*typed, dtype=expected).dtype == result.dtype
    wide = [argument.astype(np.complex128) for argument in typed]
    exact = getattr(reference, name)(*wide)
    if result.dtype == np.float16:
        exact = exact.real.astype(np.float16)  # a sum may have more than its 11 bits
    np.testing.assert_array_equal(result, exact)


def test_bias_takes_part_in_promotion():
    x, weight = operands("depthwise_conv2d")
    assert ds.depthwise_conv2d(x, weight, np.zeros(6)).dtype == np.float64
    assert ds.depthwise_conv2d(x, weight, np.zeros(6, np.int8)).dtype == np.float32
    assert ds.depthwise_conv2d(x, weight, np.zeros(6, np.int32)).dtype == np.float64


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["g", "G", "O", "U1", "S1", "M8[s]", "m8[s]", "V4"])
def test_unsupported_types(name, dtype):
    arguments = [*operands(name), *biases(name)]
    names = list(inspect.signature(getattr(ds, name)).parameters)
    for position, argument in enumerate(arguments):
        bad = np.zeros(argument.shape, dtype)
        changed = [*arguments[:position], bad, *arguments[position + 1 :]]
        with pytest.raises(TypeError, match=rf"^{names[position]}: expected float16, .*got"):
            getattr(ds, name)(*changed)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_none_for_a_required_operand(name):
    arguments = operands(name)
    names = list(inspect.signature(getattr(ds, name)).parameters)
    for position in range(len(arguments)):
        changed = [*arguments[:position], None, *arguments[position + 1 :]]
        with pytest.raises(TypeError, match=rf"^{names[position]}: expected float16"):
            getattr(ds, name)(*changed)


@pytest.mark.parametrize("value", ["i4", "g", "G", object, "nonsense", 7, []])
def test_wrong_dtype(value):
    with pytest.raises(TypeError, match="^dtype: expected one of float16, .*, complex128, got"):
        ds.depthwise_conv2d(*operands("depthwise_conv2d"), dtype=value)


@pytest.mark.parametrize("argument", ["activation", "depthwise_activation"])
@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_no_activation_of_complex_values(argument, dtype):
    for name in ("separable_conv2d", "separable_conv_transpose1d"):
        arguments = operands(name, dtype=dtype)
        with pytest.raises(TypeError, match=rf"^{argument}: must be None for complex values .*got 'relu'"):
            getattr(ds, name)(*arguments, **{argument: "relu"})
        real = [each.real for each in arguments]
        with pytest.raises(TypeError, match=rf"^{argument}: must be None for complex"):
            getattr(ds, name)(*real, dtype=dtype, **{argument: "relu"})
        with pytest.raises(TypeError, match=rf"^{argument}: must be None for complex"):
            getattr(ds, name)(*real[:-1], arguments[-1], **{argument: "relu"})


def test_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    for name in ("depthwise_conv2d", "pointwise_conv1d", "separable_conv_transpose2d"):
        arguments = operands(name, dtype=bfloat16)
        result = getattr(ds, name)(*arguments)
        assert result.dtype == bfloat16
        wide = [each.astype(np.float64) for each in arguments]
        np.testing.assert_array_equal(result, getattr(reference, name)(*wide).astype(bfloat16))
        for other, common in (("i1", bfloat16), ("f4", np.float32), ("f8", np.float64), ("c8", np.complex64)):
            mixed = getattr(ds, name)(arguments[0], *[each.astype(other) for each in arguments[1:]])
            assert mixed.dtype == common
        assert getattr(ds, name)(*wide, dtype=bfloat16).dtype == bfloat16
        # of a geometry that nothing else has called
        assert getattr(ds, name)(*arguments, dtype=bfloat16, activation="sigmoid").dtype == bfloat16
        for other in ("f2", "i4"):
            bad = [each.astype(other) for each in arguments[1:]]
            with pytest.raises(TypeError, match="^x, .*no common one: bfloat16, .*16|32"):
                getattr(ds, name)(arguments[0], *bad)


@pytest.mark.parametrize("value", ["f4", "float32", np.float32, np.dtype("f4"), float, "f8"])
def test_dtype(value):
    arguments = operands("separable_conv2d")
    expected = ds.separable_conv2d(*arguments)
    for given in ("f4", "f8", "i4"):
        result = ds.separable_conv2d(*[each.astype(given) for each in arguments], dtype=value)
        assert result.dtype == np.dtype(value)
        np.testing.assert_array_equal(result, expected)


def test_casting():
    x, weight = operands("depthwise_conv2d", dtype=np.float64)
    with pytest.raises(TypeError, match="^x: cannot be cast from float64 to float32 with casting='safe'"):
        ds.depthwise_conv2d(x, weight, dtype="f4", casting="safe")
    narrow = weight.astype("f4")
    with pytest.raises(TypeError, match="^weight: cannot be cast from float32 to float64 with casting='no'"):
        ds.depthwise_conv2d(x, narrow, casting="no")
    assert ds.depthwise_conv2d(x, narrow, casting="safe").dtype == np.float64
    for word in ("nonsense", "same_value"):  # the latter is for numpy.astype only
        with pytest.raises(ValueError, match=f"^casting: expected one of .*got '{word}'"):
            ds.depthwise_conv2d(x, weight, casting=word)
    with pytest.raises(TypeError, match="^casting: expected a string"):
        ds.depthwise_conv2d(x, weight, casting=3)


class Foreign:
    """An array of another library: its own data types, and a way to become NumPy's."""

    dtype = "foreign.float32"

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __array__(self, dtype=None, copy=None):
        return self.array

    def reshape(self, shape):
        return Foreign(self.array.reshape(shape))


def test_foreign_arrays():
    x, weight = operands("depthwise_conv2d")
    expected = ds.depthwise_conv2d(x, weight)
    np.testing.assert_array_equal(ds.depthwise_conv2d(Foreign(x), Foreign(weight)), expected)
    rows = Foreign(weight.reshape(6, 1, 3, 3))
    np.testing.assert_array_equal(ds.depthwise_conv2d(Foreign(x), rows), expected)
    with pytest.raises(ValueError, match=r"^weight: the channels must be those of x, C = 3"):
        ds.depthwise_conv2d(Foreign(x), Foreign(weight[:2]))
    with pytest.raises(TypeError, match=r"^weight: expected float16.*got longdouble|got float128"):
        ds.depthwise_conv2d(Foreign(x), Foreign(weight.astype("g")))


def test_memoryviews():
    x, weight = operands("depthwise_conv2d")
    expected = ds.depthwise_conv2d(x, weight)
    rows = weight.reshape(6, 1, 3, 3)
    np.testing.assert_array_equal(ds.depthwise_conv2d(memoryview(x), memoryview(rows)), expected)


# ---- shapes that disagree ------------------------------------------------------------------------
def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    "name, shapes, pattern",
    [
        ("depthwise_conv2d", [(3,), (3, 1, 3, 3)], r"^x: expected at least 3 axes, .*C, h, w\), got 1"),
        ("depthwise_conv2d", [(), (3, 1, 3, 3)], r"^x: expected at least 3 axes.*got 0: shape \(\)"),
        ("depthwise_conv2d", [(3, 5, 5), (3, 3)], r"^weight: expected at least 4 axes, .*C, M, i, j\)"),
        ("depthwise_conv2d", [(3, 5, 5), (3, 3, 3)], r"^weight: expected at least 4 axes.*got 3"),
        ("depthwise_conv1d", [(3, 5), (3, 3)], r"^weight: expected at least 3 axes, \(\.\.\., C, M, j\)"),
        ("depthwise_conv3d", [(3, 5, 5), (3, 1, 3, 3, 3)], r"^x: expected at least 4 axes, .*C, d, h, w"),
        ("depthwise_conv2d", [(3, 5, 5), (3, 1, 3, 3), ()], r"^bias: expected at least 1 axes"),
        ("pointwise_conv2d", [(3, 5, 5), (3,)], r"^weight: expected at least 2 axes, \(\.\.\., O, C\)"),
        ("separable_conv2d", [(3, 5, 5), (3, 1, 3, 3), (3,)], r"^pointwise_weight: expected at least 2"),
        ("separable_conv2d", [(3, 5, 5), (3, 3), (3, 3)], r"^depthwise_weight: expected at least 4"),
        ("depthwise_conv2d", [(3, 5, 5), (4, 1, 3, 3)], r"^weight: .*C = 3: .*\(3\*M, 1, 3, 3\).*got \(4, 1"),
        ("depthwise_conv2d", [(3, 5, 5), (6, 2, 3, 3)], r"^weight: .*C = 3"),
        ("depthwise_conv2d", [(3, 5, 4), (4, 1, 3, 3)], r"did you mean data_format='channels_last'"),
        ("pointwise_conv2d", [(3, 5, 5), (2, 4)], r"^weight: .*C = 3.*\(O, 3\).*\(O, 3, 1, 1\).*got"),
        ("pointwise_conv2d", [(3, 5, 4), (2, 4)], r"did you mean data_format='channels_last'"),
        ("pointwise_conv2d", [(3, 5, 5), (2, 4, 1, 1)], r"^weight: .*C = 3"),
        ("separable_conv2d", [(3, 5, 5), (3, 2, 3, 3), (4, 5)], r"^pointwise_weight: .*C\*M = 6.*got"),
        ("separable_conv2d", [(3, 5, 5), (4, 2, 3, 3), (4, 6)], r"^depthwise_weight: .*C = 3"),
        ("depthwise_conv2d", [(3, 5, 5), (3, 2, 3, 3), (5,)], r"^bias: .*C\*M = 6.*got \(5,\)"),
        ("depthwise_conv2d", [(3, 5, 5), (3, 2, 3, 3), (1,)], r"^bias: .*C\*M = 6.*got \(1,\)"),
        ("pointwise_conv2d", [(3, 5, 5), (2, 3), (3,)], r"^bias: .*O = 2.*got \(3,\)"),
        (
            "separable_conv2d",
            [(3, 5, 5), (3, 2, 3, 3), (4, 6), (4,), (4,)],
            r"^depthwise_bias: .*C\*M = 6.*got \(4,\)",
        ),
        (
            "separable_conv2d",
            [(3, 5, 5), (3, 2, 3, 3), (4, 6), (6,), (6,)],
            r"^pointwise_bias: .*O = 4.*got \(6,\)",
        ),
        (
            "depthwise_conv2d",
            [(2, 3, 5, 5), (4, 3, 1, 3, 3)],
            r"^x, weight: the leading axes must broadcast.*x \(2,\), weight \(4,\)",
        ),
        (
            "depthwise_conv2d",
            [(2, 3, 5, 5), (3, 1, 3, 3), (5, 3)],
            r"leading axes must broadcast.*x \(2,\), bias \(5,\)",
        ),
    ],
)
def test_shapes_that_disagree(name, shapes, pattern):
    with pytest.raises(ValueError, match=pattern):
        getattr(ds, name)(*[ones(*shape) for shape in shapes])


def test_format_hint_the_other_way():
    with pytest.raises(ValueError, match="did you mean data_format='channels_first'"):
        ds.depthwise_conv2d(ones(3, 5, 5), ones(3, 1, 3, 3), data_format="channels_last")


def test_ragged_lists():
    with pytest.raises(ValueError, match="^weight: cannot be made into an array"):
        ds.depthwise_conv1d(ones(1, 5), [[[1, 2]], [[1]]])


def test_kernel_longer_than_the_input():
    for keywords in ({}, {"dilation": 2}, {"padding": 1, "dilation": 3}):
        with pytest.raises(ValueError, match="kernel|dilat"):
            ds.depthwise_conv2d(ones(3, 4, 2), ones(3, 1, 3, 3), **keywords)


# ---- out -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FUNCTIONS)
def test_out(name):
    arguments = [*operands(name), *biases(name)]
    expected = getattr(ds, name)(*arguments)
    for dtype in ("f4", "f8"):
        out = np.full(expected.shape, 99, dtype)
        assert getattr(ds, name)(*arguments, out=out) is out
        np.testing.assert_array_equal(out, expected)
    out = np.full(expected.shape, 99, "f4")
    assert getattr(ds, name)(*arguments, out=(out,)) is out
    strided = np.full([2 * length for length in expected.shape], 99, "f4")[(slice(None, None, 2),) * out.ndim]
    getattr(ds, name)(*arguments, out=strided)
    np.testing.assert_array_equal(strided, expected)


def test_wrong_out():
    arguments = operands("depthwise_conv2d")
    read_only = ones(2, 6, 5, 5)
    read_only.flags.writeable = False
    for out, error, pattern in (
        (ones(2, 6, 5, 4), ValueError, r"^out: .*\(2, 6, 5, 5\), got \(2, 6, 5, 4\)"),
        (ones(2, 5, 5, 5), ValueError, r"^out: .*\(2, 6, 5, 5\)"),
        (ones(3, 6, 5, 5), ValueError, r"^out: .*\(2, 6, 5, 5\)"),
        (ones(6, 5, 5), ValueError, r"^out: .*\(2, 6, 5, 5\)"),
        (ones(5), ValueError, r"^out: .*\(2, 6, 5, 5\)"),
        (read_only, ValueError, "read-only"),
        (np.ones((2, 6, 5, 5), int), TypeError, r"^out: .*float32 .*same_kind.*got int64"),
        (np.ones((2, 6, 5, 5), "f2"), None, ""),
        ([[1.0]], TypeError, r"^out: expected an array .*got list"),
        ("out", TypeError, r"^out: expected an array .*got str"),
        ((), ValueError, r"^out: .*tuple of 0"),
        ((read_only, read_only), ValueError, r"^out: .*tuple of 2"),
    ):
        if error is None:
            assert ds.depthwise_conv2d(*arguments, out=out) is out
            continue
        with pytest.raises(error, match=pattern):
            ds.depthwise_conv2d(*arguments, out=out)


def test_out_casting():
    arguments = operands("depthwise_conv2d")
    expected = ds.depthwise_conv2d(*arguments)
    out = np.empty(expected.shape, "i4")
    ds.depthwise_conv2d(*arguments, out=out, casting="unsafe")
    np.testing.assert_array_equal(out, expected)
    wide = [argument.astype("f8") for argument in arguments]
    with pytest.raises(TypeError, match="^out: .*casting='safe'"):
        ds.depthwise_conv2d(*wide, out=np.empty(expected.shape, "f4"), casting="safe")


def test_failed_call_leaves_later_ones_alone():
    x, weight = operands("depthwise_conv2d")
    expected = ds.depthwise_conv2d(x, weight)
    for _ in range(3):
        with pytest.raises(ValueError):
            ds.depthwise_conv2d(x, weight[:2])
        np.testing.assert_array_equal(ds.depthwise_conv2d(x, weight), expected)


# ---- sizes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["depthwise_conv1d", "separable_conv2d", "depthwise_conv3d"])
@pytest.mark.parametrize("padding", [0, 1, 2, "valid", "same", "same_lower", "full", "causal"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_conv_output_size_is_what_comes_out(name, padding, stride, dilation):
    rank = int(name[-2])
    arguments = operands(name, size=6)
    geometry = {"padding": padding, "stride": stride, "dilation": dilation}
    result = same_as_reference(name, *arguments, **geometry)
    size = ds.conv_output_size((6,) * rank, 3, **geometry)
    assert result.shape[-rank:] == size
    assert all(type(each) is int for each in size)


def test_conv_output_size_in_kind():
    assert ds.conv_output_size(5, 3) == 3
    assert ds.conv_output_size(np.int32(5), np.int64(3)) == 3
    assert type(ds.conv_output_size(np.int32(5), 3)) is int
    assert ds.conv_output_size((5,), 3) == (3,)
    assert ds.conv_output_size(5, (3,)) == (3,)
    assert ds.conv_output_size([5, 6], (3, 2), stride=(1, 2), padding=((1, 0), (0, 0))) == (4, 3)
    assert ds.conv_output_size((5, 6, 7), 1, padding=1) == (7, 8, 9)
    assert ds.conv_output_size(5, 3, padding=((1, 2),)) == 6
    assert ds.conv_output_size(0, 1, padding=1) == 2


def test_conv_output_size_is_exact():
    huge = 2**62
    assert ds.conv_output_size(huge, 3) == huge - 2
    assert ds.conv_output_size(2**63 - 1, 2**63 - 1) == 1
    assert ds.conv_output_size(huge, 3, stride=huge) == 1
    assert ds.conv_output_size(huge, 3, padding="same", stride=3) == -(-huge // 3)


@pytest.mark.parametrize(
    "arguments, keywords, error, pattern",
    [
        ((4, 5), {}, ValueError, r"^kernel_size: .*dilation\*\(kernel - 1\) \+ 1 = 5 > input .* = 4"),
        ((4, 3), {"dilation": 2}, ValueError, "^kernel_size: .*= 5 > .* = 4"),
        ((0, 1), {}, ValueError, "^kernel_size: "),
        ((4, 0), {}, ValueError, "^kernel_size: must be at least 1, got 0"),
        ((-1, 1), {}, ValueError, "^input_size: must be at least 0, got -1"),
        (((4, 4), (3, 3, 3)), {}, ValueError, "^kernel_size: expected .*2 integers"),
        ((4, 3), {"stride": (1, 1)}, ValueError, "^stride: "),
        ((4, 3), {"padding": (1, 2)}, ValueError, r"padding=\(\(1, 2\),\)"),
        (((), ()), {}, ValueError, "at least one spatial axis"),
        ((4.0, 3), {}, TypeError, "^input_size: "),
        ((4, "3"), {}, TypeError, "^kernel_size: "),
        ((True, 1), {}, TypeError, "^input_size: "),
        ((2**63, 1), {}, OverflowError, "^input_size: "),
        ((2**62, 1), {"padding": 2**62}, OverflowError, "^padding, dilation: .*64-bit"),
        ((4, 2**40), {"dilation": 2**40}, OverflowError, "64-bit"),
        ((4, 3), {"padding": 2**63 - 5}, OverflowError, "64-bit"),
        ((4, 2**62), {"padding": "full"}, OverflowError, "64-bit"),
    ],
)
def test_conv_output_size_refuses(arguments, keywords, error, pattern):
    with pytest.raises(error, match=pattern):
        ds.conv_output_size(*arguments, **keywords)


# ---- empty things --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_empty_batch(name, data_format):
    rank = int(name[-2])
    for batch in ((0,), (2, 0), (0, 3)):
        arguments = [*operands(name, batch=batch), *biases(name)]
        shape = getattr(ds, name)(*operands(name, batch=()))[None].shape[1:]
        if data_format == "channels_last":
            arguments[0] = np.moveaxis(arguments[0], -rank - 1, -1)
            shape = (*shape[1:], shape[0])
        assert getattr(ds, name)(*arguments, data_format=data_format).shape == (*batch, *shape)


@pytest.mark.parametrize("rank", RANKS)
def test_no_input_channels(rank):
    x, size = ones(2, 0, *[5] * rank), [3] * rank
    depthwise = ones(0, 2, *[3] * rank)
    assert getattr(ds, f"depthwise_conv{rank}d")(x, depthwise).shape == (2, 0, *size)
    assert getattr(ds, f"depthwise_conv{rank}d")(x, depthwise[:, :1], ones(0)).shape == (2, 0, *size)
    bias = np.array([-1, 2, 3], np.float32)
    column = np.maximum(bias, 0).reshape(3, *[1] * rank)
    pointwise = getattr(ds, f"pointwise_conv{rank}d")
    np.testing.assert_array_equal(
        pointwise(x, ones(3, 0), bias, activation="relu"), np.broadcast_to(column, (2, 3, *[5] * rank))
    )
    separable = getattr(ds, f"separable_conv{rank}d")
    result = separable(x, depthwise, ones(3, 0), pointwise_bias=bias, activation="relu")
    np.testing.assert_array_equal(result, np.broadcast_to(column, (2, 3, *size)))
    np.testing.assert_array_equal(separable(x, depthwise, ones(3, 0)), np.zeros((2, 3, *size)))


@pytest.mark.parametrize(
    "name, shapes",
    [
        ("depthwise_conv2d", [(3, 5, 5), (3, 0, 3, 3)]),
        ("depthwise_conv2d", [(3, 5, 5), (3, 1, 0, 3)]),
        ("depthwise_conv2d", [(3, 5, 5), (3, 1, 3, 0)]),
        ("depthwise_conv1d", [(3, 5), (3, 1, 0)]),
        ("depthwise_conv3d", [(3, 5, 5, 5), (3, 1, 0, 0, 0)]),
        ("pointwise_conv2d", [(3, 5, 5), (0, 3)]),
        ("pointwise_conv2d", [(0, 5, 5), (0, 0)]),
        ("separable_conv2d", [(3, 5, 5), (3, 1, 3, 3), (0, 3)]),
        ("separable_conv2d", [(3, 5, 5), (3, 0, 3, 3), (4, 0)]),
        ("separable_conv2d", [(3, 5, 5), (3, 1, 0, 0), (4, 3)]),
    ],
)
def test_empty_weights(name, shapes):
    for batch in ((), (2,), (0,)):
        with pytest.raises(ValueError, match="weight|kernel|output channels|multiplier"):
            getattr(ds, name)(ones(*batch, *shapes[0]), *[ones(*shape) for shape in shapes[1:]])


def test_empty_image():
    bias = np.array([1, 2, 3], np.float32)
    result = ds.depthwise_conv2d(ones(2, 3, 0, 4), ones(3, 1, 1, 1), bias, padding=1)
    np.testing.assert_array_equal(result, np.broadcast_to(bias[:, None, None], (2, 3, 2, 6)))
    assert ds.pointwise_conv2d(ones(2, 3, 0, 4), ones(5, 3)).shape == (2, 5, 0, 4)
    for mode in ("reflect", "symmetric", "replicate", "circular"):
        with pytest.raises(ValueError):
            ds.depthwise_conv2d(ones(2, 3, 0, 4), ones(3, 1, 1, 1), padding=1, padding_mode=mode)
