"""The values of the operands of random calls, and the arrangement of the same values in memory."""

import numpy as np

MEMORY = ("plain", "negative", "transposed", "sliced", "unaligned", "swapped", "readonly", "broadcast")

#: Integers below are exact in the type of the result, and so are all sums on the way.
EXACT_SUM = {
    "float32": 2**24,
    "float64": 2**53,
    "float16": 2**11,
    "bfloat16": 2**8,
    "complex64": 2**24,
    "complex128": 2**53,
}


def pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]


def value_limit(stages, dtype):
    """Return the largest of a few values for which sums stay exact; `stages` are the terms of each sum.

    Besides, whether that is certain: with 1, sums may still be too large.
    """
    product = 2 if np.dtype(dtype).kind == "c" else 1  # a part of a complex product is a sum of two
    for value in (1000, 100, 20, 5, 2, 1):
        total = value
        for terms in stages:
            total = terms * product * total * value + value
        if total < EXACT_SUM[dtype]:
            return value, True
    return 1, False


def draw(rng, shape, dtype, limit):
    """Return random values: integers of at most that size, or floats if there is no limit."""

    def part():
        if limit is not None:
            return rng.integers(-limit, limit + 1, shape)
        return rng.standard_normal(shape) * 10 ** rng.uniform(-2, 1)

    return (part() + 1j * part() if np.dtype(dtype).kind == "c" else part()).astype(dtype)


def thin(rng, function, args, kwargs, dtype):
    """Put zeros at random places of the arrays until the sums of all terms' sizes are exact in that type."""

    arrays = [array for array in args if isinstance(array, np.ndarray)]
    while True:
        absolute = [_absolute(array) if isinstance(array, np.ndarray) else array for array in args]
        worst = np.max(function(*absolute, **kwargs), initial=0)
        if worst < EXACT_SUM[dtype]:
            return
        array = pick(rng, arrays)
        array[rng.random(array.shape) > max(0.2, 0.8 * EXACT_SUM[dtype] / worst)] = 0


def _absolute(array):
    """Return what bounds either part of a product of complex numbers by the product of real ones."""
    parts = (array.real, array.imag) if array.dtype.kind == "c" else (array,)
    return sum(np.abs(part).astype(float) for part in parts)


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
        axis = int(rng.integers(values.ndim))
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
