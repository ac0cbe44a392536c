"""A traced network as a function of PyTorch tensors, eager, activations in place."""

import torch
import torch.nn.functional as F

from ..arrays import Unsupported
from ..trace import steps


def build(net, shape, last):
    """The function; `last` puts weights and maps into PyTorch's channels-last format."""
    plan = [(step.inputs, step.output, _function(step, last)) for step in steps(net, shape)]
    until = {each: position for position, (inputs, _, _) in enumerate(plan) for each in inputs}
    # what nothing needs any more is dropped, as local variables of a module are
    dropped = [[each for each, last in until.items() if last == position] for position in range(len(plan))]

    def run(x):
        maps = {0: x}
        for (inputs, output, function), gone in zip(plan, dropped, strict=True):
            maps[output] = function(*[maps[each] for each in inputs])
            for each in gone:
                del maps[each]
        return maps[output]

    return run


def _function(step, last):
    if step.kind == "add":
        return lambda one, other: one + other
    if step.kind == "mean":
        return lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)
    if step.activation not in _ACTIVATIONS:
        raise Unsupported(f"no rule for the activation {step.activation}")
    finish = _ACTIVATIONS[step.activation]
    weight = torch.from_numpy(step.weight.copy())
    bias = None if step.bias is None else torch.from_numpy(step.bias.copy())
    if step.kind == "linear":
        return lambda x: finish(F.linear(x, weight, bias))
    if last:
        weight = weight.contiguous(memory_format=torch.channels_last)
    stride, dilation, groups = step.window.stride, step.window.dilation, step.groups
    pads = [low for low, _ in step.pads]
    if all(low == high for low, high in step.pads):
        return lambda x: finish(F.conv2d(x, weight, bias, stride, pads, dilation, groups))
    # an odd pixel at the end takes a copy, as in every port of TensorFlow's networks
    around = [size for pair in reversed(step.pads) for size in pair]
    return lambda x: finish(F.conv2d(F.pad(x, around), weight, bias, stride, 0, dilation, groups))


_ACTIVATIONS = {
    None: lambda y: y,
    "relu": torch.relu_,
    "relu6": lambda y: F.hardtanh_(y, 0.0, 6.0),
}
