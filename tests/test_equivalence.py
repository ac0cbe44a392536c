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
from dsconv.testing import assert_equivalent

from .strategies import ACTIVATIONS, DTYPES, LAYOUTS, MODES, OPS, RANKS, outcome, random_case

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


def expected_integers(case):
    wide = getattr(reference, case.name)(*case.args, **case.kwargs, dtype=np.float64)
    return wide.astype(case.args[0].dtype.newbyteorder("="))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", RANKS)
def test_integers_are_exact(isa, rank, dtype, layout):
    for index in range(16):
        rng = np.random.default_rng([1, rank, index])
        case = random_case(
            rng, big=index % 2 == 0, ranks=(rank,), dtypes=(dtype,), layouts=(layout,), integer=True
        )
        expected = expected_integers(case)
        for threads in THREADS:
            _core.set_num_threads(threads)
            actual = fast(case)
            assert actual.dtype == expected.dtype
            np.testing.assert_array_equal(actual, expected, err_msg=str(case))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", RANKS)
def test_floats_are_in_the_bound(isa, rank, dtype, layout):
    _core.set_num_threads(3)
    for index in range(8 if dtype == "float32" else 4):
        rng = np.random.default_rng([2, rank, index])
        case = random_case(rng, big=index % 2 == 0, ranks=(rank,), dtypes=(dtype,), layouts=(layout,))
        assert_equivalent(fast(case), case.name, *case.args, **case.kwargs)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", OPS)
def test_threads_do_not_change_bits(isa, op, rank):
    for index in range(4):
        case = random_case(np.random.default_rng([3, rank, index]), big=True, ops=(op,), ranks=(rank,))
        _core.set_num_threads(1)
        one = fast(case)
        for threads in (2, 3, 5, 8):
            _core.set_num_threads(threads)
            assert fast(case).tobytes() == one.tobytes(), f"{threads} threads, {case}"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", OPS)
def test_neither_the_batch_nor_the_length_changes_bits(isa, op, layout):
    """An output is summed in one order: alone or in a batch, and at rank 1 at any length of the signal."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 21, 301)).astype("f4")
    weights = {
        "depthwise_conv": [rng.standard_normal((21, 2, 5)).astype("f4")],
        "pointwise_conv": [rng.standard_normal((53, 21)).astype("f4")],
        "separable_conv": [rng.standard_normal(shape).astype("f4") for shape in ((21, 2, 5), (53, 42))],
    }[op]
    axis = -1 if layout == "channels_first" else -2
    x = x if layout == "channels_first" else np.ascontiguousarray(np.moveaxis(x, -1, -2))
    whole = getattr(ds, op + "1d")(x, *weights, data_format=layout)
    for n in range(3):
        alone = getattr(ds, op + "1d")(x[n], *weights, data_format=layout)
        np.testing.assert_array_equal(alone, whole[n])
    for length in (5, 6, 17, 64, 150, 299):
        part = np.take(x, range(length), axis)
        short = getattr(ds, op + "1d")(part, *weights, data_format=layout)
        np.testing.assert_array_equal(short, np.take(whole, range(short.shape[axis]), axis))


def values_for_activations(dtype):
    fine = np.linspace(-12, 12, 1601)
    coarse = np.concatenate(
        [np.linspace(-800, 800, 401), np.logspace(-44, 1, 100), -np.logspace(-44, 1, 100)]
    )
    return np.concatenate([fine, coarse]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(isa, activation, dtype):
    x = values_for_activations(dtype)
    one = np.ones((1, 1), dtype)
    for layout, shape in (("channels_first", (1, -1)), ("channels_last", (-1, 1))):
        words = dict(activation=activation, data_format=layout)
        call = "pointwise_conv1d", x.reshape(shape), one
        assert_equivalent(ds.pointwise_conv1d(*call[1:], **words), *call, **words)
        call = "depthwise_conv1d", x.reshape(shape), one[None]
        assert_equivalent(ds.depthwise_conv1d(*call[1:], **words), *call, **words)
        call = "separable_conv1d", x.reshape(shape), one[None], one
        words = dict(depthwise_activation=activation, data_format=layout)
        assert_equivalent(ds.separable_conv1d(*call[1:], **words), *call, **words)
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS)
def test_subnormals_are_kept(isa, op, dtype):
    eta = np.finfo(dtype).smallest_subnormal
    for index in range(12):
        case = random_case(
            np.random.default_rng([7, index]), big=index % 2 == 0, ops=(op,), dtypes=(dtype,), integer=True
        )
        integers = np.clip(case.args[0].astype("f8"), -4, 4)
        biases = [None] * (len(case.args) - (3 if op == "separable_conv" else 2))
        args = (
            integers,
            *(np.clip(weight, -2, 2) for weight in case.args[1 : 3 if op == "separable_conv" else 2]),
        )
        kwargs = {key: value for key, value in case.kwargs.items() if "activation" not in key}
        expected = getattr(reference, case.name)(*args, *biases, **kwargs, dtype="f8").astype(dtype) * eta
        tiny = integers.astype(dtype) * eta
        actual = getattr(ds, case.name)(tiny, *args[1:], *biases, **kwargs)
        np.testing.assert_array_equal(actual, expected, err_msg=str(case))


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
    ],
)
def test_types_promote(types, result):
    rng = np.random.default_rng(8)
    x = rng.integers(0, 2, (3, 4, 50)).astype(types[0])
    weight = rng.integers(0, 2, (4, 2, 3)).astype(types[1])
    y = ds.depthwise_conv1d(x, weight)
    assert y.dtype == result
    np.testing.assert_array_equal(y, reference.depthwise_conv1d(x, weight, dtype="f8"))
    assert_equivalent(y, "depthwise_conv1d", x, weight)
    bias = np.ones(8, "f8")
    assert ds.depthwise_conv1d(x, weight, bias).dtype == "f8"


@pytest.mark.parametrize("name", ["float16", "longdouble", "object", "complex64", "datetime64[s]", "U1"])
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
@pytest.mark.parametrize("name", ["depthwise_conv2d", "pointwise_conv2d", "separable_conv2d"])
def test_out_may_overlap_any_input(isa, name, layout):
    rng = np.random.default_rng(10)
    room = rng.integers(-3, 4, (3, 8, 41, 8)).astype("f4")
    depthwise, pointwise = rng.integers(-3, 4, (8, 1, 3, 3)), rng.integers(-3, 4, (8, 8))
    weights = {"d": [depthwise], "p": [pointwise], "s": [depthwise, pointwise]}[name[0]]
    words = {"data_format": layout} if name[0] == "p" else {"data_format": layout, "padding": 1}
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
    np.testing.assert_array_equal(fast(case), expected_integers(case), err_msg=str(case))


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
    return dict(
        width=draw(st.integers(0, 80)),
        channels=draw(st.integers(0, 20)),
        multiplier=draw(st.integers(1, 3)),
        kernel=draw(st.integers(1, 12)),
        words=dict(
            stride=draw(small),
            dilation=draw(small),
            padding=draw(padding),
            padding_mode=draw(st.sampled_from(["zeros", "zeros", *MODES])),
            data_format=draw(st.sampled_from(LAYOUTS)),
        ),
    )


@settings(max_examples=300, deadline=None)
@given(sizes=geometry_1d())
def test_any_geometry(sizes):
    rng = np.random.default_rng(0)
    shape = sizes["channels"], sizes["width"]
    shape = shape if sizes["words"]["data_format"] == "channels_first" else shape[::-1]
    x = rng.integers(-3, 4, shape).astype("f4")
    weight = rng.integers(-3, 4, (sizes["channels"], sizes["multiplier"], sizes["kernel"])).astype("f4")
    actual, error = outcome(ds.depthwise_conv1d, (x, weight), sizes["words"])
    expected, needed = outcome(reference.depthwise_conv1d, (x, weight), sizes["words"])
    assert type(error) is type(needed), f"raised {error!r}, the reference {needed!r}"
    if error is None:
        np.testing.assert_array_equal(actual, expected)
