"""Checkpoints: everything that training depends on, in one file that is whole at every moment."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from ..files import replacing

__all__ = ["load_checkpoint", "save_checkpoint"]

_FORMAT = "dsconv checkpoint 1"
# what zipfile, NumPy and json make of files with bytes wrong; NotImplementedError is a RuntimeError, and an
# offset below 0 an OSError
_DAMAGED = (
    ValueError, KeyError, TypeError, AttributeError, EOFError, OverflowError, RuntimeError, OSError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_PREFIX = "array/"  # so that no array can be taken for the header


def save_checkpoint(path, arrays, values):
    """Write a checkpoint, so that the file under this name is always whole: the former one, or this.

    It is written to another file in the same directory, forced to the disk, and renamed. A process killed
    meanwhile leaves the former checkpoint, and a file ``.NAME.*.partial`` that may be deleted.

    Parameters
    ----------
    path : str or path-like
        The checkpoint; a zip archive in NumPy's ``.npz`` format, without pickles.
    arrays : dict
        Name to array_like.
    values : dict
        What JSON can hold: numbers, strings, lists and dicts of them.

    Raises
    ------
    TypeError, ValueError
        For arrays and values that are not as above; then, too, the former checkpoint stands.
    OSError
        Where it cannot be written; then the former one stands.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> from dsconv.training import load_checkpoint, save_checkpoint
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "run.npz")
    ...     save_checkpoint(path, {"weight": np.ones(2)}, {"epoch": 3})
    ...     load_checkpoint(path)
    ({'weight': array([1., 1.])}, {'epoch': 3})
    """
    with replacing(path) as file:
        _write(file, arrays, values)


def load_checkpoint(path):
    """Read what `save_checkpoint` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    arrays, values : dict

    Raises
    ------
    ValueError
        For a file that is no checkpoint, or a part of one.
    OSError
        Where it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                header = json.loads(str(archive["header"]))
                if header["format"] != _FORMAT:
                    raise ValueError(f"its format is {header['format']!r}, needed {_FORMAT!r}")
                names = [name for name in archive.files if name != "header"]
                short = [name.removeprefix(_PREFIX) for name in names]
                types = [header["types"].get(name) for name in short]
                arrays = [_typed(archive[name], kind) for name, kind in zip(names, types, strict=True)]
                return dict(zip(short, arrays, strict=True)), header["values"]
        except _DAMAGED as error:
            raise ValueError(f"checkpoint: {os.fspath(path)!r} is not a whole checkpoint: {error}") from error


def _write(file, arrays, values):
    arrays = _checked(arrays)
    # types that NumPy's format does not know, bfloat16 for one, are stored as integers beside their name
    types = {name: array.dtype.name for name, array in arrays.items() if array.dtype.kind == "V"}
    header = np.array(_header(types, values))
    stored = {
        _PREFIX + name: array.view(f"u{array.itemsize}") if name in types else array
        for name, array in arrays.items()
    }
    np.savez(file, allow_pickle=False, header=header, **stored)


def _checked(arrays):
    """Names to arrays that can be stored without pickles."""
    if not isinstance(arrays, Mapping) or not all(isinstance(name, str) for name in arrays):
        raise TypeError("arrays: expected a dict of names to arrays")
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    wrong = [name for name, array in arrays.items() if array.dtype.hasobject]
    if wrong:
        raise TypeError(f"arrays: cannot hold Python objects, as {', '.join(wrong)} would")
    return arrays


def _header(types, values):
    try:
        return json.dumps({"format": _FORMAT, "types": types, "values": values})
    except (TypeError, ValueError) as error:
        raise type(error)(f"values: must be what JSON can hold: {error}") from None


def _typed(array, name):
    if name is None:
        return array
    import ml_dtypes

    return array.view(getattr(ml_dtypes, name))
