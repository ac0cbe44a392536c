"""What the benchmarks compute from their rows and figures, without timing anything."""

from types import SimpleNamespace

import numpy as np
import pytest

import dsconv as ds

pytest.importorskip("benchmarks", reason="the tests run without the source tree")
from benchmarks import distribution, instructions, limits, report  # noqa: E402
from benchmarks.shapes import SUITES  # noqa: E402

ROWS = SUITES["families"]
SMALL = [row for row in ROWS if not row.separable and row.macs < 1e6]


def test_rows_have_names_of_their_own():
    assert len(ROWS) >= 44
    names = [row.name for row in SUITES["all"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", SMALL, ids=lambda row: row.name)
def test_multiply_adds_are_a_sum_over_ones(row):
    x = np.ones((row.batch, row.channels, *row.spatial))
    weight = np.ones((row.channels, row.multiplier, *row.kernel))
    words = {"stride": row.stride, "padding": row.padding, "dilation": row.dilation}
    y = getattr(ds, row.function)(x, weight, **words)
    assert y.shape == (row.batch, row.result_channels, *row.output)
    assert y.sum() == row.macs
    assert row.bytes == (x.size + y.size + weight.size) * np.dtype(row.dtype).itemsize


def test_quantiles_and_histogram():
    ratios = np.random.default_rng(0).lognormal(0.5, 1, 101)
    found = distribution.summarise([{"ratio": r, "family": "a" if r > 1 else ""} for r in ratios])
    wanted = np.quantile(ratios, list(distribution.QUANTILES.values()))
    np.testing.assert_allclose(list(found["quantiles"].values()), wanted)
    wanted, _ = np.histogram(ratios, (0, *distribution.EDGES))
    assert list(found["histogram"].values()) == wanted.tolist()
    assert found["families"]["a"][0] + found["families"]["the list"][0] == 101
    text = "\n".join(distribution.lines(found))
    assert f"median {np.median(ratios):.2f}" in text


@pytest.mark.parametrize(
    "macs, size, dtype, wanted",
    [
        (100, 10, "float32", "FMA"),
        (99, 100, "float32", "L1/L2"),
        (99, 101, "float32", "L3"),
        (99, 1001, "float32", "DRAM"),
        (60, 100, "float32", "L1/L2"),
        (60, 100, "float64", "FMA"),
    ],
)
def test_bound(macs, size, dtype, wanted):
    row = SimpleNamespace(macs=macs, bytes=size, dtype=dtype)
    assert limits.row_bound(row, 1.0, 1.0, {"L1/L2": 100, "L3": 1000}) == wanted
    assert limits.row_bound(row, None, 1.0, {"L1/L2": 100}) is None


def test_cache_sizes_grow():
    sizes = list(limits.cache_sizes(1).values())
    assert sizes == sorted(sizes) and sizes[0] >= 1 << 15
    assert limits.cache_sizes(2)["L1/L2"] == 2 * sizes[0]


def test_a_run_is_read_back(tmp_path):
    records = [{"name": "a", "bandwidth": 3e9}, {"name": "b", "bandwidth": 5e9}]
    report.write_json(tmp_path / "new", {"copy_bandwidths": {"DRAM": 1e9}}, records, {})
    assert report.read_json(tmp_path / "new") == ({"copy_bandwidths": {"DRAM": 1e9}}, records)
    report.write_json(tmp_path / "old", {"dram_bandwidth": 1e9}, records, {})
    found, _ = report.read_json(tmp_path / "old")
    assert found["copy_bandwidths"] == {"caches": 5e9, "DRAM": 1e9}


def test_instruction_counts_may_not_grow():
    baseline = {"a": 1.0, "b": 2.0, "gone": 1.0}
    lines, wrong = instructions.compare({"a": 1.05, "b": 2.11, "new": 1.0}, baseline)
    assert len(lines) == 4
    assert [sentence.split(":")[0] for sentence in wrong] == ["b", "new", "gone"]
    assert "+5.5 %" in wrong[0]
    assert instructions.compare(baseline, baseline)[1] == []


def test_variants_measure_themselves(capsys):
    from benchmarks import variants

    row = next(row for row in variants.ROWS if "40 bands" in row.name)
    pytest.importorskip("ml_dtypes")
    with ds.num_threads(1):
        record = variants.measure(row, 0)
    variants.print_rows([record])
    variants.verdict([record], 1 << 20, {"multiply-adds": 2.0})
    assert set(record["types"]["channels_last"]) == set(variants.TYPES)
    assert record["layouts"] >= 1
    assert "second thread, rows above 200 us: 0 of 0" in capsys.readouterr().out
