"""Gradients: exact adjoints on integers, finite differences, second order, and what a vjp promises.

What concerns values is checked of the fast functions and of the reference alike.
"""

import itertools

import numpy as np
import pytest

import dsconv as ds
from dsconv import _core, reference
from dsconv.reference.arguments import name_of

from .strategies import ACTIVATIONS, BFLOAT16, FORWARD, LAYOUTS, RANKS, random_case

LIBRARIES = {"fast": ds, "reference": reference}


@pytest.fixture(params=LIBRARIES)
def library(request):
    return LIBRARIES[request.param]


@pytest.fixture(autouse=True)
def always_threads():
    before = _core.get_num_threads(), _core.set_parallel_threshold(0)
    _core.set_num_threads(3)
    yield
    _core.set_num_threads(before[0])
    _core.set_parallel_threshold(before[1])


def caller(library, rank):
    """Return a function that calls another by the name of its operation."""

    def call(operation, *args, **kwargs):
        return getattr(library, name_of(operation, rank))(*args, **kwargs)

    return call


def dot(a, b):
    """Return the exact sum of the products of integers, or of floats in float64."""
    return np.vdot(np.asarray(a), np.asarray(b))


# ---- the gradients of the linear maps ------------------------------------------------------------
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", ["depthwise_conv", "depthwise_conv_transpose", "pointwise_conv"])
def test_adjoint(library, op, rank):
    """<conv(x), g> = <x, input_grad(g)> = <w, weight_grad(x, g)>: both gradients, exact on integers."""
    call = caller(library, rank)
    for index in range(12):
        rng = np.random.default_rng([1, rank, index])
        choices = dict(ops=(op + "_weight_grad",), ranks=(rank,), dtypes=("float64",), integer=True)
        case = random_case(rng, big=index % 3 == 0, **choices)
        x, grad, words = case.args[0], case.args[1], case.kwargs
        gw = call(op + "_weight_grad", *case.args, **words)
        weight = rng.integers(-9, 10, gw.shape).astype(float)
        last = words.get("data_format") == "channels_last"
        spatial = slice(-1 - rank, -1) if last else slice(-rank, None)
        size = () if op == "pointwise_conv" else (x.shape[spatial],)
        gx = call(op + "_input_grad", grad, weight, *size, **words)
        extra = {"output_size": grad.shape[spatial]} if "transpose" in op else {}
        y = call(op, x, weight, **words, **extra)
        assert gx.shape == x.shape and y.shape == grad.shape
        assert dot(y, grad) == dot(x, gx) == dot(weight, gw), str(case)


@pytest.mark.parametrize("op", ["depthwise_conv", "depthwise_conv_transpose"])
def test_second_order_is_a_gradient_again(library, op):
    """Gradients are linear in both arguments, so their derivatives are other functions of the family."""
    call, rng = caller(library, 2), np.random.default_rng(2)
    words = dict(stride=2, padding=1, dilation=(1, 2))
    x, v = rng.integers(-9, 10, (2, 2, 3, 9, 12)).astype(float)
    weight, u = rng.integers(-9, 10, (2, 3, 2, 3, 3)).astype(float)
    grad = rng.integers(-9, 10, call(op, x, weight, **words).shape).astype(float)
    size, kernel = x.shape[-2:], (3, 3)

    along_v = dot(call(op + "_input_grad", grad, weight, size, **words), v)
    assert along_v == dot(weight, call(op + "_weight_grad", v, grad, kernel, **words))
    assert along_v == dot(grad, call(op, v, weight, **words))
    along_u = dot(call(op + "_weight_grad", x, grad, kernel, **words), u)
    assert along_u == dot(x, call(op + "_input_grad", grad, u, size, **words))
    assert along_u == dot(grad, call(op, x, u, **words))


def test_second_order_by_finite_differences(library):
    """The gradient of |conv(x, w)|**2 / 2, differentiated along x and w by composing the family."""
    call, rng = caller(library, 2), np.random.default_rng(3)
    words = dict(stride=(2, 1), padding=2, padding_mode="reflect")
    x, dx = rng.standard_normal((2, 2, 3, 8, 9))
    weight, dw = rng.standard_normal((2, 3, 2, 3, 3))

    def conv(x, weight):
        return call("depthwise_conv", x, weight, **words)

    def back(grad, weight):
        return call("depthwise_conv_input_grad", grad, weight, x.shape[-2:], **words)

    def gradient(x, weight):
        return back(conv(x, weight), weight)

    h = 1e-5
    numeric = (gradient(x + h * dx, weight + h * dw) - gradient(x - h * dx, weight - h * dw)) / (2 * h)
    composed = back(conv(dx, weight) + conv(x, dw), weight) + back(conv(x, weight), dw)
    np.testing.assert_allclose(composed, numeric, rtol=1e-6, atol=1e-7)


# ---- vjp -----------------------------------------------------------------------------------------
GEOMETRY = dict(stride=2, padding=1, padding_mode="symmetric", dilation=1)
TRANSPOSED = dict(stride=2, padding=1, output_padding=1)


def layer(op, rank, rng, dtype="float64", layout="channels_first", biases=True, forms=False):
    """Return the arrays and the geometry of a small layer; `forms` are PyTorch's of the weights."""

    def random(*shape):
        values = rng.standard_normal(shape)
        values = values + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else values
        return values.astype(dtype)

    spatial, ones = (5, 7, 6)[:rank], (1,) * rank
    x = random(2, *spatial, 3) if layout == "channels_last" else random(2, 3, *spatial)
    depthwise = random(3, 2, *(3,) * rank)
    mixing = random(4, 3 if op == "pointwise_conv" else 6)
    if forms:
        depthwise = depthwise if "transpose" in op else depthwise.reshape(6, 1, *(3,) * rank)
        mixing = mixing.reshape(*mixing.shape, *ones)
    weights = {"d": [depthwise], "p": [mixing], "s": [depthwise, mixing]}[op[0]]
    channels = {"d": [6], "p": [4], "s": [6, 4]}[op[0]]
    bias = [random(size) for size in channels] if biases else [None] * len(channels)
    geometry = {} if op == "pointwise_conv" else TRANSPOSED if "transpose" in op else GEOMETRY
    return [x, *weights, *bias], dict(geometry, data_format=layout)


def activations_of(op):
    """Yield the activations to try: each, and None; in both places of separable ones, but not all pairs."""
    for number, name in enumerate((None, *ACTIVATIONS)):
        if not op.startswith("separable"):
            yield dict(activation=name)
        else:
            yield dict(activation=name, depthwise_activation=ACTIVATIONS[-number])


def test_every_activation_is_tried():
    words = list(activations_of("separable_conv"))
    assert {word["depthwise_activation"] for word in words} == set(ACTIVATIONS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", FORWARD)
def test_vjp_by_finite_differences(library, op, rank, layout):
    """Along one random direction in all arguments at once."""
    call, rng = caller(library, rank), np.random.default_rng([4, rank])
    for activations in activations_of(op):
        args, words = layer(op, rank, rng, layout=layout)
        words.update(activations)
        y, pullback = call(op + "_vjp", *args, **words)
        grad = rng.standard_normal(y.shape)
        direction = [rng.standard_normal(array.shape) for array in args]
        h = 1e-6
        ahead, behind = (
            call(op, *(a + step * d for a, d in zip(args, direction, strict=True)), **words)
            for step in (h, -h)
        )
        numeric = dot(ahead - behind, grad) / (2 * h)
        exact = sum(dot(g, d) for g, d in zip(pullback(grad), direction, strict=True))
        scale = sum(dot(np.abs(g), np.abs(d)) for g, d in zip(pullback(grad), direction, strict=True))
        assert abs(numeric - exact) <= 1e-7 * scale, f"{activations}: {numeric}, {exact}"


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", FORWARD)
def test_complex_vjp_is_conjugate(library, op, rank):
    """Of a real L, the gradient is dL/d(real part) + i dL/d(imaginary part), as in PyTorch."""
    call, rng = caller(library, rank), np.random.default_rng([5, rank])
    args, words = layer(op, rank, rng, "complex128")
    y, pullback = call(op + "_vjp", *args, **words)
    grad = rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape)
    h = 1e-6
    for position, gradient in enumerate(pullback(grad)):
        shape = args[position].shape
        assert gradient.dtype == np.complex128 and gradient.shape == shape
        direction = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        moved = [list(args), list(args)]
        moved[0][position], moved[1][position] = (
            args[position] + h * direction,
            args[position] - h * direction,
        )
        ahead, behind = (call(op, *arrays, **words) for arrays in moved)
        numeric = dot(grad, ahead - behind).real / (2 * h)  # L = Re <grad, y>
        assert numeric == pytest.approx(dot(gradient, direction).real, rel=1e-6, abs=1e-6)


def at_the_corners():
    """Rows of u and the slope there, where it depends on which side a corner belongs to."""
    yield "relu", [-1, 0, 1], [0, 0, 1]
    yield "relu6", [-1, 0, 3, 6, 7], [0, 0, 1, 0, 0]
    yield "hardswish", [-4, -3, 0, 3, 4], [0, 0, 0.5, 1, 1]
    yield "hardsigmoid", [-4, -3, 0, 3, 4], [0, 0, 1 / 6, 0, 0]


@pytest.mark.parametrize("name, u, slope", list(at_the_corners()))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slopes_at_corners(library, name, u, slope, dtype):
    x = np.array([u], dtype)
    _, pullback = library.pointwise_conv1d_vjp(x, np.ones((1, 1), dtype), activation=name)
    np.testing.assert_allclose(pullback(np.ones_like(x))[0], [slope], rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_over_the_whole_range(name):
    """Single precision against the reference in double; far out they are 0 or 1, at infinity as well."""
    u = np.concatenate([np.linspace(-12, 12, 2001), np.linspace(-900, 900, 181), [-np.inf, np.inf, np.nan]])
    x = u.astype("f4")[np.newaxis]
    with np.errstate(all="ignore"):  # the gradient of the weight is NaN
        _, expected = reference.pointwise_conv1d_vjp(x.astype("f8"), np.ones((1, 1)), activation=name)
        slope = expected(np.ones_like(x))[0]
        for dtype, tolerance in (("f4", 2e-6), ("f8", 1e-13)):
            _, pullback = ds.pointwise_conv1d_vjp(x.astype(dtype), np.ones((1, 1), dtype), activation=name)
            actual = pullback(np.ones_like(x, dtype))[0]
            np.testing.assert_allclose(actual, slope, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_slope_raises_no_flag(name, dtype):
    most = np.finfo(dtype).max
    for value in (-most, -most / 3, -900, -100, -20, 0, 20, 100, 900, most / 3, most):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            _, pullback = ds.pointwise_conv1d_vjp(
                np.array([[value]], dtype), np.ones((1, 1), dtype), activation=name
            )
            pullback(np.full((1, 1), 0.5, dtype))


TOLERANCES = {"float32": 2e-6, "float16": 2e-3, **dict.fromkeys(BFLOAT16, 1.6e-2), "complex64": 2e-6}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("op", FORWARD)
def test_vjp_agrees_with_the_reference(op, rank, dtype, layout):
    rng = np.random.default_rng([6, rank])
    fast, plain = caller(ds, rank), caller(reference, rank)
    wide = np.complex128 if dtype.startswith("c") else np.float64
    for forms, biases in ((False, True), (True, False)):
        args, words = layer(op, rank, rng, dtype, layout, biases, forms)
        if not dtype.startswith("c"):
            words.update(activation="silu", **({"depthwise_activation": "gelu"} if op[0] == "s" else {}))
        y, pullback = fast(op + "_vjp", *args, **words)
        assert y.tobytes() == fast(op, *args, **words).tobytes()
        grad = (y * y.dtype.type(0.5) + y.dtype.type(1)).astype(y.dtype)
        exact = plain(op + "_vjp", *args, **words, dtype=wide)[1](grad.astype(wide))
        gradients = pullback(grad)
        assert len(gradients) == len(exact) == len(args)
        for argument, actual, expected in zip(args, gradients, exact, strict=True):
            assert (actual is None) == (argument is None) == (expected is None)
            if argument is not None:
                assert actual.dtype == argument.dtype and actual.shape == argument.shape
                scale = np.abs(expected).max()
                error = np.abs(actual.astype(wide) - expected).max()
                assert error <= 4 * TOLERANCES[dtype] * scale, f"{forms} {error / scale}"


@pytest.mark.parametrize("op", FORWARD)
def test_vjp_takes_what_the_function_takes(library, op):
    """Lists, no batch axis or two, other types: the gradients have the shapes of the arguments."""
    call, rng = caller(library, 1), np.random.default_rng(7)
    args, words = layer(op, 1, rng)
    for x in (args[0][0], np.stack([args[0]] * 3), args[0][:0]):
        y, pullback = call(op + "_vjp", x, *args[1:], **words)
        gradients = pullback(np.ones_like(y))
        assert [g.shape for g in gradients] == [x.shape] + [a.shape for a in args[1:]]
    lists = [array.tolist() for array in args]
    y, pullback = call(op + "_vjp", *lists, **words)
    for actual, expected in zip(pullback(y.tolist()), call(op + "_vjp", *args, **words)[1](y), strict=True):
        np.testing.assert_allclose(actual, expected)
    y, pullback = call(op + "_vjp", *args, **words, dtype="f4")
    assert y.dtype == "f4" and all(g.dtype == "f4" for g in pullback(y))
    mixed = [args[0].astype("f4"), *args[1:]]
    y, pullback = call(op + "_vjp", *mixed, **words)
    assert all(g.dtype == "f8" for g in pullback(y))


def test_a_pullback_may_be_called_again(library):
    args, words = layer("separable_conv", 2, np.random.default_rng(8))
    y, pullback = library.separable_conv2d_vjp(*args, **words, activation="relu", depthwise_activation="tanh")
    kept = y.copy()
    first, second, double = pullback(y), pullback(y), pullback(2 * y)
    for once, again, twice in zip(first, second, double, strict=True):
        np.testing.assert_array_equal(once, again)
        np.testing.assert_array_equal(2 * once, twice)
    np.testing.assert_array_equal(y, kept)


@pytest.mark.parametrize("op", FORWARD)
def test_vjp_refuses(library, op):
    call, rng = caller(library, 2), np.random.default_rng(9)
    args, words = layer(op, 2, rng)
    y, pullback = call(op + "_vjp", *args, **words)
    for shape in (y.shape[1:], (1, *y.shape[1:]), (*y.shape, 1), (), (*y.shape[:-1], y.shape[-1] + 1)):
        with pytest.raises(ValueError, match="grad"):
            pullback(np.ones(shape))
    for position in range(1, len(args)):
        batched = list(args)
        batched[position] = np.stack([args[position]] * 2)
        with pytest.raises(ValueError):
            call(op + "_vjp", *batched, **words)
    with pytest.raises(TypeError):
        call(op + "_vjp", *args, **words, out=np.empty_like(y))
    with pytest.raises(TypeError):
        pullback(y.astype(complex))


@pytest.mark.parametrize("op", FORWARD)
def test_threads_do_not_change_the_bits_of_a_vjp(op):
    args, words = layer(op, 2, np.random.default_rng(10), "float32")
    args[0] = np.random.default_rng(11).standard_normal((5, 3, 61, 70)).astype("f4")
    results = []
    for threads in (1, 2, 3, 5, 8):
        _core.set_num_threads(threads)
        y, pullback = getattr(ds, op + "2d_vjp")(*args, **words, activation="gelu")
        results.append([array.tobytes() for array in (y, *pullback(y))])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bias_gradients_are_accurate(layout):
    """A long sum in single precision: added one by one, these would be off in the third digit."""
    rng = np.random.default_rng(12)
    grad = rng.uniform(0.5, 1, (4, 2, 700, 700)).astype("f4")
    if layout == "channels_last":
        grad = np.ascontiguousarray(np.moveaxis(grad, 1, -1))
    weight = np.ones((2, 2), "f4")
    y, pullback = ds.pointwise_conv2d_vjp(grad, weight, np.zeros(2, "f4"), data_format=layout)
    channel = 1 if layout == "channels_first" else -1
    exact = np.moveaxis(grad, channel, 0).reshape(2, -1).sum(1, dtype="f8")
    np.testing.assert_allclose(pullback(grad)[2], exact, rtol=1e-5)


# ---- nothing to sum ------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", ["depthwise_conv", "depthwise_conv_transpose", "pointwise_conv"])
def test_empty_batches_and_no_channels(library, op, layout):
    call = caller(library, 1)
    pointwise = op == "pointwise_conv"

    def maps(*shape):
        shape = shape if layout == "channels_first" else (*shape[:-2], shape[-1], shape[-2])
        return np.ones(shape, "f4")

    length = {"depthwise_conv": 4, "depthwise_conv_transpose": 8, "pointwise_conv": 6}[op]
    size, kernel = ((), ()) if pointwise else ((6,), (3,))
    for batch, channels in (((0,), 2), ((2, 0), 2), ((), 0), ((2,), 0), ((0,), 0)):
        weight = np.ones((3, channels) if pointwise else (channels, 2, 3), "f4")
        outputs = 3 if pointwise else 2 * channels
        x, grad = maps(*batch, channels, 6), maps(*batch, outputs, length)
        gx = call(op + "_input_grad", grad, weight, *size, data_format=layout)
        assert gx.shape == x.shape and gx.dtype == "f4" and not gx.any()
        gw = call(op + "_weight_grad", x, grad, *kernel, data_format=layout)
        # without channels nothing tells the multiplier
        assert gw.shape == (weight.shape if channels or pointwise else (0, 1, 3))
        assert gw.dtype == "f4" and not gw.any()


def test_empty_spatial_input(library):
    """Where padding alone makes outputs, the gradient of the input is empty, that of the weight zero."""
    weight, grad = np.ones((2, 1, 1, 1)), np.ones((1, 2, 2, 4))
    gx = library.depthwise_conv2d_input_grad(grad, weight, (0, 2), padding=1)
    assert gx.shape == (1, 2, 0, 2)
    gw = library.depthwise_conv2d_weight_grad(np.ones((1, 2, 0, 2)), grad, 1, padding=1)
    np.testing.assert_array_equal(gw, np.zeros((2, 1, 1, 1)))
    for mode in ("reflect", "edge"):
        with pytest.raises(ValueError):
            library.depthwise_conv2d_input_grad(grad, weight, (0, 2), padding=1, padding_mode=mode)
        with pytest.raises(ValueError):
            library.depthwise_conv2d_weight_grad(np.ones((1, 2, 0, 2)), grad, 1, padding=1, padding_mode=mode)
    # a transposed kernel longer than the stride leaves outputs, which no input reaches
    y = library.depthwise_conv_transpose1d(np.ones((2, 0)), np.ones((2, 1, 5)), [3, 4], stride=2)
    np.testing.assert_array_equal(y, [[3, 3, 3], [4, 4, 4]])
    gx = library.depthwise_conv_transpose1d_input_grad(np.ones((2, 3)), np.ones((2, 1, 5)), 0, stride=2)
    assert gx.shape == (2, 0)
    gw = library.depthwise_conv_transpose1d_weight_grad(np.ones((2, 0)), np.ones((2, 3)), 5, stride=2)
    np.testing.assert_array_equal(gw, np.zeros((2, 1, 5)))


@pytest.mark.parametrize("op", FORWARD)
def test_vjp_of_an_empty_batch(library, op):
    args, words = layer(op, 2, np.random.default_rng(13), "float32")
    y, pullback = getattr(library, op + "2d_vjp")(args[0][:0], *args[1:], **words)
    first, *rest = pullback(y)
    assert first.shape == (0, *args[0].shape[1:])
    for gradient, argument in zip(rest, args[1:], strict=True):
        np.testing.assert_array_equal(gradient, np.zeros_like(argument))


def test_transposed_output_of_nothing(library):
    """One rule for all that would have no output: a ValueError, in the gradients too."""
    x, weight = np.ones((1, 1)), np.ones((1, 1, 3))
    for words in (dict(padding=2), dict(padding=((3, 0),)), dict(padding=((0, 9),), stride=4)):
        with pytest.raises(ValueError):
            library.depthwise_conv_transpose1d(x, weight, **words)
        for size in (0, 1):
            with pytest.raises(ValueError):
                library.depthwise_conv_transpose1d_input_grad(np.ones((1, size)), weight, 1, **words)
            with pytest.raises(ValueError):
                library.depthwise_conv_transpose1d_weight_grad(x, np.ones((1, size)), 3, **words)
    with pytest.raises(ValueError):
        library.depthwise_conv_transpose1d(np.ones((1, 0)), weight, padding="same", stride=2)
    with pytest.raises(ValueError):
        library.depthwise_conv_transpose1d(x, np.ones((1, 0, 3)))


@pytest.mark.parametrize(
    "stride, dilation, kernel", list(itertools.product((1, 2, 3), (1, 2, 3), (1, 2, 3, 4)))
)
def test_same_undoes_the_size_of_same(library, stride, dilation, kernel):
    """Transposed "same" makes in*stride, and where sizes divide it is the adjoint of the other "same"."""
    words = dict(stride=stride, dilation=dilation, padding="same")
    rng = np.random.default_rng(14)
    x, weight = rng.integers(-9, 10, (2, 6)).astype(float), rng.integers(-9, 10, (2, 1, kernel)).astype(float)
    y = library.depthwise_conv_transpose1d(x, weight, **words)
    assert y.shape == (2, 6 * stride)
    adjoint = library.depthwise_conv1d_input_grad(x, weight, 6 * stride, **words)
    np.testing.assert_array_equal(y, adjoint)
