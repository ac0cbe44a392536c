"""The format of the package `safetensors`, read and written through it."""

import numpy as np

_TYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?", "C64": "c8",
}  # fmt: skip
_KEPT = {"float64", "float32", "float16", "int64", "int32", "int16", "int8", "bfloat16", "complex64"}
_KEPT |= {"uint64", "uint32", "uint16", "uint8", "bool"}


def read(file, size):
    """{name: array}, the package having checked all sizes."""
    package = _package()
    try:
        entries = package.deserialize(file.read())
    except package.SafetensorError as error:
        raise ValueError(error) from error
    return {name: _array(name, entry) for name, entry in entries}


def _array(name, entry):
    if entry["dtype"] not in _TYPES and entry["dtype"] != "BF16":
        raise ValueError(f"{name!r} is of the type {entry['dtype']}; {', '.join(_TYPES)} or BF16 is needed")
    data = np.frombuffer(bytearray(entry["data"]), np.uint8)
    if entry["dtype"] == "BOOL":
        return (data != 0).reshape(entry["shape"])
    dtype = bfloat16() if entry["dtype"] == "BF16" else np.dtype(_TYPES[entry["dtype"]]).newbyteorder("<")
    return data.view(dtype).reshape(entry["shape"])


def write(file, arrays):
    """The arrays, little-endian and dense as the format has them."""
    package = _package()
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype.name not in _KEPT:
            raise ValueError(f"arrays: {name!r} is of the type {array.dtype}, which .safetensors cannot hold")
    dense = {name: array.astype(array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    try:
        content = save(dense)
    except package.SafetensorError as error:  # early versions know fewer types
        raise ValueError(f"arrays: safetensors {package.__version__} cannot hold them: {error}") from error
    file.write(content)


def _package():
    try:
        import safetensors
    except ModuleNotFoundError as error:
        raise ImportError(
            "files in .safetensors take the package safetensors, which is not installed "
            '(pip install "numpy-dsconv[io]")'
        ) from error
    return safetensors


def bfloat16():
    """The data type, of the package that has it."""
    try:
        import ml_dtypes
    except ModuleNotFoundError as error:
        raise ImportError(
            "the file holds bfloat16, which takes the package ml_dtypes, which is not installed "
            "(pip install ml_dtypes)"
        ) from error
    return np.dtype(ml_dtypes.bfloat16)
