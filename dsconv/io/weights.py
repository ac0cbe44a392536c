"""`load` and `save`: dicts of arrays in files, in the format that the file's ending names."""

import os

import numpy as np

from ..files import replacing
from . import npz_files, safetensors_files, torch_files

_READERS = {
    ".npz": npz_files.read,
    ".safetensors": safetensors_files.read,
    ".pth": torch_files.read,
    ".pt": torch_files.read,
    ".bin": torch_files.read,
}
_REASON = 500  # characters; names inside a file may be as long as the file
_WRITERS = {".npz": npz_files.write, ".safetensors": safetensors_files.write}


def load(path):
    """The arrays in a file of weights; a file from anywhere, since nothing in it is ever run.

    Parameters
    ----------
    path : str or path-like
        Its ending tells the format:

        - ``.npz``, NumPy's, without pickles.
        - ``.safetensors``, which needs the package of that name (the extra ``io``).
        - ``.pth``, ``.pt`` or ``.bin``, PyTorch's checkpoints, of either of its formats; PyTorch is not
          needed. Their pickle is interpreted here, and may hold tensors, containers, numbers and strings.

    Returns
    -------
    dict
        Name to ndarray. Of a PyTorch checkpoint whose dict holds another one, such as
        ``{"state_dict": {...}, "epoch": 3}``, that under ``state_dict``, ``model_state_dict``, ``model`` or
        ``module``, whichever first holds tensors, prefixes included. Entries that are no tensors (the epoch,
        the optimizer) are left out. Tensors that shared their storage share memory.

    Raises
    ------
    ValueError
        For an unknown ending, a damaged file, one that says other sizes than it has, and for a pickle that
        asks for anything else; that error tells ``module.name``.
    OSError, MemoryError
        Where it cannot be read, or its arrays, which never are much larger than the file says, do not fit.
    ImportError
        Where the file needs a package that is not installed: `safetensors`, or `ml_dtypes` for bfloat16.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import dsconv as ds
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "weights.npz")
    ...     ds.io.save({"bias": np.ones(2)}, path)
    ...     ds.io.load(path)
    {'bias': array([1., 1.])}
    """
    path = os.fspath(path)
    reader = _READERS[_ending(path, _READERS)]
    with open(path, "rb") as file:
        try:
            return reader(file, os.fstat(file.fileno()).st_size)
        except (OSError, MemoryError, ImportError):
            raise
        # a damaged file can make a decoder raise anything
        except Exception as error:
            reason = str(error)[:_REASON]
            raise ValueError(f"path: {path!r} cannot be read as weights: {reason}") from error


def save(arrays, path):
    """Write arrays to a file of weights, so that the file under this name is always whole.

    Parameters
    ----------
    arrays : dict
        Name to array_like, such as a layer's ``state_dict()``.
    path : str or path-like
        Ending in ``.npz`` or ``.safetensors``.

    Raises
    ------
    ValueError
        For an unknown ending, a name that is no string or that the format cannot hold, and arrays of a type
        that it cannot hold (objects; in ``.npz`` bfloat16).
    OSError
        Where it cannot be written; then the former file stands.
    ImportError
        Where the format needs a package that is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import dsconv as ds
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     ds.io.save({"weight": np.ones((4, 1, 3, 3))}, os.path.join(directory, "weights.npz"))
    ...     os.listdir(directory)
    ['weights.npz']
    """
    path = os.fspath(path)
    writer = _WRITERS[_ending(path, _WRITERS)]
    for name in arrays:
        if not isinstance(name, str) or "\0" in name:
            raise ValueError(f"arrays: the names must be strings without null characters, got {name!r}")
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"arrays: {name!r} holds Python objects; numbers are needed")
    with replacing(path) as file:
        writer(file, arrays)


def _ending(path, known):
    ending = os.path.splitext(path)[1].lower()
    if ending not in known:
        raise ValueError(f"path: the ending must be one of {', '.join(known)}, got {path!r}")
    return ending
