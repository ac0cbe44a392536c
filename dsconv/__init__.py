"""Depthwise separable convolution on a CPU, from NumPy.

>>> import numpy as np
>>> import dsconv as ds
>>> x = np.ones((3, 32, 32), np.float32)
>>> y = ds.separable_conv2d(x, np.ones((3, 1, 3, 3), np.float32), np.ones((8, 3), np.float32), padding="same")
>>> y.shape
(8, 32, 32)
"""

from ._version import __version__

try:
    from ._core import isa as _isa  # noqa: F401  (is it there, and does it load?)
except ModuleNotFoundError as error:
    if error.name != "dsconv._core":
        raise
    raise ImportError(
        f"dsconv's compiled part, dsconv._core, is missing beside {__file__}. If this is a source tree, "
        "either build in place (pip install -e . in it), or install (pip install .) and run Python from "
        "another directory, so that the installed package is found and not the tree. If it is an "
        "installation, it was built for another Python: reinstall numpy-dsconv with the pip of this one."
    ) from error
except ImportError as error:
    raise ImportError(
        f"dsconv's compiled part, dsconv._core, was found but does not load: {error}. It was probably built "
        "for another Python, NumPy or system: reinstall numpy-dsconv (in a source tree: pip install -e .)."
    ) from error

from . import functional, gradients, graph
from .functional import *  # noqa: F403
from .gradients import *  # noqa: F403
from .graph import graph_propagate, graph_propagate_vjp, separable_graph_conv, separable_graph_conv_vjp
from .gufuncs import gufunc
from .runtime import available_isas, get_num_threads, isa, num_threads, set_num_threads, show_config
from .sizes import conv_output_size, conv_transpose_output_size
from .streaming import Stream1d

# imported at first use, so that `import dsconv` stays cheap
_LAZY = ("analysis", "cost", "io", "models", "nn", "reference", "testing", "training")

__all__ = [
    "Stream1d",
    "__version__",
    "available_isas",
    "conv_output_size",
    "conv_transpose_output_size",
    "get_num_threads",
    "graph",
    "graph_propagate",
    "graph_propagate_vjp",
    "gufunc",
    "isa",
    "num_threads",
    "separable_graph_conv",
    "separable_graph_conv_vjp",
    "set_num_threads",
    "show_config",
]
__all__ += functional.__all__ + gradients.__all__


def __getattr__(name):
    if name in _LAZY:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LAZY})
