"""Shapes that nobody tuned for, a few of each kind: what the listed workloads are not.

Sizes keep a call short, except for those meant to exceed the last-level cache.
"""

from dataclasses import replace

from .row import depthwise, separable, transposed

_ROWS = {
    "odd channels": (
        depthwise(None, 3, (224, 224), 3),
        depthwise(None, 17, (56, 56), 3),
        depthwise(None, 33, (56, 56), 5),
        depthwise(None, 100, (28, 28), 3),
        depthwise(None, 255, (14, 14), 3),
        separable(None, 17, 33, (56, 56), 3),
        separable(None, 100, 255, (28, 28), 3),
    ),
    "odd widths": (
        depthwise(None, 384, (13, 13), 3),
        depthwise(None, 96, (37, 37), 5),
        depthwise(None, 48, (97, 97), 3),
        depthwise(None, 64, (13, 97), 7),
        separable(None, 192, 192, (13, 13), 3),
    ),
    "kernels": (
        depthwise(None, 64, (56, 56), 1),
        depthwise(None, 64, (56, 56), 2),
        depthwise(None, 64, (56, 56), 4),
        depthwise(None, 96, (28, 28), 9),
        depthwise(None, 64, (28, 28), 11),
        depthwise(None, 64, (28, 28), 15),
        depthwise(None, 32, (37, 37), 31),
        depthwise(None, 64, (56, 56), (1, 7)),
        depthwise(None, 64, (56, 56), (7, 1)),
        depthwise(None, 64, (49, 25), (10, 4)),
    ),
    "rates": (
        depthwise(None, 128, (33, 33), 3, dilation=2),
        depthwise(None, 64, (65, 65), 5, dilation=3),
        separable(None, 128, 128, (33, 33), 3, dilation=8),
        depthwise(None, 128, (65, 65), 3, dilation=18),
        depthwise(None, 128, (65, 65), 3, dilation=24),
    ),
    "strides": (
        depthwise(None, 96, (57, 57), 5, stride=2),
        depthwise(None, 64, (112, 112), 7, stride=2),
        depthwise(None, 64, (96, 96), 3, stride=3),
        depthwise(None, 32, (224, 224), 4, stride=4, padding=0),
        separable(None, 64, 128, (112, 112), 3, stride=2),
    ),
    "batches": (
        depthwise(None, 256, (14, 14), 3, batch=4),
        depthwise(None, 64, (28, 28), 5, batch=8),
        depthwise(None, 512, (7, 7), 3, batch=32),
        separable(None, 64, 64, (14, 14), 3, batch=16),
    ),
    "sizes": (
        depthwise(None, 8, (8, 8), 3),
        depthwise(None, 16, (16, 16), 5),
        separable(None, 8, 8, (8, 8), 3),
        depthwise(None, 64, (512, 512), 3),
        depthwise(None, 64, (262144,), 5),
        separable(None, 16, 16, (640, 640), 3),
    ),
    "multipliers": (
        depthwise(None, 32, (56, 56), 3, multiplier=2),
        depthwise(None, 24, (28, 28), 5, multiplier=4),
        separable(None, 64, 64, (28, 28), 3, multiplier=2),
    ),
    "rank 1": (
        depthwise(None, 256, (512,), 3),
        depthwise(None, 128, (2000,), 7, stride=2),
        depthwise(None, 64, (4000,), 3, dilation=16),
        separable(None, 128, 128, (1000,), 5),
    ),
    "rank 3": (
        depthwise(None, 48, (8, 28, 28), (1, 3, 3)),
        depthwise(None, 48, (16, 28, 28), (3, 1, 1)),
        depthwise(None, 24, (8, 33, 33), 3, stride=2),
        separable(None, 24, 48, (8, 28, 28), 3),
    ),
    "transposed": (
        transposed(None, 96, (28, 28), 2, 2, 0),
        transposed(None, 33, (37, 37), 4, 2, 1),
        transposed(None, 64, (28, 28), 5, 3, 1),
        transposed(None, 64, (1000,), 4, 2, 1),
        transposed(None, 16, (8, 14, 14), 3, 3, 0),
        transposed(None, 64, (28, 28), 5, 3, 1, out_channels=32),
    ),
    "few or many outputs": (
        separable(None, 128, 4, (56, 56), 3),
        separable(None, 16, 96, (112, 112), 5),
        separable(None, 64, 1000, (14, 14), 3),
    ),
    "float64": (
        depthwise(None, 64, (28, 28), 5, dtype="float64"),
        depthwise(None, 33, (57, 57), 3, stride=2, dtype="float64"),
        depthwise(None, 64, (4000,), 9, dtype="float64"),
        transposed(None, 32, (28, 28), 4, 2, 1, dtype="float64"),
        separable(None, 100, 100, (13, 13), 3, dtype="float64"),
        separable(None, 64, 64, (33, 33), 3, dilation=4, dtype="float64"),
    ),
}

FAMILIES = tuple(replace(row, family=family) for family, rows in _ROWS.items() for row in rows)
