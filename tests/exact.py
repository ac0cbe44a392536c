"""Calls on small integers, which are exact in every data type, beside the reference."""

import numpy as np

import dsconv as ds
from dsconv import reference


def integers(rng, *shape, dtype=np.float32):
    return rng.integers(-8, 9, shape).astype(dtype)


def check(name, *args, **kwargs):
    expected = getattr(reference, name)(*args, **kwargs)
    np.testing.assert_array_equal(getattr(ds, name)(*args, **kwargs), expected, err_msg=f"{name}, {kwargs}")
