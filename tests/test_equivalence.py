"""The fast functions against the reference: values and dtypes.

Integers must be exact, whatever the order of summation; floats must lie in the error bound.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dsconv as ds
from dsconv import _core, reference
from dsconv.reference.arguments import name_of
from dsconv.testing import assert_equivalent

from .strategies import (
    ACTIVATIONS,
    ARGUMENTS,
    BFLOAT16,
    DTYPES,
    FORWARD,
    LAYOUTS,
    MODES,
    OPS,
    RANKS,
    REAL_DTYPES,
    outcome,
    random_case,
)

ISAS = ds.available_isas()
THREADS = (1, 3)


@pytest.fixture(autouse=True)
def settings_restored():
    """Let threads share even the smallest call, and leave things as they were."""
    before = ds.isa(), _core.get_num_threads(), _core.set_parallel_threshold(0)
    yield
    _core.set_isa(before[0])
    _core.set_num_threads(before[1])
    _core.set_parallel_threshold(before[2])


@pytest.fixture(params=ISAS)
def isa(request, settings_restored):
    _core.set_isa(request.param)
    return request.param


def fast(case):
    return getattr(ds, case.name)(*case.args, **case.kwargs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", OPS)
def test_integers_are_exact(op, rank, dtype):
    for index, layout in enumerate(LAYOUTS * 2):
        rng = np.random.default_rng([1, rank, index])
        choices = dict(ops=(op,), ranks=(rank,), dtypes=(dtype,), layouts=(layout,))
        case = random_case(rng, big=index < 2, integer=True, **choices)
        expected = case.expected()
        for isa, threads in itertools.product(ISAS, THREADS):
            _core.set_isa(isa)
            _core.set_num_threads(threads)
            actual = fast(case)
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected, err_msg=f"{isa}, {threads} threads: {case}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS)
def test_floats_are_in_the_bound(isa, op, dtype):
    _core.set_num_threads(3)
    for index, rank in enumerate(RANKS):
        rng = np.random.default_rng([2, rank, index])
        case = random_case(rng, big=index == 1, ops=(op,), ranks=(rank,), dtypes=(dtype,))
        assert_equivalent(fast(case), case.name, *case.args, **case.kwargs)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", OPS)
def test_threads_do_not_change_bits(isa, op, rank):
    for index in range(3):
        case = random_case(np.random.default_rng([3, rank, index]), big=True, ops=(op,), ranks=(rank,))
        _core.set_num_threads(1)
        one = fast(case)
        for threads in (2, 3, 5, 8):
            _core.set_num_threads(threads)
            assert fast(case).tobytes() == one.tobytes(), f"{threads} threads, {case}"


@pytest.mark.parametrize("dtype", ("float32", "complex64"))
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", [op for op in OPS if op.endswith("weight_grad")])
def test_threads_do_not_change_the_bits_of_long_sums(isa, op, rank, dtype):
    """More products than a block has, over images that differ in number from the threads."""
    rng = np.random.default_rng([15, rank])
    spatial = {1: (9000,), 2: (67, 131), 3: (9, 29, 33)}[rank]
    args = [rng.standard_normal((5, 3, *spatial)).astype(dtype) for _ in range(2)]
    words = {} if op.startswith("pointwise") else dict(padding=1)
    args += [] if op.startswith("pointwise") else [3]
    name = name_of(op, rank)
    for layout in LAYOUTS:
        if layout == "channels_last":
            args[:2] = [np.ascontiguousarray(np.moveaxis(array, 1, -1)) for array in args[:2]]
        _core.set_num_threads(1)
        one = getattr(ds, name)(*args, **words, data_format=layout)
        assert_equivalent(one, name, *args, **words, data_format=layout)
        for threads in (2, 3, 5, 8, 16):
            _core.set_num_threads(threads)
            assert getattr(ds, name)(*args, **words, data_format=layout).tobytes() == one.tobytes()


#: Weights, and what else is needed for maps of 21 channels; how many outputs more inputs leave as they were.
MAPS = {
    "depthwise_conv": (((21, 2, 5),), lambda n: {}, lambda n: n - 4),
    "pointwise_conv": (((53, 21),), lambda n: {}, lambda n: n),
    "separable_conv": (((21, 2, 5), (53, 42)), lambda n: {}, lambda n: n - 4),
    "depthwise_conv_transpose": (((21, 2, 5),), lambda n: dict(stride=2), lambda n: 2 * n - 1),
    "separable_conv_transpose": (((21, 2, 5), (53, 42)), lambda n: {}, lambda n: n),
    "depthwise_conv_input_grad": (((7, 3, 5),), lambda n: dict(input_size=n + 4), lambda n: n),
    "depthwise_conv_transpose_input_grad": (((7, 3, 5),), lambda n: dict(input_size=n - 4), lambda n: n - 4),
    "pointwise_conv_input_grad": (((21, 53),), lambda n: {}, lambda n: n),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", MAPS)
def test_neither_the_batch_nor_the_length_changes_bits(isa, op, layout):
    """An output is summed in one order: alone or in a batch, and at rank 1 at any length of the signal."""
    rng = np.random.default_rng(4)
    shapes, words, unchanged = MAPS[op]
    x, *weights = (rng.standard_normal(shape).astype("f4") for shape in ((3, 21, 301), *shapes))
    axis = -1 if layout == "channels_first" else -2
    x = x if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(x, -1, -2))

    def call(x):
        function = getattr(ds, name_of(op, 1))
        return function(x, *weights, **words(x.shape[axis]), data_format=layout)

    whole = call(x)
    for n in range(3):
        np.testing.assert_array_equal(call(x[n]), whole[n])
    for length in (5, 6, 17, 64, 150, 299):
        kept = range(unchanged(length))
        short = np.take(call(np.take(x, range(length), axis)), kept, axis)
        np.testing.assert_array_equal(short, np.take(whole, kept, axis))


def values_for_activations(dtype):
    fine = np.linspace(-12, 12, 1601)
    coarse = np.concatenate(
        [np.linspace(-800, 800, 401), np.logspace(-44, 1, 100), -np.logspace(-44, 1, 100)]
    )
    return np.concatenate([fine, coarse]).astype(dtype)


@pytest.mark.parametrize("dtype", REAL_DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(isa, activation, dtype):
    x = values_for_activations(dtype)
    one = np.ones((1, 1), dtype)
    for layout, shape in (("channels_first", (1, -1)), ("channels_last", (-1, 1))):
        for op in FORWARD:
            weights = {"d": [one[None]], "p": [one], "s": [one[None], one]}[op[0]]
            call = op + "1d", x.reshape(shape), *weights
            for key in ("activation", "depthwise_activation")[: len(weights)]:
                words = {key: activation, "data_format": layout}
                assert_equivalent(getattr(ds, call[0])(*call[1:], **words), *call, **words)
    # as many channels as make whole vectors, and some over
    call = "pointwise_conv1d", x[:53].reshape(1, 53), np.ones((37, 1), dtype)
    assert_equivalent(ds.pointwise_conv1d(*call[1:], activation=activation), *call, activation=activation)


# comparing a NaN sets the flag on some processors
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", (None, *ACTIVATIONS))
def test_nan_passes_through_activations(isa, activation, layout):
    x = np.zeros((40, 40), "f4")
    x[3, 5] = x[39, 39] = np.nan
    weight = np.ones((40, 1, 1), "f4")
    y = ds.depthwise_conv1d(x, weight, activation=activation, data_format=layout)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    y = ds.separable_conv1d(
        x, weight, np.ones((50, 40), "f4"), depthwise_activation=activation, data_format=layout
    )
    poisoned = np.isnan(x).any(0 if layout == "channels_first" else 1)
    np.testing.assert_array_equal(np.isnan(y).all(0 if layout == "channels_first" else 1), poisoned)
    np.testing.assert_array_equal(np.isnan(y).any(0 if layout == "channels_first" else 1), poisoned)


def geometries():
    """Yield geometry arguments that take different ways through the kernels."""
    for stride, dilation, padding in itertools.product((1, 2, 3), (1, 2), ("valid", "same", "full", (2, 5))):
        yield dict(stride=stride, dilation=dilation, padding=padding)
    for mode in MODES:
        yield dict(padding="same", padding_mode=mode)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_poisons_its_receptive_field_only(isa, value, layout):
    rng = np.random.default_rng(5)
    shape = (19, 45, 3) if layout == "channels_last" else (3, 19, 45)
    weight = rng.uniform(0.5, 1, (3, 2, 3, 3)).astype("f4")
    mixing = rng.uniform(0.5, 1, (50, 6)).astype("f4")
    for geometry in geometries():
        x = rng.uniform(0.5, 1, shape).astype("f4")
        for _ in range(2):
            x[tuple(rng.integers(0, size) for size in shape)] = value
        words = dict(geometry, data_format=layout)
        assert_same_specials("depthwise_conv2d", x, weight, **words)
        assert_same_specials("separable_conv2d", x, weight, mixing, **words)


def transposed_geometries():
    for stride, dilation, padding in itertools.product((1, 2, 3), (1, 2), (0, 1, "same", ((1, 2), (0, 2)))):
        yield dict(stride=stride, dilation=dilation, padding=padding)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("transposed", [False, True])
def test_what_is_not_finite_stays_in_its_field_in_gradients(isa, transposed, value, layout):
    """In the maps and, at taps that may fall on padding, in the weight; zeros are never multiplied by it."""
    rng = np.random.default_rng(13)
    name = "depthwise_conv_transpose2d" if transposed else "depthwise_conv2d"

    def random(shape):
        array = rng.uniform(0.5, 1, shape).astype("f4")
        array[tuple(rng.integers(0, size) for size in shape)] = value
        return array

    size = (8, 35)
    for geometry in transposed_geometries() if transposed else geometries():
        words = dict(geometry, data_format=layout)
        x = random((*size, 3) if layout == "channels_last" else (3, *size))
        weight = random((3, 2, 3, 3))
        grad = random(getattr(reference, name)(x, weight, **words).shape)
        assert_same_specials(name, x, weight, **words)
        assert_same_specials(name + "_input_grad", grad, weight, size, **words)
        assert_same_specials(name + "_weight_grad", x, grad, 3, **words)


def assert_same_specials(name, *args, **kwargs):
    actual = getattr(ds, name)(*args, **kwargs)
    with np.errstate(invalid="ignore"):
        expected = getattr(reference, name)(*args, **kwargs, dtype=np.float64)
    for special in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(special(actual), special(expected), err_msg=f"{name} {kwargs}")
    finite = np.isfinite(expected)
    np.testing.assert_allclose(actual[finite], expected[finite], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_weight_that_is_not_finite_is_skipped_on_padding(isa, value, layout):
    rng = np.random.default_rng(6)
    shape = (9, 40, 3) if layout == "channels_last" else (3, 9, 40)
    x = rng.uniform(0.5, 1, shape).astype("f4")
    mixing = rng.uniform(0.5, 1, (5, 3)).astype("f4")
    for geometry, tap in itertools.product(geometries(), ((0, 0), (0, 2), (1, 1), (2, 1))):
        weight = rng.uniform(0.5, 1, (3, 1, 3, 3)).astype("f4")
        weight[(1, 0, *tap)] = value
        words = dict(geometry, data_format=layout)
        assert_same_specials("depthwise_conv2d", x, weight, **words)
        assert_same_specials("separable_conv2d", x, weight, mixing, **words)


@pytest.mark.parametrize("op", OPS)
def test_no_flag_is_raised_without_a_cause(isa, op):
    """Lanes beyond the end of a row compute, too, but must not be heard of."""
    for index in range(12):
        case = random_case(np.random.default_rng([12, index]), big=index % 2 == 0, ops=(op,))
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            fast(case)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_flag_is_raised_by_a_skipped_weight(isa, layout):
    shape = (9, 37, 3) if layout == "channels_last" else (3, 9, 37)
    x, weight = np.ones(shape, "f4"), np.ones((3, 1, 3, 3), "f4")
    weight[:, 0, 0, 2] = np.inf
    for geometry in geometries():
        with np.errstate(invalid="raise"):
            ds.depthwise_conv2d(x, weight, **geometry, data_format=layout)
            ds.separable_conv2d(x, weight, np.ones((5, 3), "f4"), **geometry, data_format=layout)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("op", OPS)
def test_subnormals_are_kept(isa, op, dtype):
    eta = np.finfo(dtype).smallest_subnormal
    for index in range(6):
        choices = dict(ops=(op,), dtypes=(dtype,), integer=True)
        case = random_case(np.random.default_rng([7, index]), big=index % 2 == 0, **choices)
        kwargs = {key: value for key, value in case.kwargs.items() if "activation" not in key}
        args = [small_integers(array, role) for array, role in zip(case.args, ARGUMENTS[op], strict=True)]
        args[0] = np.clip(case.args[0].astype("f8"), -4, 4)
        expected = getattr(reference, case.name)(*args, **kwargs, dtype="f8").astype(dtype) * eta
        tiny = args[0].astype(dtype) * eta
        actual = getattr(ds, case.name)(tiny, *args[1:], **kwargs)
        np.testing.assert_array_equal(actual, expected, err_msg=str(case))


def small_integers(argument, role):
    """Return an operand cut down to at most 2, a bias to nothing; sizes are as they were."""
    if role.endswith("bias"):
        return None
    return np.clip(argument, -2, 2) if isinstance(argument, np.ndarray) else argument


@pytest.mark.parametrize("mode", ("zeros", *MODES))
def test_negative_zero(isa, mode):
    x, weight = np.full((2, 35), -0.0, "f4"), np.ones((2, 1, 3), "f4")
    for activation in (None, "relu", "relu6", "silu", "tanh", "gelu", "hardswish"):
        y = ds.depthwise_conv1d(x, weight, padding=1, padding_mode=mode, activation=activation)
        np.testing.assert_array_equal(y, np.zeros((2, 35)))


@pytest.mark.parametrize(
    "types, result",
    [
        (("i1", "i1"), "f4"),
        (("u1", "f4"), "f4"),
        (("?", "u2"), "f4"),
        (("i4", "i1"), "f8"),
        (("i8", "f4"), "f8"),
        (("f4", "f8"), "f8"),
        ((">f4", "f4"), "f4"),
        ((">i2", ">f8"), "f8"),
        (("f2", "f2"), "f2"),
        (("i1", "f2"), "f2"),
        (("i2", "f2"), "f4"),
        ((">f2", "f4"), "f4"),
        (("c8", "f2"), "c8"),
        (("f8", "c8"), "c16"),
        (("i4", ">c8"), "c16"),
        *(((name, name), name) for name in BFLOAT16),
        *(((name, "f4"), "f4") for name in BFLOAT16),
        *((("c8", name), "c8") for name in BFLOAT16),
    ],
)
def test_types_promote(types, result):
    rng = np.random.default_rng(8)
    x = rng.integers(0, 2, (3, 4, 50)).astype(types[0])
    weight = rng.integers(0, 2, (4, 2, 3)).astype(types[1])
    y = ds.depthwise_conv1d(x, weight)
    assert y.dtype == result
    np.testing.assert_array_equal(y, reference.depthwise_conv1d(x, weight, dtype="c16"))
    assert_equivalent(y, "depthwise_conv1d", x, weight)
    bias = np.ones(8, "f8")
    assert ds.depthwise_conv1d(x, weight, bias).dtype == np.result_type(result, "f8")
    grad = ds.depthwise_conv1d_weight_grad(x, np.ones((3, 8, 48), types[1]), 3)
    assert grad.dtype == result
    assert_equivalent(grad, "depthwise_conv1d_weight_grad", x, np.ones((3, 8, 48), types[1]), 3)


@pytest.mark.parametrize("name", ["longdouble", "object", "clongdouble", "datetime64[s]", "U1"])
def test_types_without_a_kernel(name):
    x = np.zeros((1, 4), name)
    with pytest.raises(TypeError):
        ds.depthwise_conv1d(x, np.zeros((1, 1, 2), name))


def test_dtype_and_casting():
    rng = np.random.default_rng(9)
    x, weight = rng.standard_normal((2, 50)), rng.standard_normal((2, 1, 3))
    y = ds.depthwise_conv1d(x, weight, dtype="f4")
    assert_equivalent(y, "depthwise_conv1d", x, weight, dtype="f4")
    out = np.empty((2, 48), "f4")
    assert ds.depthwise_conv1d(x, weight, out=out) is out
    assert_equivalent(out, "depthwise_conv1d", x, weight, out=out)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", [op for op in OPS if not op.endswith("weight_grad")])
def test_out_may_overlap_any_input(isa, op, layout):
    rng = np.random.default_rng(10)
    name = name_of(op, 2)
    room = rng.integers(-3, 4, (3, 8, 41, 8)).astype("f4")
    depthwise, pointwise = rng.integers(-3, 4, (8, 1, 3, 3)), rng.integers(-3, 4, (8, 8))
    weights = {"d": [depthwise], "p": [pointwise], "s": [depthwise, pointwise]}[name[0]]
    words = {"data_format": layout} if name[0] == "p" else {"data_format": layout, "padding": 1}
    if "input_size" in ARGUMENTS[op]:
        words["input_size"] = (8, 41)
    if layout == "channels_first":
        room = room.swapaxes(2, 3)
    for source, target in ((0, 0), (0, 1), (1, 0), (2, 1)):
        memory = room.copy()
        views = [
            memory.reshape(-1)[k * 5 :][: 2 * room[0].size].reshape(2, *room.shape[1:]) for k in range(3)
        ]
        expected = getattr(reference, name)(views[source], *weights, **words)
        actual = getattr(ds, name)(
            views[source], *[w.astype("f4") for w in weights], out=views[target], **words
        )
        assert actual is views[target]
        np.testing.assert_array_equal(actual, expected)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), big=st.booleans(), threads=st.integers(1, 4))
def test_any_case_of_integers(seed, big, threads):
    case = random_case(np.random.default_rng(seed), big=big, integer=True)
    _core.set_num_threads(threads)
    np.testing.assert_array_equal(fast(case), case.expected(), err_msg=str(case))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_case_of_floats(seed):
    case = random_case(np.random.default_rng(seed))
    assert_equivalent(fast(case), case.name, *case.args, **case.kwargs)


@st.composite
def geometry_1d(draw):
    """Draw sizes one by one, so that a failure shrinks to the smallest."""
    small = st.integers(1, 6)
    padding = st.one_of(
        st.tuples(st.tuples(st.integers(0, 9), st.integers(0, 9))),
        st.sampled_from(["valid", "same", "same_lower", "full", "causal"]),
    )
    transposed = draw(st.booleans())
    words = dict(stride=draw(small), dilation=draw(small), data_format=draw(st.sampled_from(LAYOUTS)))
    if transposed:
        words.update(padding=draw(padding), output_padding=draw(st.integers(0, 6)))
        # what "same" would refuse is tried now and then, not always
        words.update(draw(st.sampled_from([{}, {}, dict(padding="same", output_padding=0)])))
    else:
        words.update(padding=draw(padding), padding_mode=draw(st.sampled_from(["zeros", "zeros", *MODES])))
    return dict(
        transposed=transposed,
        width=draw(st.integers(0, 80)),
        channels=draw(st.integers(0, 20)),
        multiplier=draw(st.integers(1, 3)),
        kernel=draw(st.integers(1, 12)),
        words=words,
    )


@settings(max_examples=400, deadline=None)
@given(sizes=geometry_1d(), more=st.sampled_from([0, 0, 0, 1, -1]))
def test_any_geometry(sizes, more):
    """Function and gradients give the same, or raise the same; sizes of gradients may be off by one."""
    rng = np.random.default_rng(0)
    words, channels = sizes["words"], sizes["channels"]

    def maps(channels, width):
        shape = (channels, width) if words["data_format"] == "channels_first" else (width, channels)
        return rng.integers(-3, 4, shape).astype("f4")

    name = "depthwise_conv_transpose1d" if sizes["transposed"] else "depthwise_conv1d"
    x = maps(channels, sizes["width"])
    weight = rng.integers(-3, 4, (channels, sizes["multiplier"], sizes["kernel"])).astype("f4")
    y = same_outcome(name, (x, weight), words)
    width = 10 if y is None else y.shape[words["data_format"] == "channels_first"]
    grad = maps(channels * sizes["multiplier"], max(width + more, 0))
    words = {key: value for key, value in words.items() if key != "output_padding"}
    same_outcome(name + "_input_grad", (grad, weight, sizes["width"]), words)
    same_outcome(name + "_weight_grad", (x, grad, sizes["kernel"]), words)


def same_outcome(name, args, words):
    """Check values or the type of the error; return the values."""
    actual, error = outcome(getattr(ds, name), args, words)
    expected, needed = outcome(getattr(reference, name), args, words)
    assert type(error) is type(needed), f"{name} raised {error!r}, the reference {needed!r}"
    if error is None:
        assert actual.shape == expected.shape
        np.testing.assert_array_equal(actual, expected)
    return actual
