"""Calls of dense arrays go past NumPy's machinery, and nobody can tell but by the time."""

import sys
import timeit

import numpy as np
import pytest

import dsconv as ds
from dsconv.gufuncs import public_name

SHAPES = {  # of x, w, p; y is the result of the convolution itself
    1: ((3, 11), (3, 2, 3), (5, 6)),
    2: ((3, 9, 11), (3, 2, 3, 3), (5, 6)),
    3: ((3, 4, 5, 6), (3, 2, 3, 3, 3), (5, 6)),
}
OPERATIONS = {
    "depthwise_conv": "xwb",
    "depthwise_conv_transpose": "xwb",
    "pointwise_conv": "xpb",
    "separable_conv": "xwpbb",
    "separable_conv_transpose": "xwpbb",
    "depthwise_conv_input_grad": "yw",
    "depthwise_conv_weight_grad": "xy",
    "pointwise_conv_input_grad": "yp",
    "pointwise_conv_weight_grad": "xy",
}


def problem(operation, rank, batch, dtype, last):
    """The ufunc of an operation and its operands, biases included."""
    rng = np.random.default_rng(rank)
    x, w, p = (rng.standard_normal(shape).astype(dtype) for shape in SHAPES[rank])
    mixing = operation.startswith("pointwise")
    p = p[:, :3].copy() if mixing else p
    x = np.stack([x + i for i in range(batch)]) if batch is not None else x
    kind = operation.removesuffix("_input_grad").removesuffix("_weight_grad")
    forward = getattr(ds, f"{kind}{rank}d")
    y = forward(x, p) if mixing else forward(x, w) if kind == "depthwise_conv" else None
    values = {"x": x, "w": w, "p": p, "y": y}
    if last:
        values |= {key: to_last(values[key], rank) for key in "xy" if values[key] is not None}
    keywords = {"data_format": "channels_last" if last else "channels_first"}
    if operation == "depthwise_conv_input_grad":
        keywords["input_size"] = SHAPES[rank][0][1:]
    if operation == "depthwise_conv_weight_grad":
        keywords["kernel_size"] = 3
    if operation.endswith("weight_grad"):
        keywords["batch_axes"] = int(batch is not None)
    flags = {"xwpbb": ("depthwise_bias", "pointwise_bias")}.get(OPERATIONS[operation], ("bias",))
    flags = flags[: OPERATIONS[operation].count("b")]
    ufunc = ds.gufunc(public_name(operation, rank), **keywords, **dict.fromkeys(flags, True))
    biases = iter(rng.random(5 if mixing or flag == "pointwise_bias" else 6).astype(dtype) for flag in flags)
    return ufunc, [next(biases) if each == "b" else values[each] for each in OPERATIONS[operation]]


def to_last(array, rank):
    return np.ascontiguousarray(np.moveaxis(array, -rank - 1, -1))


@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [None, 1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_bits_are_those_of_the_long_way(operation, rank, batch, dtype, last):
    ufunc, operands = problem(operation, rank, batch, dtype, last)
    long = ufunc(*operands, casting="same_kind")
    short = ufunc(*operands)
    assert short.tobytes() == long.tobytes()
    assert (short.shape, short.strides, short.dtype) == (long.shape, long.strides, long.dtype)
    out = np.full_like(long, np.nan)
    assert ufunc(*operands, out) is out and out.tobytes() == long.tobytes()
    out = np.full_like(long, np.nan)
    assert ufunc(*operands, out=out) is out and out.tobytes() == long.tobytes()
    assert ufunc(*operands, None).tobytes() == ufunc(*operands, out=None).tobytes() == long.tobytes()


X, W = (
    np.random.default_rng(0).random((2, 3, 9, 9), "f4"),
    np.random.default_rng(1).random((3, 1, 3, 3), "f4"),
)
SAME = ds.gufunc("depthwise_conv2d", padding="same")
FUNCTION = ds.depthwise_conv2d
EXPECTED = SAME(X, W, casting="same_kind")


def strange_arrays():
    unaligned = np.zeros(X.nbytes + 1, "u1")[1:].view("f4").reshape(X.shape)
    unaligned[:] = X
    return {
        "swapped": X.astype(">f4"), "wide": X.astype("f8"), "fortran": np.asfortranarray(X), "axes": X[None],
        "subclass": X.view(np.recarray), "negative": X[::-1].copy()[::-1], "list": X.tolist(),
        "read only": np.frombuffer(X.tobytes(), "f4").reshape(X.shape), "unaligned": unaligned,
    }  # fmt: skip


@pytest.mark.parametrize("kind", strange_arrays())
def test_other_arrays(kind):
    x = strange_arrays()[kind]
    long = SAME(x, W, casting="same_kind")
    for short in (SAME(x, W), FUNCTION(x, W, padding="same")):
        assert type(short) is type(long) and short.dtype == long.dtype and short.shape == long.shape
        np.testing.assert_allclose(short, EXPECTED if kind != "axes" else EXPECTED[None], rtol=1e-5)


def test_weights_of_another_kind_than_x():
    for w in (W.astype("f8"), W.astype("f2"), np.asfortranarray(W), W[None], W.tolist()):
        long = SAME(X, w, casting="same_kind")
        short = SAME(X, w)
        assert short.dtype == long.dtype and short.tobytes() == long.tobytes()


def test_result_over_an_input():
    for place in (slice(None), slice(1, None)):
        memory = np.zeros((4, *X.shape[1:]), "f4")
        memory[:2] = X
        out = memory[place][:2]
        assert SAME(memory[:2], W, out=out) is out
        np.testing.assert_array_equal(out, EXPECTED)
    beside = np.concatenate([X, X])
    SAME(beside[:2], W, out=beside[2:])
    np.testing.assert_array_equal(beside, np.concatenate([X, EXPECTED]))


@pytest.mark.parametrize(
    "call", [SAME, lambda *a, **k: FUNCTION(*a, padding="same", **k)], ids=["ufunc", "function"]
)
def test_results_of_another_kind(call):
    wide = np.empty(X.shape)
    assert call(X, W, out=wide) is wide
    np.testing.assert_array_equal(wide, EXPECTED)
    strided = np.zeros((*X.shape, 2), "f4")
    call(X, W, out=strided[..., 1])
    np.testing.assert_array_equal(strided, np.stack([np.zeros_like(EXPECTED), EXPECTED], -1))
    fixed = np.zeros(X.shape, "f4")
    fixed.flags.writeable = False
    bad = [
        fixed,
        np.zeros((2, 3, 9, 8), "f4"),
        np.zeros((3, 9, 9), "f4"),
        np.zeros(X.shape, "i4"),
        np.zeros(0, "f4"),
    ]
    for out in bad:
        with pytest.raises((ValueError, TypeError)):
            call(X, W, out=out)
        assert not out.any()
    more = np.zeros((2, *X.shape), "f4")
    call(X, W, out=more)  # results broadcast too
    np.testing.assert_array_equal(more, np.stack([EXPECTED, EXPECTED]))


WRONG_SHAPES = [
    ((2, 3, 9, 9), (4, 1, 3, 3)),
    ((3, 2, 9), (3, 1, 3, 3)),
    ((9, 9), (3, 1, 3, 3)),
    ((2, 3, 9, 9), (3, 1, 3)),
    ((2, 3, 9, 9), (3, 0, 3, 3)),
    ((2, 3, 0, 9), (3, 1, 0, 3)),
    ((2, 3, 2, 9), (3, 1, 3, 3)),
]


@pytest.mark.parametrize("shapes", WRONG_SHAPES)
def test_errors_are_those_of_the_long_way(shapes):
    x, w = (np.ones(shape, "f4") for shape in shapes)
    plain = ds.gufunc("depthwise_conv2d")
    texts = []
    for options in ({}, {"casting": "same_kind"}):
        with pytest.raises(ValueError) as caught:
            plain(x, w, **options)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_empty_arrays():
    for shape in ((0, 3, 9, 9), (2, 0, 9, 9)):
        x, w = np.ones(shape, "f4"), np.ones((shape[1], 1, 3, 3), "f4")
        assert SAME(x, w).shape == shape


def test_floating_point_errors_and_references():
    x = np.full((3, 9, 9), 3e38, "f4")
    out = np.empty_like(x)
    counts = [sys.getrefcount(each) for each in (x, W, out)]
    for _ in range(3):
        with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow.*depthwise_conv2d"):
            SAME(x, np.full_like(W, 4), out=out)
        with np.errstate(over="ignore"):
            assert np.isinf(SAME(x, np.full_like(W, 4), out=out)).any()
            FUNCTION(x, np.full_like(W, 4), padding="same", out=out)
    with pytest.warns(RuntimeWarning, match="overflow.*depthwise_conv2d"):
        SAME(x, np.full_like(W, 4))
    assert [sys.getrefcount(each) for each in (x, W, out)] == counts


def test_keys_that_are_equal_are_not_taken_for_each_other():
    assert FUNCTION(X, W, padding=1, stride=1).shape == X.shape
    for wrong in (True, 1.0, (1, True), (1.0, 1)):
        with pytest.raises(TypeError, match="stride"):
            FUNCTION(X, W, padding=1, stride=wrong)


def test_more_calls_than_are_remembered():
    """By identity of their arguments: more geometries than places, each with either bias, twice."""
    p, bias = np.random.default_rng(2).random((3, 3), "f4"), np.ones(3, "f4")
    geometries = [{"padding": p, "dilation": d} for p in range(4, 20) for d in ((1, 2), (2, 1), 1, 2)]
    calls = [(keywords, role) for keywords in geometries for role in ("depthwise_bias", "pointwise_bias")]
    expected = [ds.gufunc("separable_conv2d", **k, **{role: True})(X, W, p, bias) for k, role in calls]
    for _ in range(2):
        for (keywords, role), y in zip(calls, expected, strict=True):
            np.testing.assert_array_equal(ds.separable_conv2d(X, W, p, **keywords, **{role: bias}), y)


def test_what_is_remembered_is_kept():
    """Arguments of a moment, whose place in memory the next ones get."""
    for size in range(1, 200):
        padding = tuple([size % 7 + 1, size % 5 + 1])
        assert FUNCTION(X, W, padding=padding).shape == (2, 3, 7 + 2 * padding[0], 7 + 2 * padding[1])


@pytest.mark.parametrize("arguments", [(), (X,), (X, W, X, X)])
def test_number_of_arguments(arguments):
    with pytest.raises(TypeError):
        SAME(*arguments)
    with pytest.raises(TypeError):
        SAME(*arguments, out=X, where=True)


@pytest.mark.skipif(ds.isa() == "baseline", reason="its kernel alone takes longer")
def test_it_is_short():
    """Less than NumPy's own way takes with a product of small matrices: 1.0 of it, the long way 2.0."""
    x, w, a = np.ones((8, 8, 8), "f4"), np.ones((8, 1, 3, 3), "f4"), np.ones((8, 8, 8), "f4")
    calls = lambda: FUNCTION(x, w, padding="same"), lambda: np.matmul(a, a)  # noqa: E731
    for _ in range(5):
        ours, numpys = (min(timeit.repeat(call, number=500, repeat=20)) for call in calls)
        if ours < 1.5 * numpys:
            return
    raise AssertionError(f"{ours / numpys:.2f} of NumPy's matmul")
