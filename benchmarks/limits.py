"""What the machine allows: arithmetic peak and copy bandwidth, measured in the same run."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from threading import Barrier
from time import perf_counter

import numpy as np

try:
    from dsconv import _core
except ImportError:
    _core = None

CALL_SECONDS = 1e-6
# Smaller copies measure the call of the copy, not the memory.
SMALLEST_COPY = 1 << 18
DRAM_COPY = 1 << 28
PAGE = 4096
# Bytes, where the system does not tell them.
USUAL_CACHES = {2: 1 << 20, 3: 32 << 20}
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20}


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


def _half_a_page_apart(source):
    """An array like `source`. Where one begins just after the other, modulo pages, some copy far slower."""
    room = np.zeros(source.size + PAGE, source.dtype)
    skipped = (PAGE // 2 + source.ctypes.data - room.ctypes.data) % PAGE
    return room[skipped : skipped + source.size]


def copy_bandwidth(footprint, threads, seconds=0.05):
    """Bytes read plus bytes written per second, over buffers of `footprint` bytes in all."""
    size = max(footprint, SMALLEST_COPY) // (2 * threads)

    def work(barrier):
        source = np.ones(size, np.uint8)
        target = _half_a_page_apart(source)
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


@cache
def cache_sizes(threads):
    """Bytes that fit into the caches of `threads` cores, by the name of the level, smallest first.

    The second level is each core's own, the third is shared.
    """
    found = {}
    for index in _CACHES.glob("index*"):
        size = (index / "size").read_text().strip()
        if (index / "type").read_text().strip() != "Instruction" and size[-1:] in _UNITS:
            found[int((index / "level").read_text())] = int(size[:-1]) * _UNITS[size[-1]]
    found = found if 2 in found else USUAL_CACHES
    sizes = {"L1/L2": found[2] * threads}
    # Some processors have no third level, some a virtual machine's nominal one.
    return sizes | ({"L3": found[3]} if found.get(3, 0) > 2 * sizes["L1/L2"] else {})


def copy_bandwidths(threads):
    """Bytes read plus bytes written per second, by level, from copies of the middle of each level's sizes."""
    sizes = cache_sizes(threads)
    within = sizes["L1/L2"]
    footprints = {"L1/L2": within // 2}
    if "L3" in sizes:
        footprints["L3"] = max(2 * within, min(8 * within, sizes["L3"] // 2))
    footprints["DRAM"] = max(DRAM_COPY, 4 * max(sizes.values()))
    return {level: copy_bandwidth(size, threads, 0.3) for level, size in footprints.items()}


def level_of(footprint, sizes):
    """The first level that holds `footprint` bytes."""
    return next((level for level, size in sizes.items() if footprint <= size), "DRAM")


def _seconds(row, peak, bandwidth):
    peak = peak / 2 if row.dtype == "float64" else peak
    return row.macs / peak, row.bytes / bandwidth


def row_limit(row, peak, bandwidth):
    """Seconds below which a row cannot go, or None without a peak."""
    if peak is None:
        return None
    return max(_seconds(row, peak, bandwidth)) + CALL_SECONDS


def row_bound(row, peak, bandwidth, sizes):
    """What sets the limit: "FMA", or the level that holds the row's compulsory bytes; None without a peak."""
    if peak is None:
        return None
    arithmetic, traffic = _seconds(row, peak, bandwidth)
    return "FMA" if arithmetic >= traffic else level_of(row.bytes, sizes)
