"""Memory for what a call needs on its way, kept from one call to the next.

Without that, some sizes make the C library give the memory back to the system after each call, and take it
from there page by page in the next one, which then is several times slower.
"""

import contextlib
import threading

import numpy as np

KEPT = 1 << 22  # bytes, of each thread

_own = threading.local()


@contextlib.contextmanager
def scratch(size, dtype):
    """An array of `size` elements with whatever is in them, until the end of the block.

    It belongs to the thread; while it is in use, a nested call gets memory of its own.
    """
    needed = size * np.dtype(dtype).itemsize
    memory = _own.__dict__.pop("memory", None)
    if memory is None or memory.size < needed:
        memory = np.empty(needed, np.uint8)
    yield memory[:needed].view(dtype)
    if memory.size <= KEPT:
        _own.memory = memory
