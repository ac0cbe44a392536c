"""Padding of spatial axes by a mode, in ONNX operators."""

import numpy as np

from ..nn.windows import pad_sources

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padded(writer, x, pairs, mode):
    """x (N, C, *sizes) with spatial axes extended: by one Pad, or else by indices, which any mode has."""
    sizes = x.shape[2:]
    larger = [size + low + high for size, (low, high) in zip(sizes, pairs, strict=True)]
    most = max(max(pair) - size for pair, size in zip(pairs, sizes, strict=True))
    # reflect and wrap go round once at most in ONNX
    if mode in _MODES and (mode == "replicate" or most < 0):
        pads = [0, 0, *(low for low, _ in pairs), 0, 0, *(high for _, high in pairs)]
        if mode == "circular":
            writer.opset = max(writer.opset, 19)
        inputs = [x, writer.integers(pads, "pads")]
        return writer.add("Pad", inputs, (*x.shape[:2], *larger), mode=_MODES[mode])
    for axis, (size, pair) in enumerate(zip(sizes, pairs, strict=True), 2):
        if any(pair):
            x = gathered(writer, x, axis, pad_sources(size, pair, mode))
    return x


def gathered(writer, x, axis, indices):
    """Elements of one axis in another order."""
    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return writer.add("Gather", [x, writer.constant(indices, "indices", np.int64)], shape, axis=axis)
