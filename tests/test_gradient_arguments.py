"""Arguments of transposed convolutions, gradients and vjp functions, and the message for wrong ones."""

import inspect
import pickle

import numpy as np
import pytest

import dsconv as ds
from dsconv import gradients, reference
from dsconv.geometry import ACTIVATIONS, TRANSPOSED_PADDINGS, canonical_padding

RANKS = (1, 2, 3)
TRANSPOSED = [f"{kind}_conv_transpose{rank}d" for kind in ("depthwise", "separable") for rank in RANKS]
GRADIENTS = [
    f"{family}{rank}d_{of}_grad"
    for family in ("depthwise_conv", "depthwise_conv_transpose", "pointwise_conv")
    for of in ("input", "weight")
    for rank in RANKS
]
BIG = 2**63


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def integers(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng((seed, *shape)).integers(-3, 4, shape).astype(dtype)


def rank_of(name):
    return int(name[name.index("d", name.index("conv") + 4) - 1])


def gradient_arguments(name, batch=(2,), dtype=np.float32, last=False):
    """Arguments of a gradient function, C = 3, M = 2 or O = 5, a kernel of 3 on 6 elements an axis."""
    rank = rank_of(name)
    small, large = [4] * rank, [6] * rank
    if name.startswith("pointwise"):
        x, gradient = integers(*batch, 3, *large, dtype=dtype), integers(*batch, 5, *large, dtype=dtype)
        weight, size, kernel = integers(5, 3, dtype=dtype), [], []
    else:
        if "transpose" in name:
            small, large = large, small
        x = integers(*batch, 3, *large, dtype=dtype)
        gradient = integers(*batch, 6, *small, dtype=dtype)
        weight, size, kernel = integers(3, 2, *[3] * rank, dtype=dtype), [tuple(large)], [3]
    if last:
        x, gradient = (np.moveaxis(each, -rank - 1, -1).copy() for each in (x, gradient))
    return [x, gradient, *kernel] if "weight" in name else [gradient, weight, *size]


# ---- what they are -------------------------------------------------------------------------------
_END = "data_format='channels_first', out=None, dtype=None, casting='same_kind')"
_WINDOW = "*, stride=1, padding=0, dilation=1, "
SIGNATURES = {
    "depthwise_conv_input_grad": f"(grad_output, weight, input_size, {_WINDOW}padding_mode='zeros', {_END}",
    "depthwise_conv_weight_grad": f"(x, grad_output, kernel_size, {_WINDOW}padding_mode='zeros', {_END}",
    "depthwise_conv_transpose_input_grad": f"(grad_output, weight, input_size, {_WINDOW}{_END}",
    "depthwise_conv_transpose_weight_grad": f"(x, grad_output, kernel_size, {_WINDOW}{_END}",
    "pointwise_conv_input_grad": f"(grad_output, weight, *, {_END}",
    "pointwise_conv_weight_grad": f"(x, grad_output, *, {_END}",
}


@pytest.mark.parametrize("name", [*GRADIENTS, *gradients.__all__])
def test_introspection(name):
    function = getattr(ds, name)
    assert name in ds.__all__
    assert function.__name__ == name
    assert pickle.loads(pickle.dumps(function)) is function
    signature = inspect.signature(function)
    if name.endswith("_vjp"):
        forward = inspect.signature(getattr(ds, name.removesuffix("_vjp"))).parameters
        assert list(signature.parameters.values()) == [p for p in forward.values() if p.name != "out"]
    else:
        assert str(signature) == SIGNATURES[name.replace(f"{rank_of(name)}d", "")]
    for section in ("Parameters", "Returns", "Raises", "Notes", "References", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in inspect.getdoc(function)
    for parameter in signature.parameters:
        assert parameter in function.__doc__


@pytest.mark.parametrize("name", GRADIENTS)
def test_forms_of_the_operands(name):
    arguments = gradient_arguments(name)
    expected = getattr(reference, name)(*arguments)
    function = getattr(ds, name)
    np.testing.assert_array_equal(function(*arguments), expected)
    lists = [each.tolist() if isinstance(each, np.ndarray) else each for each in arguments]
    result = function(*lists)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == np.float64
    swapped = [each.astype(">f4") if isinstance(each, np.ndarray) else each for each in arguments]
    np.testing.assert_array_equal(function(*swapped), expected)
    rank, last = rank_of(name), gradient_arguments(name, last=True)
    result = function(*last, data_format="channels_last")
    if "input" in name:
        assert result.flags.c_contiguous
        result = np.moveaxis(result, -1, -rank - 1)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("batch", [(), (1,), (3, 2), (2, 1, 2, 1, 2)])
def test_leading_axes(name, batch):
    arguments = gradient_arguments(name, batch=batch)
    result = getattr(ds, name)(*arguments)
    np.testing.assert_array_equal(result, getattr(reference, name)(*arguments))


@pytest.mark.parametrize("name", GRADIENTS)
def test_more_leading_axes_than_a_ufunc_sums_over(name):
    few = gradient_arguments(name)
    expected = getattr(ds, name)(*few)
    maps = 1 if "input" in name else 2
    many = [each.reshape(2, *[1] * 25, *each.shape[1:]) for each in few[:maps]]
    result = getattr(ds, name)(*many, *few[maps:])
    np.testing.assert_array_equal(result.reshape(expected.shape), expected)


@pytest.mark.parametrize("name", GRADIENTS)
def test_out(name):
    arguments = gradient_arguments(name)
    expected = getattr(reference, name)(*arguments)
    for dtype in ("f4", "f8"):
        out = np.full(expected.shape, 99, dtype)
        assert getattr(ds, name)(*arguments, out=out) is out
        np.testing.assert_array_equal(out, expected)
    assert getattr(ds, name)(*arguments, out=(out,)) is out
    for shape in ((*expected.shape[:-1], expected.shape[-1] + 1), expected.shape[1:]):
        with pytest.raises(ValueError, match="^out: expected shape"):
            getattr(ds, name)(*arguments, out=ones(*shape))
    with pytest.raises(TypeError, match="^out: .*float32 .*same_kind.*got int64"):
        getattr(ds, name)(*arguments, out=np.ones(expected.shape, int))


@pytest.mark.parametrize("name", GRADIENTS)
def test_types(name):
    arguments = gradient_arguments(name)
    expected = getattr(reference, name)(*arguments)
    positions = [i for i, each in enumerate(arguments) if isinstance(each, np.ndarray)]
    for dtype, result in (("f8", "f8"), ("i2", "f4"), ("i4", "f8"), ("c8", "c8"), ("f2", "f2")):
        typed = [each.astype(dtype) if i in positions else each for i, each in enumerate(arguments)]
        actual = getattr(ds, name)(*typed)
        assert actual.dtype == np.dtype(result)
        np.testing.assert_array_equal(actual, expected.astype(result))
    assert getattr(ds, name)(*arguments, dtype="f8").dtype == np.float64
    names = list(inspect.signature(getattr(ds, name)).parameters)
    for position in positions:
        for bad in ("g", "O", "U1"):
            changed = list(arguments)
            changed[position] = np.zeros(arguments[position].shape, bad)
            with pytest.raises(TypeError, match=rf"^{names[position]}: expected float16"):
                getattr(ds, name)(*changed)
        changed[position] = None
        with pytest.raises(TypeError, match=rf"^{names[position]}: expected float16"):
            getattr(ds, name)(*changed)


# ---- sizes of transposed convolutions ------------------------------------------------------------
@pytest.mark.parametrize("name", TRANSPOSED)
@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"stride": 2},
        {"stride": 3, "padding": 1},
        {"dilation": 2, "padding": 2},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"dilation": 3, "output_padding": 2},
        {"stride": 3, "dilation": 2, "output_padding": 2},
        {"stride": 2, "output_size": 8},
        {"stride": 2, "padding": 1, "output_size": 6},
        {"padding": "same"},
        {"padding": "same", "stride": 2},
        {"padding": "same_upper", "stride": 4},
        {"padding": "same", "stride": 5, "output_size": 15},
        {"padding": "valid", "stride": 2},
    ],
    ids=str,
)
def test_conv_transpose_output_size_is_what_comes_out(name, geometry):
    rank = rank_of(name)
    arguments = [integers(2, 3, *[3] * rank), integers(3, 2, *[3] * rank)]
    if name.startswith("separable"):
        arguments.append(integers(4, 6))
    result = getattr(ds, name)(*arguments, **geometry)
    np.testing.assert_array_equal(result, getattr(reference, name)(*arguments, **geometry))
    size = ds.conv_transpose_output_size((3,) * rank, 3, **geometry)
    assert result.shape[-rank:] == size
    assert all(type(each) is int for each in size)


def test_per_axis_geometry():
    x, weight = integers(2, 3, 4, 5), integers(3, 1, 2, 3)
    for keywords in (
        {"stride": (2, 3), "output_padding": (1, 0)},
        {"stride": (2, 3), "output_size": (9, 16)},
        {"padding": (0, 1), "dilation": (1, 2), "output_padding": (0, 1)},
        {"padding": ((0, 1), (2, 0)), "stride": [1, 2]},
        {"stride": np.array([2, 1]), "output_padding": np.array([1, 0])},
        {"stride": (2, 3), "output_size": np.array([8, 17])},
    ):
        actual = ds.depthwise_conv_transpose2d(x, weight, **keywords)
        np.testing.assert_array_equal(actual, reference.depthwise_conv_transpose2d(x, weight, **keywords))


def test_conv_transpose_output_size_in_kind():
    assert ds.conv_transpose_output_size(5, 3) == 7
    assert type(ds.conv_transpose_output_size(np.int32(5), np.int64(3))) is int
    assert ds.conv_transpose_output_size((5,), 3) == (7,)
    assert ds.conv_transpose_output_size(5, (3,)) == (7,)
    assert ds.conv_transpose_output_size([5, 6], (3, 2), stride=(1, 2), padding=((1, 0), (0, 0))) == (6, 12)
    assert ds.conv_transpose_output_size(5, 3, stride=2, output_size=12) == 12
    assert ds.conv_transpose_output_size(0, 3) == 2
    assert ds.conv_transpose_output_size(2**61, 3, stride=2) == 2**62 + 1


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("padding", [0, 1, ((2, 0),)])
def test_one_of_the_sizes_leads_back(stride, dilation, padding):
    """Every input size that a convolution takes to an output size can be had back from it."""
    window = {"stride": stride, "dilation": dilation, "padding": padding}
    least = ds.conv_transpose_output_size(4, 3, **window)
    for extra in range(max(stride, dilation)):
        size = ds.conv_transpose_output_size(4, 3, output_padding=extra, **window)
        assert size == least + extra == ds.conv_transpose_output_size(4, 3, output_size=size, **window)
        assert extra >= stride or ds.conv_output_size(size, 3, **window) == 4


@pytest.mark.parametrize(
    "arguments, keywords, error, pattern",
    [
        ((3, 2), {"padding": 2}, ValueError, r"^padding: .*= 0 \(spatial axis 0: input 3, .*kernel 2"),
        ((0, 1), {}, ValueError, "^padding: at least one element"),
        ((0, 1), {"padding": "same"}, ValueError, r"^padding: .*input\*stride"),
        ((3, 0), {}, ValueError, "^kernel_size: must be at least 1"),
        ((-1, 1), {}, ValueError, "^input_size: must be at least 0"),
        (
            (3, 3),
            {"output_padding": 1},
            ValueError,
            "^output_padding: .*less than the larger of stride and dil",
        ),
        ((3, 3), {"output_padding": 2, "stride": 2}, ValueError, "^output_padding: .*got 2 .*stride 2"),
        ((3, 3), {"output_padding": -1}, ValueError, "^output_padding: must be at least 0, got -1"),
        ((3, 3), {"output_padding": 1.0}, TypeError, "^output_padding: expected an integer"),
        ((3, 3), {"output_padding": None}, TypeError, "^output_padding: expected an integer"),
        (((3, 3), 3), {"output_padding": (1,), "stride": 2}, ValueError, "^output_padding: expected .*2 int"),
        ((3, 3), {"output_size": 6}, ValueError, r"^output_size: must be .*= 5, got 6"),
        (
            (3, 3),
            {"output_size": 9, "stride": 2},
            ValueError,
            r"^output_size: must be from .*= 7 to 8, got 9",
        ),
        (
            (3, 3),
            {"output_size": 6, "stride": 2},
            ValueError,
            r"^output_size: must be from .*= 7 to 8, got 6",
        ),
        ((3, 3), {"output_size": 0}, ValueError, "^output_size: must be at least 1, got 0"),
        ((3, 3), {"output_size": -4}, ValueError, "^output_size: must be at least 1, got -4"),
        ((3, 3), {"output_size": "5"}, TypeError, "^output_size: expected an integer"),
        ((3, 3), {"output_size": 7, "padding": "same", "stride": 2}, ValueError, r"input\*stride = 6, got 7"),
        (
            (3, 3),
            {"output_size": 7, "output_padding": 1, "stride": 2},
            ValueError,
            "^output_padding: must be 0",
        ),
        (
            (3, 3),
            {"output_padding": 1, "padding": "same", "stride": 2},
            ValueError,
            "^output_padding: .*same",
        ),
        ((3, 3), {"padding": "full"}, ValueError, '^padding: .*"same_upper".*does not have'),
        ((3, 3), {"padding": "SAME"}, ValueError, "^padding: .*did you mean 'same'"),
        ((3, 3), {"padding": (1, 2)}, ValueError, r"padding=\(\(1, 2\),\)"),
        ((3, 3), {"stride": 0}, ValueError, "^stride: must be at least 1"),
        ((2**62, 3), {"stride": 2}, OverflowError, "^stride, padding, dilation: .*64-bit"),
        ((3, 2**40), {"dilation": 2**40}, OverflowError, "64-bit"),
        ((3, 3), {"output_padding": BIG}, OverflowError, "^output_padding: "),
        ((3, 3), {"output_size": BIG}, OverflowError, "^output_size: "),
    ],
)
def test_conv_transpose_output_size_refuses(arguments, keywords, error, pattern):
    with pytest.raises(error, match=pattern):
        ds.conv_transpose_output_size(*arguments, **keywords)
    sizes, kernel = arguments
    if type(sizes) is int and 0 <= sizes < 100 and kernel < 100 and error is not OverflowError:
        pattern = pattern if kernel else "weight must have at least one tap"
        with pytest.raises(error, match=pattern):
            ds.depthwise_conv_transpose1d(ones(1, sizes), ones(1, 1, kernel), **keywords)
        with pytest.raises(error):
            ds.gufunc("depthwise_conv_transpose1d", **keywords)(ones(1, sizes), ones(1, 1, kernel))


@pytest.mark.parametrize("word", ["same_lower", "full", "causal"])
def test_paddings_that_are_not_for_transposed(word):
    for name in ("depthwise_conv_transpose2d", "separable_conv_transpose1d"):
        arguments = [ones(3, *[5] * rank_of(name)), ones(3, 1, *[3] * rank_of(name)), ones(4, 3)]
        with pytest.raises(ValueError, match=rf"^padding: .*got '{word}', which a transposed conv"):
            getattr(ds, name)(*arguments[: 3 if name.startswith("sep") else 2], padding=word)
    for name in ("depthwise_conv_transpose2d_input_grad", "depthwise_conv_transpose1d_weight_grad"):
        with pytest.raises(ValueError, match=rf"^padding: .*got '{word}', which a transposed conv"):
            getattr(ds, name)(*gradient_arguments(name), padding=word)
    with pytest.raises(ValueError, match="^padding"):
        canonical_padding(word, 2, words=TRANSPOSED_PADDINGS)


def test_no_padding_mode():
    with pytest.raises(TypeError, match="padding_mode"):
        ds.depthwise_conv_transpose2d(ones(3, 5, 5), ones(3, 1, 3, 3), padding_mode="zeros")


def test_form_of_other_convolutions():
    x = ones(3, 5, 5)
    for name, more in (("depthwise_conv_transpose2d", []), ("separable_conv_transpose2d", [ones(4, 6)])):
        with pytest.raises(
            ValueError, match=r"weight: .*C = 3.*\(C\*M, 1, 3, 3\) is for convolutions that are"
        ):
            getattr(ds, name)(x, ones(6, 1, 3, 3), *more)
        with pytest.raises(
            ValueError, match=r"weight: .*C = 3: expected shape \(3, 'M', 3, 3\)|\(3, M, 3, 3\)"
        ):
            getattr(ds, name)(x, ones(4, 1, 3, 3), *more)


# ---- arguments of gradients ----------------------------------------------------------------------
@pytest.mark.parametrize("name", GRADIENTS[:12])
def test_sizes_of_every_spelling(name):
    rank = rank_of(name)
    *arrays, size = gradient_arguments(name)
    expected = getattr(reference, name)(*arrays, size)
    number = size if isinstance(size, int) else size[0]
    for spelling in (number, (number,) * rank, [number] * rank, np.full(rank, number), np.int16(number)):
        np.testing.assert_array_equal(getattr(ds, name)(*arrays, spelling), expected)
    argument = "input_size" if "input" in name else "kernel_size"
    for value in (1.0, "6", None, True, (6.0,) * rank):
        with pytest.raises(TypeError, match=rf"^{argument}(\[0\])?: expected an integer"):
            getattr(ds, name)(*arrays, value)
    for value in ((6,) * (rank + 1), ()):
        with pytest.raises(ValueError, match=rf"^{argument}: expected .*got {len(value)} values"):
            getattr(ds, name)(*arrays, value)
    with pytest.raises(ValueError, match=rf"^{argument}: must be at least"):
        getattr(ds, name)(*arrays, -1)
    with pytest.raises(OverflowError, match=rf"^{argument}: "):
        getattr(ds, name)(*arrays, BIG)
    if argument == "kernel_size":
        with pytest.raises(ValueError, match=r"^kernel_size: must be at least 1, got 0"):
            getattr(ds, name)(*arrays, 0)


DISAGREE = [
    ("depthwise_conv2d_input_grad", [(6, 4, 4), (3, 2, 3, 3), 7], r"^grad_output: .*\(5, 5\); got \(4, 4\)"),
    (
        "depthwise_conv2d_input_grad",
        [(5, 4, 4), (3, 2, 3, 3), 6],
        r"^grad_output: .*channels.*: 6.*\(5, 4, 4\)",
    ),
    ("depthwise_conv2d_input_grad", [(4, 4), (3, 2, 3, 3), 6], r"^grad_output: expected at least 3 axes"),
    ("depthwise_conv2d_input_grad", [(6, 4, 4), (3, 3, 3), 6], r"^weight: expected at least 4 axes"),
    ("depthwise_conv2d_input_grad", [(6, 4, 4), (1, 3, 2, 3, 3), 6], r"^weight: a gradient takes no leading"),
    ("depthwise_conv2d_input_grad", [(6, 4, 4), (3, 2, 3, 3), 2], r"input_size|too small"),
    ("depthwise_conv1d_weight_grad", [(3, 6), (6, 4), 2], r"^grad_output: .*\(5,\); got \(4,\)"),
    ("depthwise_conv1d_weight_grad", [(3, 6), (7, 4), 3], r"^grad_output: .*multiple of those of x, C = 3"),
    ("depthwise_conv1d_weight_grad", [(0, 6), (7, 4), 3], r"^grad_output: .*multiple of those of x, C = 0"),
    ("depthwise_conv1d_weight_grad", [(3, 6), (0, 4), 3], r"grad_output|multiplier"),
    (
        "depthwise_conv1d_weight_grad",
        [(2, 3, 6), (6, 4), 3],
        r"^grad_output: the leading axes.*\(2,\), got \(\)",
    ),
    ("depthwise_conv1d_weight_grad", [(2, 3, 6), (1, 6, 4), 3], r"^grad_output: the leading axes"),
    ("depthwise_conv1d_weight_grad", [(3, 6), (2, 6, 4), 3], r"^grad_output: the leading axes"),
    ("depthwise_conv1d_weight_grad", [(6,), (6, 4), 3], r"^x: expected at least 2 axes"),
    ("depthwise_conv1d_weight_grad", [(3, 6), (4,), 3], r"^grad_output: expected at least 2 axes"),
    ("depthwise_conv1d_weight_grad", [(3, 6), (6, 4), 7], r"kernel"),
    ("depthwise_conv_transpose2d_input_grad", [(6, 4, 5), (3, 2, 3, 3), 2], r"\(4, 4\); got \(4, 5\)"),
    ("depthwise_conv_transpose2d_input_grad", [(5, 4, 4), (3, 2, 3, 3), 2], r"^grad_output: .*channels"),
    ("depthwise_conv_transpose2d_input_grad", [(6, 4, 4), (2, 3, 2, 3, 3), 2], r"^weight: .*no leading axes"),
    ("depthwise_conv_transpose1d_weight_grad", [(3, 6), (6, 9), 3], r"^grad_output: .*\(8,\); got \(9,\)"),
    ("depthwise_conv_transpose1d_weight_grad", [(3, 6), (4, 8), 3], r"^grad_output: .*multiple"),
    ("depthwise_conv_transpose1d_weight_grad", [(4, 3, 6), (2, 6, 8), 3], r"^grad_output: the leading axes"),
    ("pointwise_conv2d_input_grad", [(5, 4, 4), (4, 3)], r"^grad_output: .*channels.*: 4.*\(5, 4, 4\)"),
    ("pointwise_conv2d_input_grad", [(5, 4), (5, 3)], r"^grad_output: expected at least 3 axes"),
    ("pointwise_conv2d_input_grad", [(5, 4, 4), (3,)], r"^weight: expected at least 2 axes"),
    ("pointwise_conv2d_input_grad", [(5, 4, 4), (5, 3, 1, 1)], r"^weight: .*weight.reshape\(5, 3\)"),
    ("pointwise_conv2d_input_grad", [(5, 4, 4), (2, 5, 3)], r"^weight: a gradient takes no leading axes"),
    (
        "pointwise_conv2d_weight_grad",
        [(3, 4, 4), (5, 4, 3)],
        r"^grad_output: .*that of x, \(4, 4\); got \(4, 3\)",
    ),
    ("pointwise_conv2d_weight_grad", [(2, 3, 4, 4), (3, 5, 4, 4)], r"^grad_output: the leading axes"),
    ("pointwise_conv2d_weight_grad", [(4, 4), (5, 4, 4)], r"^x: expected at least 3 axes"),
]


@pytest.mark.parametrize("name, given, pattern", DISAGREE)
def test_shapes_that_disagree(name, given, pattern):
    arguments = [ones(*each) if isinstance(each, tuple) else each for each in given]
    with pytest.raises(ValueError, match=pattern):
        getattr(ds, name)(*arguments)


def test_size_of_the_gradient_of_a_transposed_convolution():
    weight = ones(3, 2, 3)
    for stride, sizes in ((1, [6]), (2, [9, 10]), (3, [12, 13, 14])):
        for size in range(4, 17):
            arguments = ones(6, size), weight, 4
            if size in sizes:
                assert ds.depthwise_conv_transpose1d_input_grad(*arguments, stride=stride).shape == (3, 4)
                continue
            allowed = sizes[0] if stride == 1 else f"{sizes[0]} to {sizes[-1]}"
            with pytest.raises(ValueError, match=rf"^grad_output: .*\({allowed},\); got \({size},\)"):
                ds.depthwise_conv_transpose1d_input_grad(*arguments, stride=stride)
    gradient = ones(6, 8)
    assert ds.depthwise_conv_transpose1d_input_grad(gradient, weight, 4, stride=2, padding="same").size == 12
    with pytest.raises(ValueError, match=r"^grad_output: .*\(8,\); got \(9,\)"):
        ds.depthwise_conv_transpose1d_input_grad(ones(6, 9), weight, 4, stride=2, padding="same")


@pytest.mark.parametrize("name", GRADIENTS)
def test_empty_batch(name):
    for batch in ((0,), (2, 0), (0, 3)):
        result = getattr(ds, name)(*gradient_arguments(name, batch=batch))
        assert result.shape == getattr(reference, name)(*gradient_arguments(name, batch=batch)).shape
        assert not result.any()


@pytest.mark.parametrize("rank", RANKS)
def test_no_channels(rank):
    spatial, kernel = [6] * rank, [3] * rank
    x, gradient = ones(2, 0, *spatial), ones(2, 0, *[4] * rank)
    assert getattr(ds, f"depthwise_conv{rank}d_weight_grad")(x, gradient, 3).shape == (0, 1, *kernel)
    back = getattr(ds, f"depthwise_conv{rank}d_input_grad")(gradient, ones(0, 2, *kernel), 6)
    assert back.shape == (2, 0, *spatial)
    assert getattr(ds, f"pointwise_conv{rank}d_weight_grad")(x, ones(2, 5, *spatial)).shape == (5, 0)
    assert getattr(ds, f"pointwise_conv{rank}d_input_grad")(ones(2, 5, *spatial), ones(5, 0)).shape == x.shape
    forward = getattr(ds, f"depthwise_conv_transpose{rank}d")
    assert forward(ones(2, 0, *[4] * rank), ones(0, 2, *kernel)).shape == (2, 0, *spatial)


def test_empty_weights():
    for name in ("depthwise_conv2d_input_grad", "depthwise_conv_transpose2d_input_grad"):
        for shape in ((3, 0, 3, 3), (3, 1, 0, 3), (3, 1, 3, 0)):
            channels = shape[0] * shape[1]
            with pytest.raises(ValueError):
                getattr(ds, name)(ones(channels, 4, 4), ones(*shape), 4, padding="same")
    for shapes in ([(3, 5, 5), (3, 0, 3, 3)], [(3, 5, 5), (3, 1, 0, 3)], [(3, 5, 5), (3, 1, 3, 0)]):
        for batch in ((), (0,)):
            with pytest.raises(ValueError, match="weight must have at least one"):
                ds.depthwise_conv_transpose2d(ones(*batch, *shapes[0]), ones(*shapes[1]))
    with pytest.raises(ValueError, match="pointwise_weight must have at least one"):
        ds.separable_conv_transpose2d(ones(3, 5, 5), ones(3, 1, 3, 3), ones(0, 3))
    with pytest.raises(ValueError):
        ds.pointwise_conv2d_input_grad(ones(0, 4, 4), ones(0, 3))


# ---- vjp -----------------------------------------------------------------------------------------
def vjp_arguments(name, batch=(2,), dtype=np.float64, bias=True, torch=False, last=False):
    rank = int(name[-2])
    x = integers(*batch, 3, *[4] * rank, dtype=dtype)
    depthwise, pointwise = integers(3, 2, *[3] * rank, dtype=dtype), integers(5, 6, dtype=dtype)
    first, second = integers(6, dtype=dtype, seed=1), integers(5, dtype=dtype, seed=2)
    if name.startswith("pointwise"):
        pointwise = pointwise[:, :3]
    if torch:
        pointwise = pointwise.reshape(*pointwise.shape, *[1] * rank)
        depthwise = depthwise if "transpose" in name else depthwise.reshape(6, 1, *[3] * rank)
    if last:
        x = np.moveaxis(x, -rank - 1, -1)
    operands = {
        "depthwise": [x, depthwise, first],
        "pointwise": [x, pointwise, second],
        "separable": [x, depthwise, pointwise, first, second],
    }[name.partition("_")[0]]
    return operands if bias else [each for each in operands if each is not first and each is not second]


FORWARD = [name.removesuffix("_vjp") for name in gradients.__all__]
HARD = {None, "relu", "relu6"}


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("torch", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_vjp(name, torch, bias):
    for last in (False, True):
        arguments = vjp_arguments(name, torch=torch, bias=bias, last=last)
        keywords = {"data_format": "channels_last"} if last else {}
        y, pullback = getattr(ds, f"{name}_vjp")(*arguments, **keywords)
        np.testing.assert_array_equal(y, getattr(ds, name)(*arguments, **keywords))
        grad = integers(*y.shape, seed=3)
        actual = pullback(grad)
        expected = getattr(reference, f"{name}_vjp")(*arguments, **keywords)[1](grad)
        assert isinstance(actual, tuple) and len(actual) == len(expected)
        for ours, theirs in zip(actual, expected, strict=True):
            assert (ours is None) == (theirs is None)
            np.testing.assert_array_equal(ours, theirs)
        for ours, argument in zip(actual, arguments, strict=False):
            assert ours.shape == argument.shape and ours.dtype == y.dtype


@pytest.mark.parametrize("name", [name for name in FORWARD if name.endswith("2d")])
@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_vjp_through_activations(name, activation):
    keywords = {"activation": activation}
    if name.startswith("separable"):
        keywords["depthwise_activation"] = activation
    if not name.startswith("pointwise"):
        keywords |= {"stride": 2, "padding": 1}
    # no value just where two formulas meet
    arguments = [each + 0.1234567 for each in vjp_arguments(name)]
    y, pullback = getattr(ds, f"{name}_vjp")(*arguments, **keywords)
    np.testing.assert_array_equal(y, getattr(ds, name)(*arguments, **keywords))
    expected, back = getattr(reference, f"{name}_vjp")(*arguments, **keywords)
    grad = integers(*y.shape, seed=3)
    for ours, theirs in zip(pullback(grad), back(grad), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    assert (pullback.y is y) == (activation in HARD - {None})


def test_vjp_of_every_geometry():
    arguments = vjp_arguments("depthwise_conv2d")
    for keywords in (
        {"padding": "causal", "dilation": 2},
        {"padding": 2, "padding_mode": "reflect", "stride": (1, 2)},
        {"padding": "full", "padding_mode": "wrap"},
    ):
        y, pullback = ds.depthwise_conv2d_vjp(*arguments, **keywords)
        back = reference.depthwise_conv2d_vjp(*arguments, **keywords)[1]
        grad = integers(*y.shape, seed=3)
        for ours, theirs in zip(pullback(grad), back(grad), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    arguments = vjp_arguments("separable_conv_transpose2d")
    for keywords in (
        {"stride": 2, "output_size": (10, 9)},
        {"stride": 3, "padding": "same"},
        {"stride": 2, "padding": 1, "output_padding": (0, 1)},
    ):
        y, pullback = ds.separable_conv_transpose2d_vjp(*arguments, **keywords)
        back = reference.separable_conv_transpose2d_vjp(*arguments, **keywords)[1]
        grad = integers(*y.shape, seed=3)
        for ours, theirs in zip(pullback(grad), back(grad), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_vjp_types():
    for dtype in ("f4", "f8", "c8", "c16"):
        arguments = vjp_arguments("separable_conv1d", dtype=dtype)
        y, pullback = ds.separable_conv1d_vjp(*arguments)
        assert y.dtype == dtype
        assert all(each.dtype == dtype for each in pullback(np.ones(y.shape, "i1")))
    x, weight = integers(2, 3, 5, dtype="u1"), integers(3, 1, 3, dtype="f4")
    y, pullback = ds.depthwise_conv1d_vjp(x, weight)
    assert [each.dtype for each in pullback(y)[:2]] == [np.float32] * 2
    y, pullback = ds.depthwise_conv1d_vjp(x, weight, dtype="f8")
    assert [each.dtype for each in pullback(y.astype("f4"))[:2]] == [np.float64] * 2
    y, pullback = ds.depthwise_conv1d_vjp(x.tolist(), weight.tolist(), [1, 2, 3])
    assert [each.dtype for each in pullback(y.tolist())] == [np.float64] * 3


def test_vjp_of_complex_values():
    rng = np.random.default_rng(0)
    arguments = [
        integers(*a.shape) + 1j * integers(*a.shape, seed=5) for a in vjp_arguments("depthwise_conv2d")
    ]
    y, pullback = ds.depthwise_conv2d_vjp(*arguments)
    grad = rng.integers(-3, 4, y.shape) + 1j * rng.integers(-3, 4, y.shape)
    back = reference.depthwise_conv2d_vjp(*arguments)[1]
    for ours, theirs in zip(pullback(grad), back(grad), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(TypeError, match="^activation: must be None for complex"):
        ds.depthwise_conv2d_vjp(*arguments, activation="tanh")


@pytest.mark.parametrize("name", ["depthwise_conv1d", "pointwise_conv2d", "separable_conv1d"])
@pytest.mark.parametrize("batch", [(), (0,), (2, 0), (2, 1, 3), (2,) + (1,) * 25])
def test_vjp_leading_axes(name, batch):
    arguments = vjp_arguments(name, batch=batch)
    y, pullback = getattr(ds, f"{name}_vjp")(*arguments)
    grad = np.ones_like(y)
    back = getattr(reference, f"{name}_vjp")(*arguments)[1]
    for ours, theirs in zip(pullback(grad), back(grad), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.shape == theirs.shape


def test_vjp_refuses():
    x, weight = integers(2, 3, 5), integers(3, 2, 3)
    for arguments, pattern in (
        ((x, weight[None]), r"^weight: depthwise_conv1d_vjp takes no leading axes.*3 axes.*\(1, 3, 2, 3\)"),
        ((x, weight, ones(2, 6)), r"^bias: .*no leading axes.*1 axis, got shape \(2, 6\)"),
        ((x, weight[:2]), "^weight: the channels must be those of x"),
        ((x, weight, ones(5)), "^bias: "),
        ((x, weight[0]), "^weight: expected at least 3 axes"),
        ((x[0, 0], weight), "^x: expected at least 2 axes"),
        ((x, [[[1, 2]], [[1]]]), "^weight: cannot be made into an array"),
    ):
        with pytest.raises(ValueError, match=pattern):
            ds.depthwise_conv1d_vjp(*arguments)
    with pytest.raises(ValueError, match="^pointwise_weight: .*no leading axes"):
        ds.separable_conv1d_vjp(x, weight, ones(2, 5, 6))
    with pytest.raises(ValueError, match="^stride: "):
        ds.depthwise_conv1d_vjp(x, weight, stride=0)
    with pytest.raises(TypeError, match="^x: expected float16"):
        ds.depthwise_conv1d_vjp(None, weight)
    with pytest.raises(TypeError, match="^weight: expected float16"):
        ds.depthwise_conv1d_vjp(x, None)
    for wrong in ({"out": x}, {"nonsense": 1}):
        with pytest.raises(TypeError, match="unexpected keyword"):
            ds.depthwise_conv1d_vjp(x, weight, **wrong)
    with pytest.raises(TypeError, match="weight"):
        ds.depthwise_conv1d_vjp(x)


def test_pullback_refuses():
    y, pullback = ds.depthwise_conv1d_vjp(integers(2, 3, 5), integers(3, 2, 3), activation="relu")
    for shape in ((2, 6, 4), (6, 3), (1, 6, 3), (), (2, 6, 3, 1)):
        with pytest.raises(ValueError, match=r"^grad: expected the shape of the result, \(2, 6, 3\), got"):
            pullback(ones(*shape))
    for dtype in ("c8", "O", "U1"):
        with pytest.raises(TypeError, match="^grad: cannot be cast from .* to float32"):
            pullback(np.zeros(y.shape, dtype))


@pytest.mark.parametrize("name", FORWARD)
def test_pullback_pickles_and_tells_its_name(name):
    y, pullback = getattr(ds, f"{name}_vjp")(*vjp_arguments(name), activation="silu")
    assert name in repr(pullback) and str(y.shape) in repr(pullback)
    again = pickle.loads(pickle.dumps(pullback))
    for ours, theirs in zip(again(y), pullback(y), strict=True):
        np.testing.assert_array_equal(ours, theirs)
