"""Threads, kernel sets, and what this build consists of."""

from . import _core
from ._version import __version__
from .geometry import as_integer

# beyond any machine's use; the threading runtime ends the process when it cannot start them
MAX_THREADS = 256


def isa():
    """The name of the kernel set in use, such as ``"avx2"``; ``DSCONV_ISA`` at the import chooses another."""
    return _core.isa()


def available_isas():
    """The kernel sets that this build has and this machine runs, best first, as a tuple of str."""
    return _core.available_isas()


def get_num_threads():
    """The number of threads that a call may use."""
    return _core.get_num_threads()


def set_num_threads(n):
    """Set the number of threads that a call may use, for the whole process.

    The initial value comes from ``DSCONV_NUM_THREADS``, then ``OMP_NUM_THREADS``, then the number of
    processors. The number of threads never changes a result.

    Parameters
    ----------
    n : int
        From 1 to 256. Small calls are serial in any case.
    """
    _core.set_num_threads(_checked(n))


def _checked(n):
    n = as_integer(n, "n", 1)
    if n > MAX_THREADS:
        raise ValueError(f"n: must be at most {MAX_THREADS}, got {n}")
    return n


class num_threads:
    """Context manager: `set_num_threads` on entry, the former number back on exit.

    The number is that of the whole process; other Python threads see it too.

    Examples
    --------
    >>> import dsconv as ds
    >>> with ds.num_threads(1):
    ...     ds.get_num_threads()
    1
    """

    def __init__(self, n):
        self.n = _checked(n)
        self._former = []

    def __enter__(self):
        former = get_num_threads()
        set_num_threads(self.n)
        self._former.append(former)
        return self

    def __exit__(self, *exception):
        _core.set_num_threads(self._former.pop())


def show_config(mode="stdout"):
    """Print versions, compiler, kernel sets, threads and processor; for bug reports.

    Parameters
    ----------
    mode : {"stdout", "dicts"}, optional
        ``"dicts"`` returns a dictionary instead of printing it.

    Returns
    -------
    dict or None
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f'mode: expected "stdout" or "dicts", got {mode!r}')
    config = _config()
    if mode == "dicts":
        return config
    for section, entries in config.items():
        print(f"{section}:")
        for name, value in entries.items():
            text = ", ".join(value) if isinstance(value, tuple) else value
            print(f"  {name}: {text}")
    return None


def _config():
    import platform

    import numpy

    build = dict(_core.build_info())
    return {
        "versions": {
            "dsconv": __version__,
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "build": {
            "compiler": build.pop("compiler", "unknown"),
            "kernel sets": tuple(build.pop("isas", ())),
            **build,
        },
        "runtime": {
            "kernel sets available": tuple(available_isas()),
            "kernel set active": isa(),
            "threads": get_num_threads(),
        },
        "machine": {
            "processor": _processor(),
            "system": platform.platform(),
        },
    }


def _processor():
    """The processor's name, where the system tells it."""
    import platform

    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
