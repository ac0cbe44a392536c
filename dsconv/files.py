"""Files that are whole at every moment under their name."""

import os
import secrets
from contextlib import contextmanager, suppress


@contextmanager
def replacing(path):
    """A binary file to write, which takes the place of the one of that name when the block ends well.

    It is written to another file in the same directory, forced to the disk, and renamed. A process killed
    meanwhile leaves the former file, and one called ``.NAME.*.partial`` that may be deleted.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    OSError
        Where it cannot be written; then the former file stands.
    """
    # a link stays a link to the new file
    path = os.path.realpath(os.fspath(path))
    directory, name = os.path.split(path)
    partial = os.path.join(directory, f".{name}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise
    _flush_directory(directory)


def _flush_directory(directory):
    """Force the new name to the disk, where the system can: a power cut might bring back the former."""
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
