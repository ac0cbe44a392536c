"""Losses: values against finite differences, types, refusals."""

import warnings

import numpy as np
import pytest

from dsconv import training

MAP = (3, 4, 5, 2)
LABELS = np.random.default_rng(1).integers(0, 4, (3, 5, 2))
SHARES = np.random.default_rng(2).random(MAP)
LOSSES = {
    "cross entropy": (training.cross_entropy, LABELS, {}),
    "channels last": (training.cross_entropy, LABELS[:, :4, :1].repeat(5, 2) % 2, {"axis": -1}),
    "some ignored": (training.cross_entropy, np.where(LABELS == 2, -7, LABELS), {"ignore_index": -7}),
    "class weights": (training.cross_entropy, LABELS, {"class_weights": [1, 0, 3, 0.5]}),
    "both": (training.cross_entropy, LABELS, {"class_weights": [1, 2, 3, 0.5], "ignore_index": 1}),
    "binary": (training.binary_cross_entropy, SHARES, {}),
    "binary weighted": (training.binary_cross_entropy, SHARES, {"positive_weight": 3.0}),
    "squares": (training.mean_squared_error, SHARES, {}),
    "l1": (training.l1_loss, SHARES, {}),
    "dice": (training.dice_loss, LABELS, {}),
    "dice of channels": (training.dice_loss, SHARES, {"smooth": 0.1}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_losses(name, rng):
    loss, target, words = LOSSES[name]
    y = rng.standard_normal(MAP) * 2
    value, grad = loss(y, target, **words)
    assert type(value) is float and grad.shape == y.shape and grad.dtype == y.dtype
    step = 1e-6
    for index in rng.permutation(y.size)[:40]:
        at = np.unravel_index(index, y.shape)
        moved = y.copy()
        moved[at] += step
        above = loss(moved, target, **words)[0]
        moved[at] -= 2 * step
        expected = (above - loss(moved, target, **words)[0]) / (2 * step)
        assert grad[at] == pytest.approx(expected, abs=1e-8)
    single = loss(y.astype(np.float32), target, **words)
    assert single[0] == pytest.approx(value, rel=1e-5) and single[1].dtype == np.float32
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    narrow = loss(y.astype(bfloat16), target, **words)
    assert narrow[0] == pytest.approx(value, rel=3e-2) and narrow[1].dtype == bfloat16
    half = loss(y.astype(np.float16), target, **words)
    assert half[0] == pytest.approx(value, rel=1e-2) and half[1].dtype == np.float16


def test_values_of_losses(rng):
    y = rng.standard_normal((6, 3))
    target = rng.integers(0, 3, 6)
    logs = np.log(np.exp(y) / np.exp(y).sum(axis=1, keepdims=True))[np.arange(6), target]
    assert training.cross_entropy(y, target)[0] == pytest.approx(-logs.mean())
    weights = np.array([1.0, 2.0, 0.5])
    expected = -(logs * weights[target]).sum() / weights[target].sum()
    assert training.cross_entropy(y, target, class_weights=weights)[0] == pytest.approx(expected)
    value, grad = training.cross_entropy(y, np.full(6, 9), ignore_index=9)
    assert value == 0 and not grad.any()
    p, t = 1 / (1 + np.exp(-y)), rng.random(y.shape)
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert training.binary_cross_entropy(y, t)[0] == pytest.approx(expected)
    maps = np.zeros((1, 2, 4))
    assert training.dice_loss(maps, np.array([[0, 0, 1, 1]]), smooth=1e-9)[0] == pytest.approx(0.5)


def test_losses_are_stable():
    """No overflow, no warning, at scores that a softmax or sigmoid in float32 cannot represent."""
    y = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, grad = training.cross_entropy(y, [1, 1])
        assert value == 1e4 and np.isfinite(grad).all()
        value, grad = training.binary_cross_entropy(y, np.ones((2, 2)))
        assert value == 5e3 and np.isfinite(grad).all()
        assert np.isfinite(training.dice_loss(y[..., None], np.array([[1], [1]]))[0])
    # what does not count may hold anything
    y[1] = np.nan
    value, grad = training.cross_entropy(y, [0, -1], ignore_index=-1)
    assert value == 0 and not grad.any()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: training.cross_entropy(np.ones((2, 3)), [0.0, 1.0]), "target: expected class numbers"),
        (lambda: training.cross_entropy(np.ones((2, 3)), [0, 3]), "from 0 to 2 .* got 3 at"),
        (lambda: training.cross_entropy(np.ones((2, 3)), [-1, 2]), "from 0 to 2"),
        (lambda: training.cross_entropy(np.ones((2, 3)), [0]), r"target: must have y's shape"),
        (lambda: training.cross_entropy(np.ones(3), [0]), "axis: must be an axis"),
        (lambda: training.cross_entropy(np.ones((2, 3)), [0, 0], axis=0), "axis: must be"),
        (
            lambda: training.cross_entropy(np.ones((2, 3)), [0, 0], class_weights=[1]),
            "class_weights: expected",
        ),
        (lambda: training.cross_entropy(np.ones((0, 3)), np.zeros(0, int)), "y: the mean over nothing"),
        (lambda: training.cross_entropy(np.ones((1, 2), complex), [0]), "y: expected real"),
        (
            lambda: training.mean_squared_error(np.ones((2, 1)), np.ones(2)),
            "target: must have the shape of y",
        ),
        (lambda: training.binary_cross_entropy(np.ones(2), [0, 2]), "target: must be from 0 to 1"),
        (lambda: training.binary_cross_entropy(np.ones(2), [0, np.nan]), "target: must be from 0 to 1"),
        (lambda: training.dice_loss(np.ones((1, 2, 3)), np.ones((1, 2, 3)), smooth=0), "smooth: must be"),
        (lambda: training.accuracy(np.ones((2, 3)), [[0, 0]]), "target: must have"),
    ],
)
def test_refused_losses(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
