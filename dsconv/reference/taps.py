"""The three sums behind all depthwise operations.

Along each axis there is a coarse grid, of the outputs of a convolution or the inputs of a transposed one, and
a fine grid. Coarse position a meets fine position `a*stride + t*dilation - low` through tap t:

    gather       coarse[c, m, a] = sum over t              of  weight[c, m, t] * fine[c, m, .]
    scatter      fine[c, m, b]   = sum over t, a meeting b of  weight[c, m, t] * coarse[c, m, a]
    correlate    taps[c, m, t]   = sum over a              of  fine[c, m, .] * coarse[c, m, a]

What lies outside the fine grid is skipped. Maps are `(..., C, M, *spatial)`, with an M of 1 where all M share
a channel, and weights `(..., C, M, *kernel)`. None of these conjugates anything.
"""

import itertools

import numpy as np


def gather(fine, weight, coarse_size, low, geometry):
    """Add up tap by tap, each over the coarse positions for which it falls inside the fine grid."""
    rank = geometry.rank
    coarse = np.zeros((*_lead_and_channels(fine, weight, rank), *coarse_size), np.result_type(fine, weight))
    for tap, factor in _taps(weight, rank):
        above, below = meeting(tap, coarse_size, fine.shape[-rank:], low, geometry)
        coarse[(..., *above)] += factor * fine[(..., *below)]
    return coarse


def scatter(coarse, weight, fine_size, low, geometry):
    """The adjoint of `gather`: every coarse position hands its value, weighted, to those it reads there."""
    rank = geometry.rank
    fine = np.zeros((*_lead_and_channels(coarse, weight, rank), *fine_size), np.result_type(coarse, weight))
    for tap, factor in _taps(weight, rank):
        above, below = meeting(tap, coarse.shape[-rank:], fine_size, low, geometry)
        fine[(..., *below)] += factor * coarse[(..., *above)]
    return fine


def correlate(fine, coarse, kernel, low, geometry):
    """Return the taps `(C, M, *kernel)`, each summed over all leading axes and coarse positions."""
    rank = geometry.rank
    channels, multiplier = np.broadcast_shapes(fine.shape[-rank - 2 : -rank], coarse.shape[-rank - 2 : -rank])
    taps = np.zeros((channels, multiplier, *kernel), np.result_type(fine, coarse))
    lead = range(fine.ndim - rank - 2)
    summed = (*lead, *range(-rank, 0))
    for tap in itertools.product(*map(range, kernel)):
        above, below = meeting(tap, coarse.shape[-rank:], fine.shape[-rank:], low, geometry)
        products = fine[(..., *below)] * coarse[(..., *above)]
        taps[(..., *tap)] = products.sum(summed, dtype=taps.dtype)
    return taps


def meeting(tap, coarse_size, fine_size, low, geometry):
    """Return the coarse positions that meet the fine grid through a tap, and where, as slices per axis."""
    axes = [
        reached(tap[axis] * geometry.dilation[axis] - low[axis], fine_size[axis], coarse_size[axis], stride)
        for axis, stride in enumerate(geometry.stride)
    ]
    return zip(*axes, strict=True)


def reached(offset, fine_size, coarse_size, stride):
    """Return the coarse a for which `a*stride + offset` exists, and those positions, as two slices."""
    first = max(0, -(offset // stride))
    last = min(coarse_size - 1, (fine_size - 1 - offset) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(first * stride + offset, last * stride + offset + 1, stride)


def _lead_and_channels(maps, weight, rank):
    return np.broadcast_shapes(maps.shape[:-rank], weight.shape[:-rank])


def _taps(weight, rank):
    """Yield every tap and its weights, which broadcast with maps."""
    for tap in itertools.product(*map(range, weight.shape[-rank:])):
        yield tap, weight[(..., *tap, *(np.newaxis,) * rank)]
