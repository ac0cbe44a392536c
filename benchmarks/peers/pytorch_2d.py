"""PyTorch on rank 1 rows rewritten as rank 2 rows of height 1, which have two memory formats."""

from dataclasses import replace

from ..arrays import Arrays, Contender, Unsupported
from . import pytorch

DISTRIBUTION = pytorch.DISTRIBUTION


def prepare(row, arrays, threads):
    if row.rank != 1:
        raise Unsupported("1D only")
    if row.stride != 1 or row.transposed:
        raise Unsupported("stride 1 only")
    flat = replace(row, spatial=(1, *row.spatial), kernel=(1, *row.kernel), padding=(0, *row.padding))
    lifted = Arrays(
        _lift(arrays.x),
        _lift(arrays.depthwise),
        arrays.pointwise,
        None if arrays.grad is None else _lift(arrays.grad),
    )
    return [_lowered(contender) for contender in pytorch.prepare(flat, lifted, threads, "torch2d")]


def _lift(array):
    return array[:, :, None]


def _lowered(contender):
    return Contender(contender.name, contender.call, lambda: contender.result().squeeze(2))
