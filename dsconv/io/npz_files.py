"""NumPy's ``.npz``: a zip archive of one ``.npy`` file for each array, none of them a pickle."""

import zipfile
from math import prod

import numpy as np
from numpy.lib import format as npy

from .archives import opened, read_into

_ENDING = ".npy"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(file, size):
    """{name: array}."""
    with opened(file, size, compressed=True) as (members, archive):
        return {name.removesuffix(_ENDING): _array(archive, info, name) for name, info in members.items()}


def _array(archive, info, name):
    if not name.endswith(_ENDING):
        raise ValueError(f"{name!r} is no array: the members of an .npz file end in {_ENDING}")
    with archive.open(info) as member:
        shape, fortran, dtype = _header(member, name)
        left = info.file_size - member.tell()
        if dtype.itemsize == 0 or prod(shape) * dtype.itemsize != left:
            raise ValueError(f"{name!r} has the shape {shape} of {dtype}, but {left} bytes follow its header")
        data = np.empty(left, np.uint8)
        filled = read_into(member, data)
    if filled != left:
        raise ValueError(f"{name!r} ends after {filled} of {left} bytes")
    # a byte that is neither 0 nor 1 makes a bool that is neither true nor false
    values = data != 0 if dtype.kind == "b" else data.view(dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(member, name):
    version = npy.read_magic(member)
    if version not in _HEADERS:
        raise ValueError(f"{name!r} is of version {version} of the format, needed 1.0 or 2.0")
    shape, fortran, dtype = _HEADERS[version](member)
    if dtype.hasobject or dtype.kind not in "biufcSUmM":
        raise ValueError(f"{name!r} is of the type {dtype}; numbers or strings are needed, never a pickle")
    if any(length < 0 for length in shape):
        raise ValueError(f"{name!r} has the shape {shape}")
    return shape, fortran, dtype


def write(file, arrays):
    """The arrays, under names that NumPy's own `savez` would take for its arguments too."""
    for name, array in arrays.items():
        if array.dtype.kind == "V":
            raise ValueError(
                f"arrays: {name!r} is of the type {array.dtype}, which .npz cannot hold: convert it to "
                "float32, or save as .safetensors"
            )
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(name + _ENDING), "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
