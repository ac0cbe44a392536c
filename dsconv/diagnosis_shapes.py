"""What can be wrong with the shapes of a refused call. Each check returns the error to raise, or None."""

from .failed_call import text
from .sizes import output_sizes, transposed_range, transposed_sizes


def _axes(call):
    for name, role, array in call.operands():
        axes = call.axes(role)
        if len(array.shape) < len(axes):
            return ValueError(
                f"{name}: expected at least {len(axes)} axes, {text(('...', *axes))}, "
                f"got {len(array.shape)}: shape {text(array.shape)}"
            )
    return None


def _channels(call):
    rank, x = call.rank, call.array("x")
    if x is None:
        return None
    channels, middle, _ = call.channels()
    name, weight = call.named("depthwise_weight")
    if weight is not None and weight.shape[-rank - 2] != channels:
        kernel = weight.shape[-rank:]
        return ValueError(
            f"{name}: the channels must be those of x, C = {channels}: expected shape "
            f"{text((channels, 'M', *kernel))}{_other_form(call, weight, channels)}, "
            f"got {text(weight.shape)} with x of shape {text(x.shape)}"
            + _format_hint(call, weight.shape[-rank - 2])
        )
    name, weight = call.named("pointwise_weight")
    if weight is not None and weight.shape[-1] != middle:
        rule = f"C = {channels}" if middle == channels else f"C*M = {middle}"
        return ValueError(
            f"{name}: the last axis must have the length {rule}: expected shape {text(('O', middle))}, or "
            f"{text(('O', middle, *[1] * rank))} as in PyTorch, got {text(weight.shape)} with x of shape "
            f"{text(x.shape)}" + _format_hint(call, weight.shape[-1])
        )
    return None


def _other_form(call, weight, channels):
    rows, multiplier, *kernel = weight.shape[-call.rank - 2 :]
    if not call.transposed:
        return f", or {text((f'{channels}*M', 1, *kernel))} as in PyTorch"
    if multiplier == 1 and channels and rows % channels == 0:
        return f" (the form {text(('C*M', 1, *kernel))} is for convolutions that are not transposed)"
    return ""


def _format_hint(call, wanted):
    here, other = "channels_first", "channels_last"
    axis = -1
    if call.spec.channels_last:
        here, other, axis = other, here, -call.rank - 1
    if call.array("x").shape[axis] == wanted:
        return f" and data_format={here!r}; did you mean data_format={other!r}?"
    return f" and data_format={here!r}"


def _sizes(call):
    """A transposed convolution whose output size cannot be had."""
    if not call.transposed or call.result != "y" or 0 in call.window()[1]:
        return None
    try:
        spec = call.spec
        transposed_sizes(*call.window(), call.padding(), spec.output_padding, spec.sizes)
    except ValueError as error:
        return error.with_traceback(None)  # which holds this frame, and so the arrays of the call
    except OverflowError:
        pass  # as the hook has said
    return None


def _biases(call):
    _, middle, last = call.channels()
    for role, length in (("depthwise_bias", middle), ("pointwise_bias", last)):
        name, bias = call.named(role)
        if bias is not None and bias.shape[-1] != length:
            axes = call.axes(role)
            return ValueError(
                f"{name}: one value for each of {axes[0]} = {length} channels is needed: expected shape "
                f"({length},), got {text(bias.shape)}"
            )
    return None


# ---- gradients -----------------------------------------------------------------------------------
def _grad_channels(call):
    """The channels of grad_output, against the weight or x, whichever there is."""
    given, (channels, middle, _) = call.channels_of("grad_output"), call.channels()
    if given is None or (call.pointwise and call.array("x") is not None):
        return None
    if call.array("x") is None:
        name, weight = call.named("pointwise_weight" if call.pointwise else "depthwise_weight")
        needed = weight.shape[-2] if call.pointwise else middle
        if given == needed:
            return None
        rule = f"those that {name} of shape {text(weight.shape)} makes: {needed}"
    elif given % channels == 0 if channels else given == 0:
        return None
    else:
        needed, rule = f"{channels}*M", f"a multiple of those of x, C = {channels}"
    expected = call.ordered(needed, call.spatial_of("grad_output"))
    return ValueError(
        f"grad_output: the number of channels must be {rule}: expected shape {text(('...', *expected))}, "
        f"got {text(call.array('grad_output').shape)} and data_format="
        f"{'channels_last' if call.spec.channels_last else 'channels_first'!r}"
    )


def _grad_sizes(call):
    """The spatial sizes of grad_output, against those of the result that it is the gradient of."""
    gradient = call.array("grad_output")
    if gradient is None or (call.pointwise and call.array("x") is None):
        return None
    given = call.spatial_of("grad_output")
    allowed = _result_ranges(call)
    if allowed is None or all(a <= size <= b for size, (a, b) in zip(given, allowed, strict=True)):
        return None
    needed = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in allowed)
    sizes, kernel, *_ = call.window()
    if call.pointwise:
        terms = "that of x"
    elif "x" in call.roles:
        terms = f"that of the result for an input of {text(sizes)} and kernel_size={text(kernel)}"
    else:
        terms = f"that of the result for input_size={text(sizes)} and a kernel of {text(kernel)}"
    return ValueError(
        f"grad_output: the spatial size must be {terms}, ({needed}{',' if call.rank == 1 else ''}); got "
        f"{text(given)} in shape {text(gradient.shape)}"
    )


def _result_ranges(call):
    """The least and the greatest size of the forward operation's result, along each axis."""
    if call.pointwise:
        return [(size, size) for size in call.spatial_of("x")]
    try:
        if not call.transposed:
            return [(size, size) for size in output_sizes(*call.window(), call.padding())]
        kind, low, high = call.padding()
        axes = zip(*call.window(), low, high, strict=True)
        return [(max(least, 1), most) for least, most in (transposed_range(kind, *each) for each in axes)]
    except (ValueError, OverflowError):
        # the hook has said so already
        return None


# ---- leading axes --------------------------------------------------------------------------------
def broadcast(shapes):
    """The common shape, or None. Unlike numpy.broadcast_shapes it takes any length."""
    rank = max(map(len, shapes))
    result = []
    for column in zip(*[(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes], strict=True):
        lengths = set(column) - {1}
        if len(lengths) > 1:
            return None
        result.append(lengths.pop() if lengths else 1)
    return tuple(result)


def leading_shapes(call):
    return [array.shape[: len(array.shape) - call.core(role)] for _, role, array in call.operands()]


def _leading(call):
    leading = leading_shapes(call)
    if broadcast(leading) is not None:
        return None
    pairs = zip(call.names, leading, strict=True)
    listed = ", ".join(f"{name} {text(shape)}" for name, shape in pairs if shape)
    return ValueError(
        f"{', '.join(call.names)}: the leading axes must broadcast against one another, got {listed}"
    )


CHECKS = (_axes, _channels, _grad_channels, _biases, _sizes, _grad_sizes, _leading)
