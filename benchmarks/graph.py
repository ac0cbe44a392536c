"""Graph propagation beside SciPy's sparse product and NumPy's dense one: ``python -m benchmarks.graph``.

All take turns; a ratio is the peer's fastest time over ours, so that above 1 ours is faster.
"""

import argparse
from collections import namedtuple

import numpy as np

import dsconv as ds

from .timing import interleaved

Contender = namedtuple("Contender", "name call")
# nodes, mean degree, channels
GRAPHS = (
    ("citations", 2708, 5, 16),
    ("citations, wide", 2708, 5, 128),
    ("scalars", 20000, 10, 1),
    ("narrow", 20000, 10, 8),
    ("medium", 20000, 10, 64),
    ("large", 200000, 15, 64),
    ("dense-ish", 2000, 200, 64),
)
DENSE_NODES = 4000  # larger graphs are not made dense


def random_graph(nodes, degree, rng, dtype):
    """CSR with Poisson degrees, a node of a tenth of all, and columns in order."""
    from scipy import sparse

    count = rng.poisson(degree, nodes)
    count[0] = nodes // 10
    start = np.concatenate([[0], np.cumsum(count)])
    columns = rng.integers(0, nodes, start[-1])
    matrix = sparse.csr_matrix((rng.random(start[-1]).astype(dtype), columns, start), (nodes, nodes))
    matrix.sum_duplicates()
    return matrix


def measure(row, dtype, seconds):
    """Name and fastest time of each contender."""
    name, nodes, degree, channels = row
    rng = np.random.default_rng(0)
    matrix = random_graph(nodes, degree, rng, dtype)
    x = rng.standard_normal((nodes, channels)).astype(dtype)
    contenders = [
        Contender("dsconv", lambda: ds.graph_propagate(x, matrix)),
        Contender("scipy", lambda: matrix @ x),
    ]
    if nodes <= DENSE_NODES:
        dense = matrix.toarray()
        contenders.append(Contender("dense matmul", lambda: dense @ x))
    unit = np.finfo(dtype).eps * (abs(matrix) @ abs(x)).max()
    np.testing.assert_allclose(contenders[0].call(), matrix @ x, rtol=0, atol=100 * unit)
    times = interleaved(contenders, seconds, ds.get_num_threads())
    return matrix.nnz, {each: time for each, (time, _) in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row")
    parser.add_argument("--threads", type=int, default=1, help="of dsconv; SciPy's product has one")
    options = parser.parse_args()
    ds.set_num_threads(options.threads)
    print(f"kernel set {ds.isa()}, {options.threads} thread(s)")
    print(f"{'graph':18}{'dtype':9}{'nodes':>8}{'entries':>9}{'c':>5}{'us':>10}{'/ scipy':>9}{'/ dense':>9}")
    for row in GRAPHS:
        for dtype in ("float32", "float64"):
            entries, times = measure(row, dtype, options.seconds)
            ours = times["dsconv"]
            ratios = [times[each] / ours if each in times else np.nan for each in ("scipy", "dense matmul")]
            shown = f"{row[0]:18}{dtype:9}{row[1]:8}{entries:9}{row[3]:5}{ours * 1e6:10.1f}"
            print(shown + "".join(f"{ratio:9.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
