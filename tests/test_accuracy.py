"""What the accuracy benchmark computes from scores, and that its page shows the run that is kept."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the tests run without the source tree")
from benchmarks import accuracy, accuracy_networks  # noqa: E402
from benchmarks.accuracy_data import Split  # noqa: E402
from dsconv import nn  # noqa: E402

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "results" / "accuracy.json"


def kept():
    return json.loads(KEPT.read_text(encoding="utf-8"))


def test_the_page_shows_the_run():
    table = accuracy.as_markdown(kept())
    assert table in (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")


def test_every_family_has_been_run():
    found = {family["family"]: [row["network"] for row in family["rows"]] for family in kept()["families"]}
    for task in accuracy.TASKS:
        assert found[task.family] == [task.kind.naive[0], "linear", *task.nets]
    assert len(found) == len(accuracy.TASKS)
    for family in kept()["families"]:
        assert all(len(row["scores"]) == len(kept()["seeds"]) == 3 for row in family["rows"])


def test_a_gain_needs_every_seed():
    assert accuracy.gain([2, 3, 4], [1, 1, 1]) == "+2.0"
    assert accuracy.gain([2, 3, 1], [1, 1, 1]) == "no gain (+1.0)"
    assert accuracy.gain([1, 1], [2, 2]) == "no gain (-1.0)"


def test_scores():
    target = np.array([[[0, 1], [1, -1]]])
    y = np.zeros((1, 2, 2, 2))
    y[:, 1, 0, 1] = y[:, 1, 1, 1] = 1
    # class 0: 1 of 2, class 1: 1 of 2; the last position does not count
    assert accuracy.intersection_over_union(y, target) == 50
    assert accuracy.decibels(np.full(4, 0.1), np.zeros(4)) == pytest.approx(20)
    assert accuracy.decibels(np.full(4, -0.8), np.full(4, -1), low=-1) == pytest.approx(20)
    split = Split((None, np.array([1, 1, 0, -1])), (None, np.array([0, 1])))
    assert accuracy.majority(split).argmax(axis=1).tolist() == [1, 1]


def test_the_linear_decoder_begins_at_least_squares(rng):
    x = rng.standard_normal((50, 3))
    mixed = (x - x.mean(axis=0)) @ rng.standard_normal((3, 8)) + 1
    y = mixed.reshape(50, 1, 2, 4)
    net = accuracy.linear_decoder(Split(((x - x.mean(axis=0)), y), None), rng)
    np.testing.assert_allclose(net(x - x.mean(axis=0)), y, atol=1e-4)


def test_words_reach_the_spotter_as_an_image(rng):
    x = rng.standard_normal((2, 20, 49)).astype(np.float32)
    net = accuracy_networks.spotter(0).eval()
    assert net.output_shape(x.shape) == net(x).shape == (2, 10)
    image = net[0]
    y, pullback = image.vjp(x)
    np.testing.assert_array_equal(pullback(y)[0], x)
    assert isinstance(image, nn.Lambda) and y.shape == image.output_shape(x.shape)
