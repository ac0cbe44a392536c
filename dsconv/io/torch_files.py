"""PyTorch's checkpoints, of both formats: a pickle that describes tensors, and the bytes of their storages.

The present format is a zip archive, uncompressed; the one before (until 1.5, and still written on request)
is a row of pickles with the storages behind. Only the storages of tensors that are returned are read.
"""

import sys
from contextlib import suppress
from functools import cache
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .archives import opened, read_into
from .safetensors_files import bfloat16
from .torch_pickle import MOST_AXES, Tensor, interpreted

# where checkpoints of whole runs have the weights
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
_DEPTH = 4  # wrappers around wrappers; a dict may hold itself

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT = 8  # bytes of the number of elements before each storage


def read(file, size):
    """{name: array}."""
    start = file.read(2)
    file.seek(0)
    return (_read_archive if start == b"PK" else _read_row)(file, size)


# ---- the two formats ----------------------------------------------------------------------------
def _read_archive(file, size):
    with opened(file, size, compressed=False) as (members, archive):
        pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"expected one member NAME/data.pkl, got {len(pickles)}")
        folder = pickles[0].removesuffix("data.pkl")

        def member(name):
            if folder + name not in members:
                raise ValueError(f"the archive has no member {folder + name!r}")
            return members[folder + name]

        with archive.open(member("data.pkl")) as content:
            found = interpreted(content, member("data.pkl").file_size)
        order = archive.read(member("byteorder")) if folder + "byteorder" in members else b"little"

        def fetch(storage):
            info = member(f"data/{storage.key}")
            _check_bytes(storage, info.file_size)
            with archive.open(info) as content:
                return _filled(content, storage, order)

        return _arrays(found, fetch)


def _read_row(file, size):
    def pickled(storages=None):
        return interpreted(file, size - file.tell(), storages)

    if pickled() != _MAGIC:
        raise ValueError("it is neither a zip archive nor begins with PyTorch's magic number")
    protocol, _, storages = pickled(), pickled(), {}
    if protocol != _PROTOCOL:
        raise ValueError(f"its protocol must be {_PROTOCOL}")
    found, keys = pickled(storages), pickled()
    if type(keys) is not list or any(type(key) is not str or key not in storages for key in keys):
        raise ValueError("its list of storages names others than the tensors do")
    places = _places(file, size, [storages[key] for key in keys])

    def fetch(storage):
        if storage.key not in places:
            raise ValueError(f"storage {storage.key!r} is not in the file")
        file.seek(places[storage.key])
        return _filled(file, storage, b"little")  # whatever the machine that wrote it

    return _arrays(found, fetch)


def _places(file, size, storages):
    """{key: where its elements begin}; each storage stands behind the number of its elements."""
    places, position = {}, file.tell()
    for storage in storages:
        file.seek(position)
        count = int.from_bytes(file.read(_COUNT), "little")
        needed = count * np.dtype(_plain(storage.dtype)).itemsize
        if storage.key in places or needed > size - position - _COUNT:
            raise ValueError(f"storage {storage.key!r} has {count} elements, more than the rest of the file")
        _check_bytes(storage, needed)
        places[storage.key] = position + _COUNT
        position += _COUNT + needed
    if position != size:
        raise ValueError(f"{size - position} bytes follow the last storage")
    return places


# ---- storages -----------------------------------------------------------------------------------
def _plain(dtype):
    return "u2" if dtype == "bfloat16" else dtype


def _dtype(storage):
    return bfloat16() if storage.dtype == "bfloat16" else np.dtype(storage.dtype)


def _check_bytes(storage, found):
    needed = storage.count * np.dtype(_plain(storage.dtype)).itemsize
    if needed != found:
        raise ValueError(
            f"storage {storage.key!r} must have {storage.count} elements, which take {needed} bytes, got "
            f"{found}"
        )


def _filled(file, storage, order):
    """The elements of a storage, from a file whose bytes are in that order."""
    if order not in (b"little", b"big"):
        raise ValueError(f"the byte order must be little or big, got {order!r:.40}")
    dtype = np.dtype(_plain(storage.dtype))
    data = np.empty(storage.count * dtype.itemsize, np.uint8)
    count = read_into(file, data)
    if count != len(data):
        raise ValueError(f"storage {storage.key!r} ends after {count} of {len(data)} bytes")
    if order.decode() != sys.byteorder:
        # the parts of a complex number are turned each by itself
        part = dtype.itemsize // (2 if dtype.kind == "c" else 1)
        data.view(f"u{part}").byteswap(inplace=True)
    if dtype.kind == "b":
        return data != 0
    return data.view(_dtype(storage))


# ---- tensors ------------------------------------------------------------------------------------
def _arrays(found, fetch):
    fetch = cache(fetch)
    return {name: _array(name, tensor, fetch) for name, tensor in _state(found, _DEPTH).items()}


def _state(found, depth):
    """{name: Tensor} of the dict that has the weights."""
    if type(found) is not dict:
        raise ValueError(f"it holds a {type(found).__name__}; a dict of tensors is needed")
    for wrapper in _WRAPPERS:
        inner = found.get(wrapper)
        if type(inner) is dict and depth:
            with suppress(ValueError):
                return _state(inner, depth - 1)
    state = {name: each for name, each in found.items() if type(name) is str and type(each) is Tensor}
    if not state:
        keys = ", ".join(f"{name!r:.40}" for name in list(found)[:10])
        raise ValueError(f"it holds no dict of tensors; it has the keys {keys or '(none)'}")
    return state


def _array(name, tensor, fetch):
    """A view of the elements of a storage, none of which is beyond it."""
    storage, offset, shape, strides = tensor
    numbers = (offset, *shape, *strides)
    if any(type(each) is not int for each in numbers) or len(shape) != len(strides) or len(shape) > MOST_AXES:
        raise ValueError(f"{name!r}: shape and strides must be as many integers, at most {MOST_AXES}")
    if min(numbers) < 0:
        raise ValueError(
            f"{name!r}: offset {offset}, shape {shape} and strides {strides} must not be negative"
        )
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    empty = 0 in shape
    # an expanded tensor is within its storage, but a copy of it would not be
    if (not empty and last >= storage.count) or prod(shape) > storage.count:
        raise ValueError(
            f"{name!r}: offset {offset}, shape {shape} and strides {strides} reach beyond the "
            f"{storage.count} elements of its storage, or repeat them"
        )
    if empty:
        return np.empty(shape, _dtype(storage))
    elements = fetch(storage)
    return as_strided(elements[offset:], shape, [stride * elements.itemsize for stride in strides])
