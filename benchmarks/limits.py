"""What the machine allows: arithmetic peak and copy bandwidth, measured in the same run."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import perf_counter

import numpy as np

try:
    from dsconv import _core
except ImportError:
    _core = None

CALL_SECONDS = 2e-6
# Smaller copies measure the call of the copy, not the memory.
SMALLEST_COPY = 1 << 18


def _in_threads(threads, work):
    """Sum of `work(barrier)` over simultaneous threads."""
    barrier = Barrier(threads)
    if threads == 1:
        return work(barrier)
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, [barrier] * threads))


def fma_peak(threads, seconds=0.1, tries=5):
    """Float32 multiply-adds per second of `threads` cores, or None."""
    if not hasattr(_core, "fma_peak"):
        return None

    def work(barrier):
        barrier.wait()
        return _core.fma_peak(seconds)

    return max(_in_threads(threads, work) for _ in range(tries))


def copy_bandwidth(footprint, threads, seconds=0.05):
    """Bytes read plus bytes written per second, over buffers of `footprint` bytes in all."""
    size = max(footprint, SMALLEST_COPY) // (2 * threads)

    def work(barrier):
        source = np.ones(size, np.uint8)
        target = np.zeros(size, np.uint8)
        np.copyto(target, source)
        fastest = np.inf
        barrier.wait()
        end = perf_counter() + seconds
        while True:
            start = perf_counter()
            np.copyto(target, source)
            now = perf_counter()
            fastest = min(fastest, now - start)
            if now > end:
                return 2 * size / fastest

    return _in_threads(threads, work)


def row_limit(row, peak, bandwidth):
    """Seconds below which a row cannot go, or None without a peak."""
    if peak is None:
        return None
    peak = peak / 2 if row.dtype == "float64" else peak
    return max(row.macs / peak, row.bytes / bandwidth) + CALL_SECONDS
