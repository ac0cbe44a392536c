"""Separable convolution on graphs: one operator spreads each channel over the edges, then channels are mixed.

>>> import numpy as np
>>> import dsconv as ds
>>> path = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
>>> a = ds.graph.normalized_adjacency(path, kind="random_walk")
>>> ds.graph_propagate(np.array([[0.0], [6.0], [0.0]]), a)
array([[3.],
       [2.],
       [3.]])
"""

from .convolution import graph_propagate, separable_graph_conv
from .normalise import normalized_adjacency
from .operators import CSR
from .pullbacks import graph_propagate_vjp, separable_graph_conv_vjp

__all__ = [
    "CSR",
    "graph_propagate",
    "graph_propagate_vjp",
    "normalized_adjacency",
    "separable_graph_conv",
    "separable_graph_conv_vjp",
]
