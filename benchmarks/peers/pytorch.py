"""PyTorch, eager, in inference mode, in both memory formats."""

import torch
import torch.nn.functional as F

from ..arrays import Contender
from . import _network_torch

DISTRIBUTION = "torch"
FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}

# Entered once for the whole run: inside the clock it would cost each call a microsecond.
_inference = torch.inference_mode()
_inference.__enter__()


def prepare(row, arrays, threads, name="torch"):
    torch.set_num_threads(threads)
    formats = (False, True) if row.rank in FORMATS else (False,)
    return [_contender(row, arrays, last, name) for last in formats]


def prepare_network(net, x, threads):
    """A folded network with channels first, eager, in both memory formats."""
    torch.set_num_threads(threads)
    return [_network(net, x, last) for last in (False, True)]


def _network(net, x, last):
    run, given = _network_torch.build(net, x.shape, last), torch.from_numpy(x)
    if last:
        given = given.contiguous(memory_format=torch.channels_last)
    name = f"torch {'channels_last' if last else 'channels_first'}"
    return Contender(name, lambda: run(given), lambda: run(given).contiguous().numpy())


def _contender(row, arrays, last, name):
    def place(array):
        tensor = torch.from_numpy(array)
        return tensor.contiguous(memory_format=FORMATS[row.rank]) if last else tensor

    weight = arrays.depthwise
    if not row.transposed:
        weight = weight.reshape(row.hidden_channels, 1, *row.kernel)
    x, weight = place(arrays.x), place(weight)
    if row.task != "forward":
        run = _backward(row, x, weight, place(arrays.grad))
    elif row.separable:
        run = _separable(
            row, x, weight, place(arrays.pointwise.reshape(*arrays.pointwise.shape, *(1,) * row.rank))
        )
    else:
        run = _depthwise(row, x, weight)

    def result():
        value = run()
        if row.task == "weight_grad":
            value = value.reshape(arrays.depthwise.shape)
        return value.contiguous().numpy()

    return Contender(f"{name} {'channels_last' if last else 'channels_first'}", run, result)


def _depthwise(row, x, weight):
    if row.transposed:
        transpose = getattr(F, f"conv_transpose{row.rank}d")
        return lambda: transpose(x, weight, None, row.stride, row.padding, 0, row.channels, row.dilation)
    convolve = getattr(F, f"conv{row.rank}d")
    return lambda: convolve(x, weight, None, row.stride, row.padding, row.dilation, row.channels)


def _separable(row, x, weight, pointwise):
    depthwise = _depthwise(row, x, weight)
    mix = getattr(F, f"conv{row.rank}d")
    return lambda: mix(depthwise(), pointwise)


def _backward(row, x, weight, grad):
    backward = torch.ops.aten.convolution_backward
    mask = (row.task == "input_grad", row.task == "weight_grad", False)
    which = mask.index(True)
    axes = (1,) * row.rank
    stride, dilation = [row.stride * n for n in axes], [row.dilation * n for n in axes]
    rest = (stride, row.padding, dilation, row.transposed, (0,) * row.rank, row.channels, mask)
    return lambda: backward(grad, x, weight, None, *rest)[which]
