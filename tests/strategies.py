"""Random calls of the convolutions: every rank, layout, geometry and arrangement of memory."""

import math
from dataclasses import dataclass

import numpy as np

from dsconv.reference.padding import Geometry, output_size, resolve_padding

OPS = ("depthwise_conv", "pointwise_conv", "separable_conv")
RANKS = (1, 2, 3)
DTYPES = ("float32", "float64")
LAYOUTS = ("channels_first", "channels_last")
MODES = ("reflect", "symmetric", "replicate", "edge", "circular", "wrap")
STRINGS = ("valid", "same", "same_upper", "same_lower", "full", "causal")
EXACT_ACTIVATIONS = ("relu", "relu6")
ACTIVATIONS = (*EXACT_ACTIVATIONS, "hardswish", "hardsigmoid", "silu", "sigmoid", "tanh", "gelu")
MEMORY = ("plain", "negative", "transposed", "sliced", "broadcast", "unaligned", "swapped", "readonly")

# what a big case exceeds: two vectors of 16 lanes, a block of output channels, a tile of pixels
TWO_VECTORS, CHANNEL_BLOCK, PIXEL_TILE = 32, 48, 200
MAX_WORK = 3_000_000
EXACT_SUM = {"float32": 2**24, "float64": 2**53}


@dataclass
class Case:
    """One call, `getattr(dsconv, name)(*args, **kwargs)`."""

    name: str
    args: tuple
    kwargs: dict
    big: bool
    memory: tuple

    def __str__(self):
        shapes = ", ".join("None" if a is None else f"{a.dtype.str}{a.shape}" for a in self.args)
        words = ", ".join(f"{key}={value!r}" for key, value in self.kwargs.items())
        return f"{self.name}({shapes}; {words}) memory={self.memory}"


@dataclass
class Sizes:
    """The numbers behind a case, before there are arrays."""

    op: str
    batch: list
    channels: int
    multiplier: int
    outputs: int
    spatial: list
    kernel: list
    geometry: dict

    @property
    def middle(self):
        return self.channels * self.multiplier

    def result(self):
        """Return the spatial size of the result, or None where the kernel does not fit."""
        if self.op == "pointwise_conv":
            return tuple(self.spatial)
        geometry = Geometry.parse(len(self.spatial), **self.geometry)
        pairs = resolve_padding(geometry, self.spatial, self.kernel)
        try:
            return output_size(self.spatial, self.kernel, pairs, geometry)
        except ValueError:
            return None

    def work(self):
        """Return about what the reference costs: multiply-adds, passes over memory, turns of its loop."""
        pixels = math.prod(self.result()) * math.prod(self.batch)
        taps = 0 if self.op == "pointwise_conv" else math.prod(self.kernel)
        outputs = 0 if self.op == "depthwise_conv" else self.outputs
        inputs = math.prod(self.spatial) * math.prod(self.batch) * self.channels
        return pixels * self.middle * (taps + outputs + 4) + 5 * inputs + 3000 * taps

    def is_big(self):
        result = self.result()
        block = self.op == "depthwise_conv" or self.outputs > CHANNEL_BLOCK
        return block and max(result[-1], self.channels) > TWO_VECTORS and math.prod(result) > PIXEL_TILE


def random_case(rng, *, big=False, ops=OPS, ranks=RANKS, dtypes=DTYPES, layouts=LAYOUTS, integer=False):
    """Return a random `Case`; with `integer` its values are integers whose sums are exact in any order."""
    op, rank, dtype = (pick(rng, choices) for choices in (ops, ranks, dtypes))
    sizes = _sizes(rng, op, rank, big)
    layout = pick(rng, layouts)
    limit = value_limit(sizes, dtype) if integer else None
    args, memory = [], []
    for shape in _shapes(rng, sizes, layout == "channels_last"):
        kind = pick(rng, MEMORY) if rng.random() < 0.6 else "plain"
        args.append(None if shape is None else arrange(rng, _values(rng, shape, dtype, limit), kind))
        memory.append(kind)
    kwargs = {} if op == "pointwise_conv" else dict(sizes.geometry)
    if layout != "channels_first" or rng.random() < 0.2:
        kwargs["data_format"] = layout
    for key in ("activation", "depthwise_activation")[: 1 + (op == "separable_conv")]:
        if rng.random() < 0.3:
            kwargs[key] = pick(rng, EXACT_ACTIVATIONS if integer else ACTIVATIONS)
    return Case(f"{op}{rank}d", tuple(args), kwargs, big, tuple(memory))


def outcome(function, args, kwargs):
    """Return the result of a call and None, or None and the error it raised."""
    try:
        return function(*args, **kwargs), None
    except (ValueError, TypeError, OverflowError) as error:
        return None, error


def pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]


def _between(rng, low, high):
    return int(rng.integers(low, high + 1))


def _sizes(rng, op, rank, big):
    """Draw sizes, then make them smaller until the case is cheap, without losing what makes it big."""
    batch = [_between(rng, 1, 3) for _ in range(pick(rng, (0, 1, 1, 2)))]
    wide = big and rng.random() < 0.5
    deep = not big and rng.random() < 0.08
    least, most = (100, 700) if deep else (TWO_VECTORS + 1, 70) if wide else (1, 20)
    channels = _between(rng, least, most)
    outputs = _between(rng, CHANNEL_BLOCK + 1, 110) if big else _between(rng, 1, 20)
    kernel = [_kernel(rng, rank) for _ in range(rank)]
    geometry = _geometry(rng, rank, kernel)
    results = _results(rng, rank, big)
    spatial = [_input(rng, axis, results[axis], kernel[axis], geometry) for axis in range(rank)]
    sizes = Sizes(op, batch, channels, pick(rng, (1, 1, 2, 3)), outputs, spatial, kernel, geometry)
    while sizes.result() is None:
        sizes.spatial = [size + 2 for size in sizes.spatial]
    if op == "pointwise_conv":
        sizes.spatial, sizes.multiplier = results, 1
    while big and not sizes.is_big():
        sizes.spatial[-1] += 16
    for _ in range(200):
        if sizes.work() <= MAX_WORK:
            break
        _shrink(rng, sizes, big)
    return sizes


def _results(rng, rank, big):
    if not big:
        return [*(_between(rng, 1, 12) for _ in range(rank - 1)), _between(rng, 1, 36)]
    if rank == 1:
        return [_between(rng, PIXEL_TILE + 1, 500)]
    outer = [_between(rng, 1, 20 if rank == 2 else 5) for _ in range(rank - 1)]
    return [*outer, _between(rng, TWO_VECTORS + 1, 75)]


def _kernel(rng, rank):
    chance = rng.random()
    if chance < 0.7:
        return pick(rng, (1, 3, 3, 3, 5, 7) if rank < 3 else (1, 2, 3, 3))
    if chance < 0.95:
        return _between(rng, 1, 11 if rank < 3 else 5)
    return _between(rng, 1, 31 if rank < 3 else 11)


def _geometry(rng, rank, kernel):
    """Return the geometry arguments as a user may spell them."""
    stride = _spell(rng, [pick(rng, (1, 1, 1, 2, 2, 3, 4)) for _ in range(rank)])
    dilation = _spell(rng, [pick(rng, (1, 1, 1, 1, 2, 2, 3, 4, 5, 6)) for _ in range(rank)])
    mode = pick(rng, MODES) if rng.random() < 0.3 else "zeros"
    rates = dilation if isinstance(dilation, tuple) else (dilation,) * rank
    padding = _padding(rng, [rate * (k - 1) + 1 for rate, k in zip(rates, kernel, strict=True)])
    return dict(stride=stride, padding=padding, dilation=dilation, padding_mode=mode)


def _spell(rng, values):
    """Return one int for all axes, or one for each."""
    return values[0] if rng.random() < 0.5 else tuple(values)


def _padding(rng, extents):
    chance = rng.random()
    if chance < 0.35:
        return pick(rng, STRINGS)
    # now and then beyond the kernel, so that some outputs meet padding alone
    most = [extent + 2 if rng.random() < 0.15 else extent // 2 for extent in extents]
    if chance < 0.55:
        return _between(rng, 0, min(most))
    if chance < 0.75:
        return tuple(_between(rng, 0, limit) for limit in most)
    return tuple((_between(rng, 0, limit), _between(rng, 0, limit)) for limit in most)


def _input(rng, axis, result, kernel, geometry):
    """Return an input size which gives about that many outputs."""
    stride, dilation = (
        value[axis] if isinstance(value, tuple) else value
        for value in (geometry["stride"], geometry["dilation"])
    )
    extent = dilation * (kernel - 1) + 1
    padding = geometry["padding"]
    if isinstance(padding, str):
        total = {"valid": 0, "full": 2 * extent - 2}.get(padding, extent - 1)
    elif isinstance(padding, tuple):
        total = sum(padding[axis]) if isinstance(padding[axis], tuple) else 2 * padding[axis]
    else:
        total = 2 * padding
    return max(1, (result - 1) * stride + extent - total + _between(rng, 0, stride - 1))


def _shrink(rng, sizes, big):
    """Make one size smaller, unless the case stops being valid or big by it."""
    choice = pick(rng, ("batch", "multiplier", "outputs", "channels", "spatial", "kernel"))
    before = getattr(sizes, choice)
    if isinstance(before, list):
        after = list(before)
        if after:
            at = _between(rng, 0, len(after) - 1)
            after[at] = max(1, after[at] * 2 // 3)
    else:
        after = max(1, before * 2 // 3)
    setattr(sizes, choice, after)
    if sizes.result() is None or (big and not sizes.is_big()):
        setattr(sizes, choice, before)


def _shapes(rng, sizes, channels_last):
    """Return the shapes of x, weights and biases; None for a bias that is absent."""
    unit, batch = (1,) * len(sizes.spatial), tuple(sizes.batch)
    per_sample = bool(batch) and rng.random() < 0.2

    def lead():
        if not per_sample or rng.random() < 0.3:
            return ()
        axes = batch[_between(rng, 0, len(batch) - 1) :]
        return tuple(1 if rng.random() < 0.3 else size for size in axes)

    x = (*sizes.spatial, sizes.channels) if channels_last else (sizes.channels, *sizes.spatial)
    x = (*(lead() if per_sample else batch), *x)
    depthwise = (*lead(), sizes.channels, sizes.multiplier, *sizes.kernel)
    if rng.random() < 0.2:
        depthwise = (*lead(), sizes.middle, 1, *sizes.kernel)
    # with one channel, leading axes could be read as PyTorch's form
    pointwise = (*(lead() if sizes.middle > 1 else ()), sizes.outputs, sizes.middle)
    if rng.random() < 0.2:
        pointwise = (sizes.outputs, sizes.middle, *unit)
    depthwise_bias = (*lead(), sizes.middle) if rng.random() < 0.5 else None
    pointwise_bias = (*lead(), sizes.outputs) if rng.random() < 0.5 else None
    return {
        "depthwise_conv": (x, depthwise, depthwise_bias),
        "pointwise_conv": (x, pointwise, pointwise_bias),
        "separable_conv": (x, depthwise, pointwise, depthwise_bias, pointwise_bias),
    }[sizes.op]


def value_limit(sizes, dtype):
    """Return the largest of a few values for which sum |x||w| of the last stage stays exact."""
    taps = 1 if sizes.op == "pointwise_conv" else math.prod(sizes.kernel)
    for value in (1000, 100, 20, 5, 2):
        first = taps * value * value + value
        last = first if sizes.op == "depthwise_conv" else sizes.middle * first * value + value
        if last < EXACT_SUM[dtype]:
            return value
    return 1


def _values(rng, shape, dtype, limit):
    if limit is not None:
        return rng.integers(-limit, limit + 1, shape).astype(dtype)
    return (rng.standard_normal(shape) * 10 ** rng.uniform(-2, 1)).astype(dtype)


def arrange(rng, values, kind):
    """Return the values (for "broadcast": one layer of them, repeated) in another arrangement of memory."""
    if kind == "negative":
        flips = tuple(slice(None, None, -1 if rng.random() < 0.6 else 1) for _ in values.shape)
        return values[flips].copy()[flips]
    if kind == "transposed":
        order = rng.permutation(values.ndim)
        return np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))
    if kind == "sliced":
        return _sliced(rng, values)
    if kind == "broadcast":
        axis = _between(rng, 0, values.ndim - 1)
        return np.broadcast_to(values.take([0], axis), values.shape)
    if kind == "unaligned":
        buffer = np.empty(values.nbytes + 1, np.uint8)[1:]
        moved = buffer.view(values.dtype).reshape(values.shape)
        moved[...] = values
        return moved
    if kind == "swapped":
        return values.astype(values.dtype.newbyteorder())
    values = values.copy()
    values.flags.writeable = kind != "readonly"
    return values


def _sliced(rng, values):
    """Every second or third element of a larger array of NaN, which must not be read."""
    steps = [pick(rng, (1, 2, 3)) for _ in values.shape]
    shape = [size * step + 2 for size, step in zip(values.shape, steps, strict=True)]
    around = np.full(shape, np.nan, values.dtype)
    window = tuple(slice(1, 1 + size * step, step) for size, step in zip(values.shape, steps, strict=True))
    around[window] = values
    return around[window]
