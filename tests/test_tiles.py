"""The special tiles of the kernels, each on the sizes that it is for: exact on integers, in every kernel set.

Random calls meet some of these sizes too rarely.
"""

import itertools
import warnings

import numpy as np
import pytest

import dsconv as ds
from dsconv import _core, nn, reference
from dsconv.testing import assert_equivalent

from .exact import check, integers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_narrow_planes(kernel_set, kernel, dtype):
    """Up to half of a vector: two planes share one, an odd plane is by itself."""
    rng = np.random.default_rng(kernel)
    for width in range(1, 10):
        for channels in (1, 2, 7):
            x = integers(rng, channels, 9, width, dtype=dtype)
            w, b = (
                integers(rng, channels, 1, kernel, kernel, dtype=dtype),
                integers(rng, channels, dtype=dtype),
            )
            check("depthwise_conv2d", x, w, b, padding="same", activation="relu")
            check("depthwise_conv2d", x, w, b, padding="same", dilation=2)


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7, (3, 5)])
def test_strides(kernel_set, kernel, stride):
    """Rows taken apart, and phases zipped together again."""
    rng = np.random.default_rng(stride)
    shape = (kernel, kernel) if isinstance(kernel, int) else kernel
    for width in (5, 17, 40, 71):
        x, w = integers(rng, 3, 11, width), integers(rng, 3, 1, *shape)
        check("depthwise_conv2d", x, w, padding=min(shape) // 2, stride=stride)
        check("depthwise_conv_transpose2d", x, w, padding=min(shape) // 2, stride=stride)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 9, 33, 70])
def test_strides_along_a_row(kernel_set, kernel, stride, dtype):
    """Vectors between the masked ones at both ends, with column taps for whole turns, and with others."""
    rng = np.random.default_rng(kernel)
    for width in (100, 257, 700):
        for padding in (kernel // 2, ((0, 150),), ((150, 0),)):
            x, w = integers(rng, 2, width, dtype=dtype), integers(rng, 2, 1, kernel, dtype=dtype)
            check("depthwise_conv1d", x, w, padding=padding, stride=stride)
            check("depthwise_conv1d", x, w, padding=padding, stride=stride, dilation=1 + width % 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [3, 4, 5, 6, 7, 8, 33, 200, 1024, 1025])
def test_long_rows(kernel_set, kernel, dtype):
    """Blocks of four results a lane: one and several, whole and not, in one piece and in some."""
    rng = np.random.default_rng(kernel)
    for width in (1, 40, 62, 64, 65, 250, 1500):
        for padding in ("same", ((kernel, 0),), ((0, kernel),)):
            x = integers(rng, 2, 3, width, dtype=dtype)
            w, b = integers(rng, 3, 1, kernel, dtype=dtype), integers(rng, 3, dtype=dtype)
            check("depthwise_conv1d", x, w, b, padding=padding, activation="relu6")
    x, w = integers(rng, 2, 5, 70, dtype=dtype), integers(rng, 2, 1, 1, kernel, dtype=dtype)
    check("depthwise_conv2d", x, w, padding=(1, kernel // 2), stride=(2, 1))


def test_long_rows_in_pieces(kernel_set):
    """Summed in one order, however long the row: the bits of a piece are those of the whole."""
    rng = np.random.default_rng(0)
    x, w = np.float32(rng.standard_normal((3, 900))), np.float32(rng.standard_normal((3, 1, 31)))
    whole = ds.depthwise_conv1d(x, w)
    for begin in (0, 1, 100):
        for width in (1, 20, 70, 300, 700):
            piece = ds.depthwise_conv1d(x[:, begin : begin + width + 30], w)
            np.testing.assert_array_equal(piece, whole[:, begin : begin + width])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_long_rows_with_infinite_taps(kernel_set):
    """A tap that meets padding only does not count."""
    rng = np.random.default_rng(0)
    for count in (3, 6, 31):
        x, w = integers(rng, 2, 100), integers(rng, 2, 1, count)
        w[1, 0, 0], w[0, 0, -1] = np.inf, np.nan
        check("depthwise_conv1d", x, w, padding="same")


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_strides_beside_infinities(kernel_set, stride):
    """Elements that no tap meets do not count, whatever they are."""
    rng = np.random.default_rng(stride)
    for kernel in (1, 2, 3, 5, 6):
        x, w = integers(rng, 3, 9, 90), integers(rng, 3, 1, 1, kernel)
        for place in range(20, 32):
            there = x.copy()
            there[:, 4, place] = np.inf
            check("depthwise_conv2d", there, w, stride=(1, stride))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "kernel", [(1, 1), (3, 3), (5, 5), (7, 7), (1, 2), (1, 3), (1, 5), (1, 7), (3, 1), (2, 5)]
)
def test_marching_channels(kernel_set, kernel, dtype):
    """Channels last, rows alone and together: all strides, taps that padding hides, a depth tap more."""
    rng = np.random.default_rng(sum(kernel))
    for channels in (3, 16, 37):
        x, w = integers(rng, 11, 13, channels, dtype=dtype), integers(rng, channels, 1, *kernel, dtype=dtype)
        for stride in (1, 2, 3, 4, (1, 3), (4, 2)):
            for padding in ((kernel[0] // 2, kernel[1] // 2), ((2, 0), (0, 3))):
                words = dict(padding=padding, stride=stride, data_format="channels_last")
                check("depthwise_conv2d", x, w, **words, activation="relu6")
        check(
            "depthwise_conv2d", x, w, padding=(kernel[0], kernel[1]), dilation=2, data_format="channels_last"
        )
        check("depthwise_conv_transpose2d", x, w, stride=2, data_format="channels_last")
        x, w = integers(rng, 3, *x.shape, dtype=dtype), integers(rng, channels, 1, 2, *kernel, dtype=dtype)
        for stride in (1, 3):
            check("depthwise_conv3d", x, w, padding=(1, 0, 1), stride=stride, data_format="channels_last")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (5, 5), (7, 7), (4, 6), (1, 9), (3, 16)])
def test_pixels_abreast(kernel_set, kernel, threads):
    """Channels last: tiles of all widths, a last vector within the one before, or of few channels."""
    rng = np.random.default_rng(sum(kernel))
    with ds.num_threads(threads):
        for width, channels in ((41, 9), (47, 17), (53, 70), (44, 512), (60, 4)):
            x = integers(rng, 4, width, channels)
            w, b = integers(rng, channels, 1, *kernel), integers(rng, channels)
            for words in ({}, dict(stride=2), dict(stride=3), dict(dilation=(1, 3))):
                for padding in ((kernel[0] // 2, kernel[1] // 2), ((3, 0), (0, 5))):
                    words = dict(words, padding=padding, data_format="channels_last")
                    check("depthwise_conv2d", x, w, b, **words, activation="relu")
            check("depthwise_conv_transpose2d", x, w, b, stride=(1, 3), data_format="channels_last")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_swept_rows(kernel_set, dtype, threads):
    """3 x 3 taps along long rows: every rest of rows of a group, borders of several vectors."""
    rng = np.random.default_rng(threads)
    words = [dict(padding=1), dict(), dict(padding=((0, 3), (2, 0))), dict(dilation=(3, 7), padding=(3, 7))]
    words += [dict(stride=2), dict(stride=2, padding=1), dict(stride=2, padding=((2, 1), (0, 2)))]
    words += [dict(dilation=24, padding=24), dict(dilation=(2, 1), padding=((1, 2), (1, 1)))]
    with ds.num_threads(threads):
        for rows, width in ((3, 43), (4, 64), (6, 101), (9, 57), (13, 130), (31, 88)):
            x = integers(rng, 3, rows, width, dtype=dtype)
            w, b = integers(rng, 3, 1, 3, 3, dtype=dtype), integers(rng, 3, dtype=dtype)
            for word in words:
                check("depthwise_conv2d", x, w, b, **word, activation="relu6")
                check("depthwise_conv2d", x, w, **word)


def test_swept_rows_with_taps_that_are_not_finite(kernel_set):
    """Lanes beside a row are zeros, whose products with such taps would be NaN."""
    x, w = np.ones((1, 2, 6, 60), np.float32), np.ones((2, 1, 3, 3), np.float32)
    w[1, 0, 0, 0] = np.inf
    for stride in (1, 2):
        y = ds.depthwise_conv2d(x, w, padding=1, stride=stride)
        assert np.isfinite(y[0, 0]).all()
        assert np.isfinite(y[0, 1, 0]).all() and np.isfinite(y[0, 1, :, 0]).all()
        assert np.isinf(y[0, 1, 1:, 1:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [(9, 9), (11, 4), (4, 12), (31, 31), (9,), (31,)])
def test_staged_channels(kernel_set, kernel, dtype):
    """Channels last, many taps: x copied together, at once and in parts; 512 channels collide."""
    rng = np.random.default_rng(len(kernel))
    name, last = f"depthwise_conv{len(kernel)}d", dict(data_format="channels_last")
    cases = [((300,), 512), ((41,), 515)]
    if len(kernel) == 2:
        cases = [((40, 37), 19), ((9, 90), 33), ((70, 66), 5)]
    for sizes, channels in cases:
        x = integers(rng, *sizes, channels, dtype=dtype)
        w, b = integers(rng, channels, 1, *kernel, dtype=dtype), integers(rng, channels, dtype=dtype)
        check(name, x, w, b, padding="same", activation="relu", **last)
        check(name, x, w, padding="same", stride=3, **last)
        check(name, x, w, padding=kernel[0], dilation=2, **last)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_results_beyond_caches(kernel_set, data_format, dtype):
    """Whole lines are stored past the caches, what is before and behind them is not."""
    rng = np.random.default_rng(0)
    rows = 4 // np.dtype(dtype).itemsize  # as many bytes of either type
    shape, channels = (65, 304 * rows, 480), 65
    if data_format == "channels_last":
        shape, channels = (380 * rows, 390, 64), 64
    x, w = integers(rng, *shape, dtype=dtype), integers(rng, channels, 1, 3, 3, dtype=dtype)
    keywords = dict(padding="same", activation="relu", data_format=data_format)
    expected = reference.depthwise_conv2d(x, w, **keywords)
    memory = np.empty(x.size + 16, dtype)
    for offset in (0, 3, 12):
        out = memory[offset : offset + x.size].reshape(shape)
        memory[:] = np.nan
        ds.depthwise_conv2d(x, w, out=out, **keywords)
        np.testing.assert_array_equal(out, expected)
        assert np.isnan(memory).sum() == 16


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64, np.complex128])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_rows_alike_give_the_same_bits(kernel_set, data_format, dtype):
    """The order of summation does not depend on where a result lies, nor on the rows of its tile."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        values = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        return (values if np.dtype(dtype).kind == "c" else values.real).astype(dtype)

    for channels, width, kernel, rate, stride in (
        (64, 56, 3, 2, 1),
        (33, 31, 3, 3, 1),
        (17, 90, 5, 2, 1),
        (65, 30, 3, 2, 1),
        (256, 16, 3, 2, 1),
        (17, 33, 3, 1, 2),
    ):
        w, p, row = draw(channels, 1, kernel, kernel), draw(20, channels), draw(channels, 1, width)
        for height in (20, 37, 101):
            x = np.repeat(row, height, 1)
            axis = 1 if data_format == "channels_first" else 0
            if axis == 0:
                x = np.ascontiguousarray(np.moveaxis(x, 0, -1))
            y = ds.separable_conv2d(x, w, p, dilation=rate, stride=stride, data_format=data_format)
            y = np.moveaxis(y, axis, 0)
            assert (y == y[:1]).all()


@pytest.mark.parametrize("kernel", [(1, 1), (1, 7), (4, 4), (5, 5), (7, 7), (3, 1)])
def test_rolling_rows(kernel_set, kernel):
    rng = np.random.default_rng(1)
    for width in (3, 16, 33, 70):
        for rate in (1, 3, 12):
            x, w = integers(rng, 5, 14, width), integers(rng, 5, 1, *kernel)
            check("depthwise_conv2d", x, w, padding="same", dilation=rate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [(3, 3), (4, 4), (5, 5), (7, 7), (1, 3), (1, 5), (1, 7)], ids=str)
def test_overlapping_vectors(kernel_set, kernel, dtype):
    """Every width up to five vectors, borders on any lane; nothing is written beside the result."""
    k = kernel[1]
    rng = np.random.default_rng(k)
    for width in range(k, 41):
        for padding, rate in ((0, 1), ((k - 1) // 2, 1), (k // 2, 1), (k - 1, 1), (k, 2), (3 * k, 5)):
            if width + 2 * padding <= (k - 1) * rate:
                continue
            x, w = integers(rng, 3, 12, width, dtype=dtype), integers(rng, 3, 1, *kernel, dtype=dtype)
            words = {"padding": (padding, padding), "dilation": rate}
            expected = reference.depthwise_conv2d(x, w, **words)
            room = np.full(expected.size + 16, 99, dtype)
            out = room[8:-8].reshape(expected.shape)
            ds.depthwise_conv2d(x, w, out=out, **words)
            np.testing.assert_array_equal(out, expected, err_msg=f"{width=}, {padding=}, {rate=}")
            assert (room[:8] == 99).all() and (room[-8:] == 99).all()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_deep_kernels(kernel_set, depth):
    """3 x 3 taps in one to four slices, of which some lie outside."""
    rng = np.random.default_rng(depth)
    for width in (5, 14, 28, 33):
        for slices in (1, 2, 3, 4):
            x, w = integers(rng, 3, depth, 9, width), integers(rng, 3, 1, slices, 3, 3)
            check("depthwise_conv3d", x, w, padding=(slices - 1, 1, 1))
            check("depthwise_conv3d", x, w, padding=(slices - 1, 2, 2), dilation=(1, 2, 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deep_kernels_of_every_width(kernel_set, dtype):
    """Two and three vectors, the last within the one before; borders that the first holds or does not."""
    rng = np.random.default_rng(3)
    for width in range(9, 58):
        x, w = integers(rng, 2, 3, 26, width, dtype=dtype), integers(rng, 2, 1, 3, 3, 3, dtype=dtype)
        for rate in (1, 7, 8, 9, 12):
            check("depthwise_conv3d", x, w, padding=(1, 1, rate), dilation=(1, 1, rate))
        check("depthwise_conv3d", x, w, padding=(1, 0, 2), activation="relu6")


def test_deep_planes_beyond_the_first_level_cache(kernel_set):
    rng = np.random.default_rng(4)
    x, w = integers(rng, 2, 4, 70, 130), integers(rng, 2, 1, 3, 3, 3)
    check("depthwise_conv3d", x, w, padding=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_narrow_rows(kernel_set, activation, dtype):
    """Rows shorter than a vector, of results that are whole or parts of larger arrays."""
    rng = np.random.default_rng(6)
    for height, width in itertools.product((2, 3, 4, 7, 20), range(2, 9)):
        x, w = integers(rng, 5, height, width, dtype=dtype), integers(rng, 5, 1, 3, 3, dtype=dtype)
        b = integers(rng, 5, dtype=dtype)
        for padding, rate in (((1, 1), 1), ((2, 2), 2), ((1, 0), 1), ((0, 1), 1)):
            words = {"padding": padding, "dilation": rate, "activation": activation}
            if min(height + 2 * padding[0], width + 2 * padding[1]) <= 2 * rate:
                continue
            check("depthwise_conv2d", x, w, b, **words)
            expected = reference.depthwise_conv2d(x, w, b, **words)
            for beside in (1, 3):
                room = np.full((5, expected.shape[1] + 1, expected.shape[2] + beside), 99, dtype)
                out = room[:, :-1, :-beside]
                ds.depthwise_conv2d(x, w, b, out=out, **words)
                np.testing.assert_array_equal(out, expected)
                assert (room[:, -1] == 99).all() and (room[..., -beside:] == 99).all()


@pytest.mark.parametrize("outputs", [90, 96, 100, 200])
def test_packed_columns(kernel_set, outputs):
    """From about a hundred outputs on, columns may be copied together first; planes may exceed a panel."""
    rng = np.random.default_rng(outputs)
    for channels, shape in ((20, (9, 13)), (300, (14, 14)), (300, (31, 29))):
        x, w, p = (
            integers(rng, channels, *shape),
            integers(rng, channels, 1, 3, 3),
            integers(rng, outputs, channels),
        )
        check("pointwise_conv2d", x, p, activation="relu6")
        check("separable_conv2d", x, w, p, padding="same")
        check("separable_conv2d", x, w, p, padding=1, stride=2)


@pytest.mark.parametrize("channels", [20, 300, 1100])
def test_few_pixels(kernel_set, channels):
    """Outputs as lanes, in several blocks of channels."""
    rng = np.random.default_rng(channels)
    for sizes in ((1, 1), (3, 3), (7, 7), (2, 25)):
        for outputs in (16, 49, 100):
            x, p = integers(rng, channels, *sizes), integers(rng, outputs, channels)
            check("pointwise_conv2d", x, p, integers(rng, outputs), activation="relu")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [64, 83, 1100])
def test_last_pixels_of_a_plane(kernel_set, channels, dtype):
    """One to four pixels more than whole vectors are summed along the channels, in every cut of the plane."""
    rng = np.random.default_rng(channels)
    before = _core.set_parallel_threshold(0)
    try:
        for sizes in ((7, 7), (14, 14), (3, 11), (2, 17), (1, 49), (17, 3), (2, 5, 5)):
            rank, outputs = len(sizes), 37
            x, p = (
                integers(rng, 2, channels, *sizes, dtype=dtype),
                integers(rng, outputs, channels, dtype=dtype),
            )
            w, b = (
                integers(rng, channels, 1, *(3,) * rank, dtype=dtype),
                integers(rng, outputs, dtype=dtype),
            )
            for threads in (1, 2, 5):
                with ds.num_threads(threads):
                    check(f"pointwise_conv{rank}d", x, p, b, activation="relu")
                    call = f"pointwise_conv{rank}d", x, p
                    y = getattr(ds, call[0])(*call[1:], activation="hardswish")
                    assert_equivalent(y, *call, activation="hardswish")
                    check(f"separable_conv{rank}d", x, w, p, None, b, padding=1)
    finally:
        _core.set_parallel_threshold(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_last_pixels_after_whole_groups(kernel_set, dtype):
    """Pixels that are copied in groups, of which the last would be one vector and some pixels."""
    rng = np.random.default_rng(2)
    w = integers(rng, 17, 600, dtype=dtype)
    x = integers(rng, 600, 2 * 330, dtype=dtype)
    every = reference.pointwise_conv1d(x[:, ::2], w)
    for pixels in range(40, 330):
        y = ds.pointwise_conv1d(x[:, : 2 * pixels : 2], w)
        np.testing.assert_array_equal(y, every[:, :pixels], err_msg=str(pixels))


def test_last_pixels_of_spread_arrays(kernel_set):
    """Pixels, rows, channels and weights that are not neighbours in memory."""
    rng = np.random.default_rng(9)
    wide, p = integers(rng, 80, 14, 28), integers(rng, 50, 160)
    check("pointwise_conv2d", wide[:, :7, ::4], p[:, ::2])
    check("pointwise_conv2d", wide[::-1, :7, 7:14], p[:, :80])
    x, w = integers(rng, 80, 7, 7), integers(rng, 80, 1, 3, 3)
    expected = reference.separable_conv2d(x, w, p[:, :80], padding=1)
    for out in (np.zeros((50, 7, 14), np.float32)[..., ::2], np.zeros((50, 7, 9), np.float32)[..., 1:8]):
        ds.separable_conv2d(x, w, p[:, :80], padding=1, out=out)
        np.testing.assert_array_equal(out, expected)
        assert not out.base[..., 0 if out.base.shape[-1] == 9 else 1].any()


@pytest.mark.parametrize("shape", [(16, 64, 64), (200, 32, 32), (40, 33, 31)])
def test_lines_read_where_they_lie(kernel_set, shape):
    """Rows of pixels so far apart that they share cache sets are packed, others read in place."""
    rng = np.random.default_rng(2)
    x, p = integers(rng, *shape), integers(rng, 24, shape[0])
    check("pointwise_conv2d", x, p, integers(rng, 24), activation="relu6")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
@pytest.mark.parametrize("channels", [64, 80, 100])
def test_dense_channels_at_any_alignment(kernel_set, channels, dtype):
    """Results that are aligned alike in every pixel begin with a vector of fewer channels."""
    rng = np.random.default_rng(channels)
    x, w = integers(rng, 5, 9, channels, dtype=dtype), integers(rng, channels, 1, 3, 3, dtype=dtype)
    expected = reference.depthwise_conv2d(x, w, padding=1, data_format="channels_last")
    for offset in range(17):
        memory = np.zeros(x.size + 32, dtype)
        out = memory[offset : offset + x.size].reshape(x.shape)
        for threads in (1, 2, 3):
            with ds.num_threads(threads):
                ds.depthwise_conv2d(x, w, padding=1, data_format="channels_last", out=out)
            np.testing.assert_array_equal(out, expected, err_msg=f"{offset} elements, {threads} threads")
        assert not memory[:offset].any() and not memory[offset + x.size :].any()


SHARED = {
    "outputs of a small plane": ("separable_conv2d", (300, 7, 7), 3, 200, {}),
    "outputs of a pixel": ("pointwise_conv2d", (300, 1, 1), None, 1000, {}),
    "outputs of some pixels": ("pointwise_conv2d", (90, 14, 14), None, 130, {}),
    "odd rows": ("separable_conv2d", (64, 29, 31), 3, 64, {}),
    "columns": ("separable_conv1d", (64, 3001), 9, 64, {}),
    "planes": ("depthwise_conv2d", (33, 40, 41), 3, None, {}),
    "channels of one row": ("depthwise_conv1d", (200, 700), 31, None, {}),
    "channels of dilated rows": ("depthwise_conv2d", (72, 33, 35), 3, None, {"dilation": 6}),
    "transposed": ("depthwise_conv_transpose2d", (48, 21, 23), 4, None, {"stride": 2}),
    "complex": ("separable_conv2d", (40, 30, 31), 3, 60, {"dtype": np.complex64}),
    "half": ("depthwise_conv2d", (40, 60, 61), 3, None, {"dtype": np.float16}),
}


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("name", SHARED)
def test_threads_share(kernel_set, name, data_format):
    """However a call is shared among threads, the same bits come out, and they are right."""
    function, shape, kernel, outputs, options = SHARED[name]
    options = dict(options)
    dtype = np.dtype(options.pop("dtype", np.float32))
    rng = np.random.default_rng(5)
    x = rng.standard_normal(shape).astype(dtype)
    args = [x] if data_format == "channels_first" else [np.ascontiguousarray(np.moveaxis(x, 0, -1))]
    if kernel:
        args.append(rng.standard_normal((shape[0], 1) + (kernel,) * (len(shape) - 1)).astype(dtype))
    if outputs:
        args.append(rng.standard_normal((outputs, shape[0])).astype(dtype))
    if kernel and "transpose" not in function:
        options["padding"] = "same"
    call = lambda module: getattr(module, function)(*args, data_format=data_format, **options)  # noqa: E731
    before = _core.set_parallel_threshold(0)
    try:
        results = []
        for threads in (1, 2, 3, 5):
            with ds.num_threads(threads):
                results.append(call(ds))
    finally:
        _core.set_parallel_threshold(before)
    wide = [each.astype(np.result_type(dtype, np.float64)) for each in args]
    exact = getattr(reference, function)(*wide, data_format=data_format, **options)
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    bound = float(np.abs(exact).max()) * 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(results[0], exact, rtol=0, atol=bound)


def windows_by_hand(layer, x):
    """The standard convolution in float64: windows of the padded image times the weights."""
    pairs = [(0, 0), (0, 0), *nn.standard.padding_pairs(layer.window, x.shape[2:])]
    mode = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}.get(
        layer.padding_mode, layer.padding_mode
    )
    padded = np.pad(x.astype(np.float64), pairs, mode)
    window = layer.window
    reach = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilation, strict=True)]
    axes = tuple(range(2, x.ndim))
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axes)
    every = tuple(slice(None, None, s) for s in window.stride)
    views = views[(slice(None), slice(None), *every, *(slice(None, None, d) for d in window.dilation))]
    rank = len(axes)
    y = np.tensordot(views, layer.weight, ((1, *range(2 + rank, 2 + 2 * rank)), (1, *range(2, 2 + rank))))
    return np.moveaxis(y + (0 if layer.bias is None else layer.bias), -1, 1)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_standard_convolution(kernel_set, rank, data_format):
    """Exact on integers: more summands than one pass takes, few outputs and many, every stride."""
    rng = np.random.default_rng(rank)
    for trial in range(24):
        most = (130, 70, 50)[rank - 1] if trial % 2 else 12
        channels, outputs = int(rng.integers(1, most)), int(rng.integers(1, (130, 70, 50)[rank - 1]))
        layer = getattr(nn, f"Conv{rank}d")(
            channels,
            outputs,
            tuple(rng.integers(1, 5, rank).tolist()),
            stride=int(rng.integers(1, 6)),
            padding=["same", 0, 1, 2][trial % 4],
            dilation=int(rng.integers(1, 3)),
            padding_mode=["zeros", "reflect", "replicate", "circular", "symmetric"][trial % 5],
            bias=bool(trial % 3),
            data_format=data_format,
            dtype=["float32", "float64"][trial // 2 % 2],
        )
        layer.weight[...] = rng.integers(-4, 5, layer.weight.shape)
        if layer.bias is not None:
            layer.bias[...] = rng.integers(-4, 5, layer.bias.shape)
        sizes = rng.integers(9, (300, 45, 13)[rank - 1], rank)
        x = rng.integers(-4, 5, (2, channels, *sizes)).astype(layer.weight.dtype)
        expected = windows_by_hand(layer, x)
        given = x if data_format == "channels_first" else np.moveaxis(x, 1, -1)
        for threads in (1, 2):
            with ds.num_threads(threads):
                y = layer(given.copy())
                np.testing.assert_array_equal(layer(given), y)
            y = y if data_format == "channels_first" else np.moveaxis(y, -1, 1)
            np.testing.assert_array_equal(y, expected, err_msg=repr(layer))


def test_standard_convolution_wants_dense_rows():
    spec = ds.gufuncs.canonical("standard_conv", 1, {})
    ufunc = ds.gufuncs.ufunc_of(spec)
    weight = np.ones((4, 3, 10), np.float32)[:, :, ::2]
    with pytest.raises(ValueError, match="weight must be dense"):
        ufunc(np.ones((3, 20), np.float32), weight)
    assert ufunc(np.ones((3, 20), np.float32), weight.copy()).shape == (4, 16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_pixels(kernel_set, dtype):
    """Alone and beside vectors; weights at every alignment, odd sizes, more summands than one pass takes."""
    rng = np.random.default_rng(2)
    for depth in (15, 16, 17, 40, 64, 1024, 1100):
        for outputs in (16, 17, 31, 100):
            memory = integers(rng, outputs * depth + 16, dtype=dtype)
            for offset in (0, 1, 4, 9):
                weight = memory[offset : offset + outputs * depth].reshape(outputs, depth)
                x, bias = integers(rng, depth, 1, 1, dtype=dtype), integers(rng, outputs, dtype=dtype)
                check("pointwise_conv2d", x, weight, bias, activation="relu")
                check("pointwise_conv1d", x[:, 0], weight)
                check("pointwise_conv2d", integers(rng, depth, 7, 7, dtype=dtype), weight, bias)
            taps = integers(rng, depth, 1, 3, 3, dtype=dtype)
            check("separable_conv2d", integers(rng, depth, 3, 3, dtype=dtype), taps, weight)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_tap_that_is_not_finite(kernel_set, value):
    """It meets what exists and no padded zero, in its own channel only, whatever shares its tile."""
    rng = np.random.default_rng(3)
    for width, stride in ((7, 1), (14, 1), (37, 1), (14, 2), (40, 2), (14, 3)):
        x, w = integers(rng, 9, 13, width) + np.float32(0.5), integers(rng, 9, 1, 3, 3)
        w[4, 0, 0, 2] = value
        check("depthwise_conv2d", x, w, padding=1, stride=stride)
        check("depthwise_conv2d", x.astype(np.float16), w.astype(np.float16), padding=1, stride=stride)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("width", [64, 65, 67, 93])
def test_rows_of_one_residue(kernel_set, width, data_format):
    """A large dilated separable layer, by rows modulo the dilation: few and many, some without any input."""
    rng = np.random.default_rng(width)
    for height, kernel, dilation, padding in (
        (40, 3, 2, 2), (40, 3, 6, 6), (41, 5, 3, 1), (13, 3, 6, 0), (17, 2, 8, 7), (9, 3, 4, 12),
        (30, (3, 1), 5, 5), (31, 4, 7, 9), (50, 3, 24, 24),
    ):  # fmt: skip
        kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        channels = -(-(1 << 18) // (height * width)) + 1  # 1 MiB and more
        x, w = integers(rng, channels, height, width), integers(rng, channels, 1, *kernel)
        p, b = integers(rng, 18, channels), integers(rng, 18)
        x = x if data_format == "channels_first" else np.moveaxis(x, 0, -1).copy()
        for threads in (1, 2):
            with ds.num_threads(threads):
                words = {"padding": (padding, dilation), "dilation": dilation, "data_format": data_format}
                check("separable_conv2d", x, w, p, None, b, depthwise_activation="relu", **words)


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_clamps_keep_nan_quietly(kernel_set, activation):
    """An input that is no number makes results that are none, and no warning."""
    x = np.zeros((16, 5, 40), np.float32)
    x[3, 2, 7] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layout, axis in ("channels_first", 0), ("channels_last", 2):
            words, given = dict(data_format=layout, activation=activation), np.moveaxis(x, 0, axis).copy()
            y = ds.depthwise_conv2d(given, np.ones((16, 1, 3, 3), np.float32), padding=1, **words)
            assert np.isnan(y).sum() == 9
            y = ds.pointwise_conv2d(given, np.ones((20, 16), np.float32), **words)
            assert np.isnan(y).sum() == 20
