"""Output sizes in exact Python integers, from the spatial sizes of input and kernel."""

from .geometry import (
    INT64_MAX,
    TRANSPOSED_PADDINGS,
    canonical_output,
    canonical_padding,
    items_of,
    per_axis,
)


def conv_output_size(input_size, kernel_size, *, stride=1, padding=0, dilation=1):
    """Spatial size of a convolution's result.

    Parameters
    ----------
    input_size, kernel_size : int or tuple of int
        Spatial sizes, without batch and channels. With two ints the rank is 1 and the result is an int;
        with a tuple in either place the result is a tuple.
    stride, dilation : int or tuple of int
        As in `depthwise_conv2d`.
    padding : int, tuple or str
        As in `depthwise_conv2d`.

    Returns
    -------
    int or tuple of int
        ``floor((input + low + high - dilation*(kernel - 1) - 1) / stride) + 1`` for each axis.

    Raises
    ------
    ValueError
        Where the numerator is below 0, that is where the dilated kernel is longer than the padded input,
        and for arguments out of range.
    OverflowError
        Where a size exceeds the 64-bit integers.

    Examples
    --------
    >>> import dsconv as ds
    >>> ds.conv_output_size(224, 3, stride=2, padding=1)
    112
    >>> ds.conv_output_size((5, 7), 3, padding="same", stride=2)
    (3, 4)
    """
    rank, (sizes, kernel, stride, dilation), unpack = _arguments(input_size, kernel_size, stride, dilation)
    return unpack(output_sizes(sizes, kernel, stride, dilation, canonical_padding(padding, rank)))


def _arguments(input_size, kernel_size, stride, dilation):
    """The rank, all arguments per axis, and what to do with the result: an int if both sizes are ints."""
    items = next((i for i in (items_of(input_size), items_of(kernel_size)) if i is not None), None)
    rank = 1 if items is None else len(items)
    if rank == 0:
        raise ValueError("input_size, kernel_size: expected at least one spatial axis, got ()")
    given = (
        per_axis(input_size, "input_size", rank, 0),
        per_axis(kernel_size, "kernel_size", rank, 1),
        per_axis(stride, "stride", rank, 1),
        per_axis(dilation, "dilation", rank, 1),
    )
    return rank, given, (lambda result: result[0]) if items is None else tuple


def output_sizes(sizes, kernel, stride, dilation, padding):
    """`conv_output_size` on canonical tuples; `padding` as `canonical_padding` returns it."""
    kind, low, high = padding
    return tuple(
        _output_size(axis, kind, *each)
        for axis, each in enumerate(zip(sizes, kernel, stride, dilation, low, high, strict=True))
    )


def _output_size(axis, kind, size, kernel, stride, dilation, low, high):
    reach = dilation * (kernel - 1)
    if kind == "full":
        low = high = reach
    elif kind == "causal" and axis == 0:
        low = reach
    elif kind != "explicit":
        # "same" is defined by its result, whatever padding that takes
        low, high = max(((size + stride - 1) // stride - 1) * stride + reach + 1 - size, 0), 0
    padded = size + low + high
    terms = f"spatial axis {axis}: input {size}, padding {low} + {high}, dilation {dilation}, kernel {kernel}"
    if max(padded, reach) > INT64_MAX:
        raise OverflowError(f"padding, dilation: the padded size does not fit a 64-bit integer: {terms}")
    if padded - reach - 1 < 0:
        raise ValueError(
            "kernel_size: the dilated kernel must not be longer than the padded input: "
            f"dilation*(kernel - 1) + 1 = {reach + 1} > input + low + high = {padded} ({terms})"
        )
    return (padded - reach - 1) // stride + 1


# ---- transposed convolutions ---------------------------------------------------------------------
_TRANSPOSED_RULE = "(input - 1)*stride - low - high + dilation*(kernel - 1) + 1"


def conv_transpose_output_size(
    input_size, kernel_size, *, stride=1, padding=0, output_padding=0, output_size=None, dilation=1
):
    """Spatial size of a transposed convolution's result.

    Parameters
    ----------
    input_size, kernel_size : int or tuple of int
        Spatial sizes, without batch and channels. With two ints the rank is 1 and the result is an int;
        with a tuple in either place the result is a tuple.
    stride, dilation : int or tuple of int
        As in `depthwise_conv_transpose2d`.
    padding : int, tuple or str
        As in `depthwise_conv_transpose2d`: what is cut off, or ``"same"``.
    output_padding, output_size : int or tuple of int
        As in `depthwise_conv_transpose2d`. An `output_size` is returned, if it is one that can be had.

    Returns
    -------
    int or tuple of int
        ``(input - 1)*stride - low - high + dilation*(kernel - 1) + 1 + output_padding`` for each axis, and
        ``input*stride`` with ``padding="same"``.

    Raises
    ------
    ValueError
        Where that is less than 1, and for arguments out of range.
    OverflowError
        Where a size exceeds the 64-bit integers.

    Examples
    --------
    >>> import dsconv as ds
    >>> ds.conv_transpose_output_size(112, 3, stride=2, padding=1, output_padding=1)
    224
    >>> ds.conv_transpose_output_size((3, 4), 3, padding="same", stride=2)
    (6, 8)
    """
    rank, (sizes, kernel, stride, dilation), unpack = _arguments(input_size, kernel_size, stride, dilation)
    padding = canonical_padding(padding, rank, words=TRANSPOSED_PADDINGS)
    extra, wanted = canonical_output(output_padding, output_size, padding[0], stride, dilation, rank)
    return unpack(transposed_sizes(sizes, kernel, stride, dilation, padding, extra, wanted))


def transposed_sizes(sizes, kernel, stride, dilation, padding, extra, wanted=()):
    """`conv_transpose_output_size` on canonical tuples; `wanted` is () or the sizes asked for."""
    kind, low, high = padding
    wanted = wanted or (None,) * len(sizes)
    return tuple(
        _transposed_size(axis, kind, *each)
        for axis, each in enumerate(
            zip(sizes, kernel, stride, dilation, low, high, extra, wanted, strict=True)
        )
    )


def transposed_range(kind, size, kernel, stride, dilation, low, high):
    """The least and the greatest output size along one axis."""
    if kind != "explicit":
        return size * stride, size * stride
    least = (size - 1) * stride - low - high + dilation * (kernel - 1) + 1
    return least, least + max(stride, dilation) - 1


def _transposed_size(axis, kind, size, kernel, stride, dilation, low, high, extra, wanted):
    least, most = transposed_range(kind, size, kernel, stride, dilation, low, high)
    terms = (
        f"spatial axis {axis}: input {size}, stride {stride}, padding {low} + {high}, dilation {dilation}, "
        f"kernel {kernel}"
    )
    rule = _TRANSPOSED_RULE if kind == "explicit" else "input*stride"
    if max(size * stride, dilation * (kernel - 1), low + high, least + extra) > INT64_MAX:
        raise OverflowError(f"stride, padding, dilation: {rule} does not fit a 64-bit integer: {terms}")
    if wanted is not None and not least <= wanted <= most:
        allowed = f"from {rule} = {least} to {most}" if least < most else f"{rule} = {least}"
        raise ValueError(f"output_size: must be {allowed}, got {wanted} ({terms})")
    result = least + extra if wanted is None else wanted
    if result < 1:
        raise ValueError(
            f"padding: at least one element of the output must be left, got {rule} + output_padding = "
            f"{result} ({terms}, output_padding {extra})"
        )
    return result
