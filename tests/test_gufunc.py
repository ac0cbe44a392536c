"""The gufuncs are NumPy's: whatever a `numpy.ufunc` can be asked for, they do."""

import gc
import inspect
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import dsconv as ds
from dsconv import reference
from dsconv.gufuncs import CACHE_SIZE

SIGNATURES = {
    "depthwise_conv1d": "(c,w),(c,m,j)->(o,q)",
    "depthwise_conv2d": "(c,h,w),(c,m,i,j)->(o,p,q)",
    "depthwise_conv3d": "(c,d,h,w),(c,m,t,i,j)->(o,r,p,q)",
    "pointwise_conv1d": "(c,w),(o,c)->(o,w)",
    "pointwise_conv2d": "(c,h,w),(o,c)->(o,h,w)",
    "pointwise_conv3d": "(c,d,h,w),(o,c)->(o,d,h,w)",
    "separable_conv1d": "(c,w),(c,m,j),(o,k)->(o,q)",
    "separable_conv2d": "(c,h,w),(c,m,i,j),(o,k)->(o,p,q)",
    "separable_conv3d": "(c,d,h,w),(c,m,t,i,j),(o,k)->(o,r,p,q)",
    "depthwise_conv_transpose1d": "(c,w),(c,m,j)->(o,q)",
    "depthwise_conv_transpose2d": "(c,h,w),(c,m,i,j)->(o,p,q)",
    "depthwise_conv_transpose3d": "(c,d,h,w),(c,m,t,i,j)->(o,r,p,q)",
    "separable_conv_transpose1d": "(c,w),(c,m,j),(o,k)->(o,q)",
    "separable_conv_transpose2d": "(c,h,w),(c,m,i,j),(o,k)->(o,p,q)",
    "separable_conv_transpose3d": "(c,d,h,w),(c,m,t,i,j),(o,k)->(o,r,p,q)",
}
NAMES = list(SIGNATURES)
CORE = ("w", "h,w", "d,h,w"), ("j", "i,j", "t,i,j"), ("q", "p,q", "r,p,q")


def integers(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng((seed, *shape)).integers(-4, 5, shape).astype(dtype)


def operands(name, batch=(2,), size=9, dtype=np.float32):
    rank = int(name[-2])
    x = integers(*batch, 3, *[size] * rank, dtype=dtype)
    depthwise, pointwise = integers(3, 2, *[3] * rank, dtype=dtype), integers(5, 6, dtype=dtype)
    if name.startswith("depthwise"):
        return [x, depthwise]
    if name.startswith("pointwise"):
        return [x, pointwise[:, :3]]
    return [x, depthwise, pointwise]


def expected_of(name, *arguments, **geometry):
    return getattr(reference, name)(*arguments, **geometry)


def no_change(f, *arguments, **keywords):
    """Call `f`, and check that it leaves the inputs alone."""
    copies = [np.array(argument) for argument in arguments]
    result = f(*arguments, **keywords)
    for argument, copy in zip(arguments, copies, strict=True):
        np.testing.assert_array_equal(argument, copy)
    return result


# ---- what it is --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_is_a_ufunc(name):
    f = ds.gufunc(name)
    assert isinstance(f, np.ufunc)
    assert f.__name__ == name
    assert f.signature == SIGNATURES[name]
    assert f.nin == len(operands(name))
    assert f.nout == 1
    assert name in f.__doc__
    assert name in repr(f)


@pytest.mark.parametrize(
    "name, flags, signature",
    [
        ("depthwise_conv2d", {"bias": True}, "(c,h,w),(c,m,i,j),(o)->(o,p,q)"),
        ("pointwise_conv1d", {"bias": True}, "(c,w),(o,c),(o)->(o,w)"),
        ("separable_conv2d", {"depthwise_bias": True}, "(c,h,w),(c,m,i,j),(o,k),(k)->(o,p,q)"),
        ("separable_conv2d", {"pointwise_bias": True}, "(c,h,w),(c,m,i,j),(o,k),(o)->(o,p,q)"),
        (
            "separable_conv1d",
            {"depthwise_bias": True, "pointwise_bias": True},
            "(c,w),(c,m,j),(o,k),(k),(o)->(o,q)",
        ),
        ("depthwise_conv2d", {"data_format": "channels_last"}, "(h,w,c),(c,m,i,j)->(p,q,o)"),
        ("pointwise_conv2d", {"data_format": "channels_last"}, "(h,w,c),(o,c)->(h,w,o)"),
        ("separable_conv3d", {"data_format": "channels_last"}, "(d,h,w,c),(c,m,t,i,j),(o,k)->(r,p,q,o)"),
        (
            "separable_conv2d",
            {"data_format": "channels_last", "depthwise_bias": True, "pointwise_bias": True},
            "(h,w,c),(c,m,i,j),(o,k),(k),(o)->(p,q,o)",
        ),
    ],
)
def test_signatures(name, flags, signature):
    assert ds.gufunc(name, **flags).signature == signature


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_function(name):
    geometry = {} if name.startswith("pointwise") else {"stride": 2, "padding": 1, "dilation": 2}
    if "transpose" in name:
        geometry["output_padding"] = 1
    arguments = operands(name)
    result = no_change(ds.gufunc(name, **geometry), *arguments)
    np.testing.assert_array_equal(result, getattr(ds, name)(*arguments, **geometry))
    np.testing.assert_array_equal(result, expected_of(name, *arguments, **geometry))


def gradient_signature(name, batch=0, last=False):
    """The signature that a gradient's ufunc should have."""
    spatial, kernel, output = (each[int(name[name.index("d_") - 1]) - 1] for each in CORE)
    output = spatial if name.startswith("pointwise") else output
    x, y = (f"{s},{c}" if last else f"{c},{s}" for s, c in ((spatial, "c"), (output, "o")))
    weight = "o,c" if name.startswith("pointwise") else f"c,m,{kernel}"
    if name.endswith("input_grad"):
        return f"({y}),({weight})->({x})"
    lead = "".join(f"{letter}," for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:batch])
    return f"({lead}{x}),({lead}{y})->({weight})"


GRADIENTS = [
    f"{family}{rank}d_{of}_grad"
    for family in ("depthwise_conv", "depthwise_conv_transpose", "pointwise_conv")
    for of in ("input", "weight")
    for rank in (1, 2, 3)
]


def sizes_of(name):
    if name.startswith("pointwise"):
        return {}
    return {"input_size": 5} if name.endswith("input_grad") else {"kernel_size": 3}


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("last", [False, True])
def test_gradients(name, last):
    keywords = sizes_of(name) | ({"data_format": "channels_last"} if last else {})
    f = ds.gufunc(name, **keywords)
    assert isinstance(f, np.ufunc) and f.__name__ == name and name in f.__doc__
    assert f.signature == gradient_signature(name, last=last)
    if name.endswith("weight_grad"):
        for batch in (1, 2, 24):
            f = ds.gufunc(name, batch_axes=batch, **keywords)
            assert f.signature == gradient_signature(name, batch, last)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_agree_with_the_function(name):
    rank = int(name[name.index("d_") - 1])
    transposed, keywords = "transpose" in name, sizes_of(name)
    x, g = integers(4, 2, 3, *[5] * rank), integers(4, 2, 6, *[7 if transposed else 3] * rank)
    weight = integers(3, 2, *[3] * rank)
    if name.startswith("pointwise"):
        g, weight = integers(4, 2, 5, *[5] * rank), integers(5, 3)
    if name.endswith("input_grad"):
        expected = getattr(ds, name)(g, weight, **keywords)
        np.testing.assert_array_equal(ds.gufunc(name, **keywords)(g, weight), expected)
        several = np.stack([weight, -weight])  # a gufunc broadcasts as every gufunc does
        expected = np.stack([expected[:, 0], -expected[:, 1]], axis=1)
        np.testing.assert_array_equal(ds.gufunc(name, **keywords)(g, several), expected)
        return
    expected = getattr(ds, name)(x, g, **keywords)
    np.testing.assert_array_equal(ds.gufunc(name, batch_axes=2, **keywords)(x, g), expected)
    for batch in (0, 1):
        each = ds.gufunc(name, batch_axes=batch, **keywords)(x, g)
        assert each.shape == (*(4, 2)[: 2 - batch], *expected.shape)
        np.testing.assert_array_equal(each.sum(tuple(range(2 - batch))), expected)
    both = ds.gufunc(name, batch_axes=1, **keywords)(x[0], g)
    np.testing.assert_array_equal(both[1], getattr(ds, name)(x[0], g[1], **keywords))


def test_keywords_of_transposed_and_gradients():
    f = ds.gufunc("depthwise_conv_transpose2d", stride=2, output_size=(9, 10))
    assert f(integers(3, 4, 4), integers(3, 1, 3, 3)).shape == (3, 9, 10)
    assert f is ds.gufunc("depthwise_conv_transpose2d", stride=[2, 2], output_size=np.array([9, 10]))
    assert f is not ds.gufunc("depthwise_conv_transpose2d", stride=2)
    with pytest.raises(ValueError):
        f(integers(3, 9, 9), integers(3, 1, 3, 3))
    for name, needed in (("input", "input_size"), ("weight", "kernel_size")):
        with pytest.raises(TypeError, match=rf"^{needed}: gufunc\('depthwise_conv2d_{name}_grad'\) needs it"):
            ds.gufunc(f"depthwise_conv2d_{name}_grad")
    for value, error in ((-1, ValueError), (25, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="^batch_axes: "):
            ds.gufunc("pointwise_conv2d_weight_grad", batch_axes=value)
    with pytest.raises(TypeError, match="unexpected keyword 'batch_axes'"):
        ds.gufunc("pointwise_conv2d_input_grad", batch_axes=1)
    with pytest.raises(TypeError, match="unexpected keyword 'padding_mode'"):
        ds.gufunc("depthwise_conv_transpose2d", padding_mode="zeros")
    with pytest.raises(ValueError, match="^output_padding: "):
        ds.gufunc("depthwise_conv_transpose2d", output_padding=1)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_out_overlaps_an_input(name):
    rank = int(name[name.index("d_") - 1])
    size = [4] * rank
    keywords = {} if name.startswith("pointwise") else {"padding": "same"}
    if name.endswith("input_grad"):
        keywords |= {"input_size": 4} if keywords else {}
        inputs = [integers(2, 3, *size), integers(3, 3) if not keywords else integers(3, 1, *[3] * rank)]
        expected = getattr(reference, name)(*inputs, **keywords)
        both = inputs[0].copy()
        ds.gufunc(name, **keywords)(both, inputs[1], out=both)
    else:
        # as many taps as pixels, so that the result fits where x was
        keywords |= {"kernel_size": 4} if keywords else {}
        inputs = [integers(1, 4, *size), integers(1, 4, *size)]
        expected = getattr(reference, name)(*inputs, **keywords)
        x = inputs[0].copy()
        both = x.reshape(-1)[: expected.size].reshape(expected.shape)
        ds.gufunc(name, batch_axes=1, **keywords)(x, inputs[1], out=both)
    np.testing.assert_array_equal(both, expected)


def test_order_of_the_inputs():
    x, depthwise, pointwise = operands("separable_conv2d")
    first, second = np.arange(6.0, dtype=np.float32), np.arange(5.0, dtype=np.float32)
    f = ds.gufunc("separable_conv2d", depthwise_bias=True, pointwise_bias=True, depthwise_activation="relu")
    np.testing.assert_array_equal(
        f(x, depthwise, pointwise, first, second),
        expected_of("separable_conv2d", x, depthwise, pointwise, first, second, depthwise_activation="relu"),
    )


# ---- names and keywords that do not exist ------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        "",
        "d",
        "2d",
        "conv2d",
        "depthwise_conv",
        "depthwise_conv4d",
        "depthwise_conv0d",
        "depthwise_conv2D",
        " depthwise_conv2d",
        "depthwise_conv²d",
        "depthwise_conv_transpose",
        "depthwise_conv2d_transpose",
        "depthwise_conv_input_grad2d",
        "depthwise_conv_input_grad",
        "separable_conv2d_input_grad",
        "depthwise_conv2d_vjp",
        "channel_sum2d",
        "activation1d",
        "activation",
        "gufunc",
    ],
)
def test_unknown_name(name):
    with pytest.raises(ValueError, match="^name: expected one of depthwise_conv{1,2,3}d.*got"):
        ds.gufunc(name)


@pytest.mark.parametrize("name", [None, 2, b"depthwise_conv2d", ["depthwise_conv2d"]])
def test_name_of_wrong_type(name):
    with pytest.raises(TypeError, match="^name: expected a string"):
        ds.gufunc(name)


@pytest.mark.parametrize(
    "name, keyword",
    [
        ("depthwise_conv2d", "groups"),
        ("depthwise_conv2d", "depthwise_activation"),
        ("depthwise_conv2d", "pointwise_bias"),
        ("pointwise_conv2d", "stride"),
        ("separable_conv2d", "bias"),
        ("separable_conv2d", "out"),
        ("separable_conv2d", "x"),
    ],
)
def test_unknown_keyword(name, keyword):
    with pytest.raises(TypeError, match=f"unexpected keyword '{keyword}'; it takes .*data_format"):
        ds.gufunc(name, **{keyword: True})


@pytest.mark.parametrize("value", [1, 0, None, "yes", np.zeros(3)])
def test_flag_of_wrong_type(value):
    with pytest.raises(TypeError, match="^bias: expected True or False"):
        ds.gufunc("depthwise_conv2d", bias=value)


def test_geometry_is_checked():
    with pytest.raises(ValueError, match="^stride: must be at least 1, got 0"):
        ds.gufunc("depthwise_conv2d", stride=0)
    with pytest.raises(ValueError, match="^padding_mode: .*'reflect'"):
        ds.gufunc("depthwise_conv2d", padding_mode="mirror")
    with pytest.raises(TypeError, match="^stride: "):
        ds.gufunc("depthwise_conv2d", stride=True)


# ---- the keywords of a ufunc -------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_out(name):
    arguments = operands(name)
    expected = expected_of(name, *arguments)
    f = ds.gufunc(name)
    for dtype in ("f4", "f8", ">f4"):
        out = np.full(expected.shape, 99, dtype)
        assert f(*arguments, out=out) is out
        np.testing.assert_array_equal(out, expected)
    out = np.full(expected.shape, 99, "f4")
    assert f(*arguments, out) is out
    np.testing.assert_array_equal(out, expected)
    wider = np.full((4, *expected.shape), 99, "f4")
    assert f(*arguments, out=wider) is wider
    np.testing.assert_array_equal(wider, np.broadcast_to(expected, wider.shape))


def test_out_in_any_layout():
    arguments = operands("separable_conv2d")
    expected = expected_of("separable_conv2d", *arguments)
    shape = expected.shape
    for out in (
        np.empty(shape, "f4", order="F"),
        np.empty((*shape[:-1], 2 * shape[-1]), "f4")[..., ::2],
        np.empty(shape, "f4")[:, ::-1, ::-1, ::-1],
        np.moveaxis(np.empty((shape[0], *shape[2:], shape[1]), "f4"), -1, 1),
        np.frombuffer(bytearray(expected.nbytes + 1), "f4", offset=1).reshape(shape),
    ):
        out[...] = 99
        ds.gufunc("separable_conv2d")(*arguments, out=out)
        np.testing.assert_array_equal(out, expected)


def test_axes():
    x, weight = operands("depthwise_conv2d")
    expected = expected_of("depthwise_conv2d", x, weight)
    f = ds.gufunc("depthwise_conv2d")
    moved = np.moveaxis(x, 1, 3)
    result = f(moved, weight, axes=[(3, 1, 2), (0, 1, 2, 3), (3, 1, 2)])
    np.testing.assert_array_equal(np.moveaxis(result, 3, 1), expected)
    swapped = f(x.swapaxes(2, 3), weight.swapaxes(2, 3), axes=[(1, 3, 2), (0, 1, 3, 2), (1, 3, 2)])
    np.testing.assert_array_equal(swapped.swapaxes(2, 3), expected)
    with pytest.raises(ValueError):
        f(x, weight, axes=[(0, 0, 1), (0, 1, 2, 3), (0, 1, 2)])


@pytest.mark.parametrize("name", ["depthwise_conv1d", "pointwise_conv2d", "separable_conv3d"])
def test_dtype_and_signature(name):
    arguments = operands(name)
    expected = expected_of(name, *arguments)
    f = ds.gufunc(name)
    signatures = ("d" * f.nin + "->d", ("f8",) * (f.nin + 1))
    for keywords in ({"dtype": "f8"}, *[{"signature": signature} for signature in signatures]):
        result = f(*arguments, **keywords)
        assert result.dtype == np.float64
        np.testing.assert_array_equal(result, expected)
    wide = [argument.astype("f8") for argument in arguments]
    assert f(*wide, dtype="f4").dtype == np.float32
    for narrow, dtype in (("e" * f.nin + "->e", "f2"), ("F" * f.nin + "->F", "c8")):
        typed = [argument.astype(dtype) for argument in arguments]
        assert f(*typed).dtype == f(*arguments, signature=narrow, casting="unsafe").dtype == np.dtype(dtype)
        np.testing.assert_array_equal(f(*typed), expected.astype(dtype))
    for bad in ("i4", "g", "G", object):
        with pytest.raises(TypeError):
            f(*arguments, dtype=bad)


def test_casting():
    f = ds.gufunc("depthwise_conv2d")
    x, weight = operands("depthwise_conv2d", dtype=np.float64)
    with pytest.raises(TypeError):
        f(x, weight, dtype="f4", casting="safe")
    with pytest.raises(TypeError):
        f(x, weight, out=np.empty((2, 6, 7, 7), "i8"))
    out = np.empty((2, 6, 7, 7), "i8")
    f(x, weight, out=out, casting="unsafe")
    np.testing.assert_array_equal(out, expected_of("depthwise_conv2d", x, weight))


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
def test_order(order):
    arguments = operands("depthwise_conv2d", batch=(2, 3))
    result = ds.gufunc("depthwise_conv2d")(*arguments, order=order)
    np.testing.assert_array_equal(result, expected_of("depthwise_conv2d", *arguments))


def test_no_where_and_no_reductions():
    f = ds.gufunc("depthwise_conv2d")
    with pytest.raises((TypeError, ValueError)):
        f(*operands("depthwise_conv2d"), where=True)
    with pytest.raises(TypeError):
        f(*operands("depthwise_conv2d"), axis=0)
    for method in ("reduce", "accumulate", "outer"):
        with pytest.raises((RuntimeError, ValueError, TypeError)):
            getattr(f, method)(*operands("depthwise_conv2d"))


@pytest.mark.parametrize("name", ["depthwise_conv1d", "pointwise_conv2d", "separable_conv2d"])
@pytest.mark.parametrize(
    "x_batch, w_batch",
    [((), (2,)), ((2,), (2,)), ((3, 1), (2,)), ((1,), (4,)), ((2, 1, 3), (4, 1)), ((0,), (1,)), ((2, 0), ())],
)
def test_broadcasting(name, x_batch, w_batch):
    arguments = operands(name, batch=x_batch)
    for position in range(1, len(arguments)):
        arguments[position] = integers(*w_batch, *arguments[position].shape, seed=position)
    result = no_change(ds.gufunc(name), *arguments)
    np.testing.assert_array_equal(result, expected_of(name, *arguments))
    assert result.shape[: -int(name[-2]) - 1] == np.broadcast_shapes(x_batch, w_batch)


def test_a_batch_is_its_images():
    arguments = operands("separable_conv2d", batch=(3, 4))
    f = ds.gufunc("separable_conv2d", padding="same")
    whole = f(*arguments)
    for index in np.ndindex(3, 4):
        np.testing.assert_array_equal(whole[index], f(arguments[0][index], *arguments[1:]))


def test_disagreement_is_an_error():
    f = ds.gufunc("separable_conv2d")
    x, depthwise, pointwise = operands("separable_conv2d")
    for arguments in (
        (x[:, :2], depthwise, pointwise),
        (x, depthwise, pointwise[:, :5]),
        (x, depthwise[0], pointwise),
        (x, depthwise, pointwise[0]),
        (x[0, 0], depthwise, pointwise),
        (x, np.stack([depthwise] * 3), pointwise),
        (x[..., :2], depthwise, pointwise),
        (x, depthwise[..., :0], pointwise),
        (x, depthwise[:, :0], pointwise[:, :0]),
        (x, depthwise, pointwise[:0]),
    ):
        for batch in (arguments[0], arguments[0][:0]):
            with pytest.raises(ValueError):
                f(batch, *arguments[1:])
    with pytest.raises(TypeError):
        f(x, depthwise)
    with pytest.raises(TypeError):
        f(x, depthwise, pointwise, pointwise, pointwise)


@pytest.mark.parametrize(
    "shape", [(2, 6, 7, 6), (2, 6, 8, 7), (2, 5, 7, 7), (6, 7, 7), (3, 6, 7, 7), (7,), ()]
)
def test_wrong_out_shape(shape):
    out = np.full(shape, 99.0, "f4")
    with pytest.raises(ValueError):
        ds.gufunc("depthwise_conv2d")(*operands("depthwise_conv2d"), out=out)
    assert (out == 99).all()


def test_read_only_out():
    out = np.full((2, 6, 7, 7), 99.0, "f4")
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ds.gufunc("depthwise_conv2d")(*operands("depthwise_conv2d"), out=out)
    assert (out == 99).all()


# ---- overlap -----------------------------------------------------------------------------------
@pytest.mark.parametrize("batch", [(), (1,), (3,)])
@pytest.mark.parametrize("size", [5, 40])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_out_is_x(batch, size, dtype):
    x = integers(*batch, 4, size, size, dtype=dtype)
    depthwise, pointwise = integers(4, 1, 3, 3, dtype=dtype), integers(4, 4, dtype=dtype)
    for name, weights in (
        ("depthwise_conv2d", [depthwise]),
        ("pointwise_conv2d", [pointwise]),
        ("separable_conv2d", [depthwise, pointwise]),
    ):
        geometry = {} if name.startswith("pointwise") else {"padding": 1}
        expected = expected_of(name, x, *weights, **geometry)
        both = x.copy()
        assert ds.gufunc(name, **geometry)(both, *weights, out=both) is both
        np.testing.assert_array_equal(both, expected)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("shift", [-7, -1, 1, 3, 64])
def test_out_is_a_shifted_view_of_x(data_format, shift):
    shape = (2, 3, 16, 16) if data_format == "channels_first" else (2, 16, 16, 3)
    weight = integers(3, 1, 3, 3)
    count = int(np.prod(shape))
    buffer = integers(count + 128)
    x, out = (buffer[start : start + count].reshape(shape) for start in (64, 64 + shift))
    expected = expected_of("depthwise_conv2d", x.copy(), weight, padding=1, data_format=data_format)
    ds.gufunc("depthwise_conv2d", padding=1, data_format=data_format)(x, weight, out=out)
    np.testing.assert_array_equal(out, expected)


def test_out_overlaps_x_upside_down():
    x = integers(3, 8, 8)
    weight = integers(3, 1, 1, 1)
    expected = expected_of("depthwise_conv2d", x.copy(), weight)
    views = (
        lambda array: array[:, ::-1],
        lambda array: array[::-1],
        lambda array: array.swapaxes(1, 2),
        lambda array: array[:, ::-1, ::-1],
    )
    for view in views:
        both = x.copy()
        out = view(both)
        ds.gufunc("depthwise_conv2d")(both, weight, out=out)
        np.testing.assert_array_equal(out, expected)


def test_out_is_the_weight():
    weight = integers(4, 1, 3, 3)
    x = integers(4, 5, 5)
    expected = expected_of("depthwise_conv2d", x, weight)
    out = weight.reshape(4, 3, 3)
    ds.gufunc("depthwise_conv2d")(x, weight, out=out)
    np.testing.assert_array_equal(out, expected)
    square = integers(4, 4)
    x = integers(4, 4)
    expected = expected_of("pointwise_conv1d", x, square)
    ds.gufunc("pointwise_conv1d")(x, square, out=square)
    np.testing.assert_array_equal(square, expected)


def test_out_is_the_bias():
    bias = integers(4)
    x, weight = integers(4, 1), integers(4, 1, 1)
    expected = expected_of("depthwise_conv1d", x, weight, bias.copy())
    ds.gufunc("depthwise_conv1d", bias=True)(x, weight, bias, out=bias.reshape(4, 1))
    np.testing.assert_array_equal(bias.reshape(4, 1), expected)


# ---- inputs in any form ------------------------------------------------------------------------
def unaligned(array):
    buffer = bytearray(array.nbytes + 1)
    view = np.frombuffer(buffer, array.dtype, array.size, offset=1).reshape(array.shape)
    view[...] = array
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def spread(array):
    wide = np.full([2 * length + 1 for length in array.shape], np.nan, array.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def flipped(array):
    return array[(slice(None, None, -1),) * array.ndim].copy()[(slice(None, None, -1),) * array.ndim]


FORMS = {
    "fortran": np.asfortranarray,
    "transposed": lambda array: array.T.copy().T,
    "spread": spread,
    "flipped": flipped,
    "unaligned": unaligned,
    "byte-swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "unaligned byte-swapped": lambda array: unaligned(array.astype(array.dtype.newbyteorder())),
    "read-only": read_only,
    "list": lambda array: array.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_forms(form, name, data_format):
    arguments = operands(name)
    if data_format == "channels_last":
        arguments[0] = np.moveaxis(arguments[0], 1, -1).copy()
    expected = expected_of(name, *arguments, data_format=data_format)
    f = ds.gufunc(name, data_format=data_format)
    np.testing.assert_array_equal(f(*map(FORMS[form], arguments)), expected)
    for position, argument in enumerate(arguments):
        changed = [*arguments[:position], FORMS[form](argument), *arguments[position + 1 :]]
        np.testing.assert_array_equal(f(*changed), expected)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_zero_strides(data_format):
    f = ds.gufunc("separable_conv2d", data_format=data_format, padding=1)
    shape = (2, 3, 9, 9) if data_format == "channels_first" else (2, 9, 9, 3)
    x = np.broadcast_to(np.float32(2), shape)
    depthwise = np.broadcast_to(np.float32(3), (3, 2, 3, 3))
    pointwise = np.broadcast_to(np.float32(-1), (5, 6))
    expected = expected_of("separable_conv2d", x, depthwise, pointwise, data_format=data_format, padding=1)
    np.testing.assert_array_equal(f(x, depthwise, pointwise), expected)
    np.testing.assert_array_equal(f(x.copy(), depthwise.copy(), pointwise.copy()), expected)


@pytest.mark.parametrize("channels", [1, 2, 17])
@pytest.mark.parametrize("size", [1, 2, 8, 17, 33])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_axes_of_length_one(channels, size, data_format):
    # the iterator hands over a stride of 0 for them
    for spatial in ((size, 1), (1, size), (1, 1)):
        shape = (channels, *spatial) if data_format == "channels_first" else (*spatial, channels)
        arguments = integers(*shape), integers(channels, 1, 3, 1), integers(1, channels)
        result = ds.gufunc("separable_conv2d", padding="same", data_format=data_format)(*arguments)
        expected = expected_of("separable_conv2d", *arguments, padding="same", data_format=data_format)
        np.testing.assert_array_equal(result, expected)


def test_channels_last_result_is_channels_last():
    x = np.moveaxis(operands("depthwise_conv2d")[0], 1, -1).copy()
    result = ds.gufunc("depthwise_conv2d", data_format="channels_last")(x, integers(3, 2, 3, 3))
    assert result.flags.c_contiguous
    assert result.shape == (2, 7, 7, 6)


def test_subclasses_and_overrides():
    class Logged(np.ndarray):
        pass

    x, weight = operands("depthwise_conv2d")
    result = ds.gufunc("depthwise_conv2d")(x.view(Logged), weight)
    np.testing.assert_array_equal(np.asarray(result), expected_of("depthwise_conv2d", x, weight))

    class Override:
        shape = x.shape

        def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
            return ufunc.__name__, method, len(inputs)

    assert ds.gufunc("depthwise_conv2d")(Override(), weight) == ("depthwise_conv2d", "__call__", 2)
    assert ds.depthwise_conv2d(Override(), weight) == ("depthwise_conv2d", "__call__", 2)


def test_non_finite_values_stay_where_they_are():
    x = integers(1, 9, 9)
    x[0, 4, 4] = np.nan
    x[0, 0, 0] = np.inf
    weight = np.ones((1, 1, 3, 3), np.float32)
    result = ds.gufunc("depthwise_conv2d", padding=1)(x, weight)
    assert np.isnan(result[0, 3:6, 3:6]).all()
    assert np.isnan(result).sum() == 9
    assert np.isinf(result).sum() == 4
    infinite = np.full((1, 1, 3, 3), np.inf, np.float32)
    result = ds.gufunc("depthwise_conv2d", padding=1)(np.ones((1, 4, 4), np.float32), infinite)
    assert (result == np.inf).all()


# ---- the cache ---------------------------------------------------------------------------------
def test_equal_geometry_is_one_object():
    f = ds.gufunc("depthwise_conv2d", stride=2, padding=1)
    for stride in (2, (2, 2), [2, 2], np.int8(2)):
        for padding in (1, (1, 1), ((1, 1), (1, 1)), np.ones((2, 2), int)):
            assert ds.gufunc("depthwise_conv2d", stride=stride, padding=padding) is f
    assert ds.gufunc("depthwise_conv2d", padding=1, stride=2, dilation=1, bias=False) is f
    assert ds.gufunc("depthwise_conv2d", padding="same") is ds.gufunc(
        "depthwise_conv2d", padding="same_upper"
    )
    assert ds.gufunc("depthwise_conv2d", padding="valid") is ds.gufunc("depthwise_conv2d")
    edge, replicate = (ds.gufunc("depthwise_conv2d", padding_mode=mode) for mode in ("edge", "replicate"))
    assert edge is replicate


def test_different_geometry_is_different():
    made = [
        ds.gufunc("depthwise_conv2d", **keywords)
        for keywords in (
            {},
            {"stride": 2},
            {"stride": (1, 2)},
            {"stride": (2, 1)},
            {"dilation": 2},
            {"padding": 1},
            {"padding": ((1, 0), (1, 1))},
            {"padding": "same"},
            {"padding": "same_lower"},
            {"padding": "full"},
            {"padding": "causal"},
            {"padding_mode": "circular"},
            {"activation": "relu"},
            {"data_format": "channels_last"},
            {"bias": True},
        )
    ]
    made += [ds.gufunc("depthwise_conv1d"), ds.gufunc("pointwise_conv2d"), ds.gufunc("separable_conv2d")]
    assert len(set(map(id, made))) == len(made)


def test_cache_is_bounded():
    first = weakref_or_id(ds.gufunc("depthwise_conv1d", padding=1000))
    for padding in range(1001, 1001 + CACHE_SIZE):
        ds.gufunc("depthwise_conv1d", padding=padding)
    gc.collect()
    assert first() is None
    kept = [ds.gufunc("depthwise_conv1d", padding=padding) for padding in range(1101, 1101 + 100)]
    for padding in range(5000, 5000 + CACHE_SIZE - 200):
        ds.gufunc("depthwise_conv1d", padding=padding)
    again = [ds.gufunc("depthwise_conv1d", padding=padding) for padding in range(1101, 1101 + 100)]
    assert all(one is other for one, other in zip(kept, again, strict=True))


def weakref_or_id(f):
    """A weak reference, or where ufuncs do not allow one, a search among the living."""
    try:
        return weakref.ref(f)
    except TypeError:
        doc = f.__doc__
        del f
        return lambda: next(
            (each for each in gc.get_objects() if isinstance(each, np.ufunc) and each.__doc__ == doc), None
        )


def test_a_ufunc_outlives_the_cache():
    f = ds.gufunc("depthwise_conv1d", stride=3, padding=2, activation="relu")
    for padding in range(CACHE_SIZE + 1):
        ds.gufunc("depthwise_conv1d", padding=padding)
    gc.collect()
    x, weight = integers(2, 30), integers(2, 1, 4)
    expected = expected_of("depthwise_conv1d", x, weight, stride=3, padding=2, activation="relu")
    np.testing.assert_array_equal(f(x, weight), expected)


def test_cache_from_many_threads():
    found, failures = [], []
    barrier = threading.Barrier(16)

    def look_up():
        try:
            barrier.wait()
            for padding in range(200):
                found.append((padding, ds.gufunc("depthwise_conv3d", padding=padding, stride=7)))
        except Exception as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look_up) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures
    assert len({(padding, id(f)) for padding, f in found}) == 200


def test_calls_from_many_threads():
    name = "separable_conv2d"
    arguments = operands(name, batch=(1,), size=6)
    expected = {padding: expected_of(name, *arguments, padding=padding) for padding in range(8)}
    wrong = []

    def work(seed):
        for step in range(200):
            padding = (seed + step) % 8
            if not np.array_equal(ds.separable_conv2d(*arguments, padding=padding), expected[padding]):
                wrong.append(padding)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


LEAK = """
import gc, sys
import numpy as np
import dsconv as ds
from dsconv import _core, gufuncs

x, weight = np.ones((1, 4), np.float32), np.ones((1, 1, 1), np.float32)

def blocks_and_memory():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return sys.getallocatedblocks(), int(statm.read().split()[1])

def made_and_dropped(count):
    for padding in range(count):
        key = gufuncs.canonical("depthwise_conv", 1, {"padding": padding % 50}, ())
        f = _core.make_gufunc(*key, "depthwise_conv1d", "doc")
        f(x, weight)

def failed(count):
    for _ in range(count):
        for bad in (weight[:0], weight.astype("g"), weight[0]):
            try:
                ds.depthwise_conv1d(x, bad)
            except (TypeError, ValueError):
                continue
            raise SystemExit("no error")

def good(count):
    for _ in range(count):
        ds.depthwise_conv1d(x, weight, padding=1)
        ds.depthwise_conv1d(x, weight, padding=(1,))

def not_made(count):
    key = gufuncs.canonical("depthwise_conv", 1, {}, ())
    for _ in range(count):
        wrong = key._replace(operation="none"), key._replace(stride=(1, 1)), key._replace(padding=3)
        for changed in wrong:
            try:
                _core.make_gufunc(*changed, "depthwise_conv1d", "doc")
            except (TypeError, ValueError):
                continue
            raise SystemExit("no error")

def gradients(count):
    for _ in range(count):
        y, pullback = ds.separable_conv_transpose1d_vjp(x, weight, weight[0], activation="silu")
        pullback(y)
        for wrong in (lambda: pullback(y[:, :1]), lambda: ds.depthwise_conv1d_input_grad(x, weight, 3)):
            try:
                wrong()
            except ValueError:
                continue
            raise SystemExit("no error")

def growth(work, count):
    before = blocks_and_memory()
    work(count)
    return [after - start for after, start in zip(blocks_and_memory(), before, strict=True)]

# a leak grows with every round, the interpreter's own caches now and then: the round of least growth tells
works = ((made_and_dropped, 3000), (failed, 1000), (good, 10000), (not_made, 1000), (gradients, 1000))
for work, count in works:
    work(count)
    rounds = [growth(work, count) for _ in range(3)]
    assert min(blocks for blocks, _ in rounds) < 100, (work.__name__, rounds)
    assert min(pages for _, pages in rounds) < 256, (work.__name__, rounds)
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nothing_leaks(run_python):
    done = run_python(LEAK)
    assert done.stdout.strip() == "done", done.stderr


def test_reference_counts_of_operands():
    arguments = operands("separable_conv2d")
    out = np.empty((2, 5, 7, 7), "f4")
    before = [sys.getrefcount(each) for each in (*arguments, out)]
    for _ in range(100):
        ds.separable_conv2d(*arguments)
        ds.separable_conv2d(*arguments, out=out)
        with pytest.raises(ValueError):
            ds.separable_conv2d(*arguments[:2], arguments[2][:, :2])
    gc.collect()
    assert [sys.getrefcount(each) for each in (*arguments, out)] == before


def test_documented_signature_is_positional():
    parameters = list(inspect.signature(ds.gufunc).parameters.values())
    assert parameters[0].kind is inspect.Parameter.POSITIONAL_ONLY
    assert parameters[1].kind is inspect.Parameter.VAR_KEYWORD


def test_works_at_interpreter_exit():
    script = (
        "import atexit, numpy as np, dsconv as ds\n"
        "f = ds.gufunc('depthwise_conv1d')\n"
        "atexit.register(lambda: print(f(np.ones((1, 4)), np.ones((1, 1, 2))).sum()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "6.0"), done.stderr
