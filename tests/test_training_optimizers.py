"""Optimizers: steps, state, refusals."""

import numpy as np
import pytest

from dsconv import nn, training


def test_sgd(rng):
    layer = nn.Linear(3, 2, rng=0, dtype=float)
    expected = {name: array.copy() for name, array in layer.parameters.items()}
    velocity = {name: 0 for name in expected}
    optimizer = training.SGD(layer, 0.1, 0.9, weight_decay=0.2)
    for _ in range(4):
        grads = {name: rng.standard_normal(array.shape) for name, array in expected.items()}
        for name in expected:
            velocity[name] = 0.9 * velocity[name] + grads[name]
            expected[name] = expected[name] * (1 - 0.1 * 0.2) - 0.1 * velocity[name]
        optimizer.step(grads)
    for name, array in layer.parameters.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-13)


def test_adam(rng):
    layer = nn.Linear(3, 2, rng=0, dtype=float)
    w, m, v = layer.weight.copy(), 0, 0
    optimizer = training.Adam(layer, 0.01, 0.5, only=lambda name: name == "weight")
    for step in range(1, 5):
        g = rng.standard_normal(w.shape)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w * (1 - 0.5 * 0.005) - 0.005 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        optimizer.step({"weight": g, "bias": np.ones(2)}, factor=0.5)
    np.testing.assert_allclose(layer.weight, w, rtol=1e-12)
    assert not layer.bias.any() and optimizer.steps == 4


@pytest.mark.parametrize("make", [lambda layer: training.SGD(layer, 0.1, 0.5), training.Adam])
def test_optimizer_state(make, rng):
    one, other = nn.Linear(3, 2, rng=0), nn.Linear(3, 2, rng=0)
    steps = [{name: rng.standard_normal(a.shape) for name, a in one.parameters.items()} for _ in range(4)]
    first, second = make(one), make(other)
    for grads in steps:
        first.step(grads)
    for grads in steps[:2]:
        second.step(grads)
    third = make(other).load_state_dict(second.state_dict())
    for grads in steps[2:]:
        third.step(grads)
    assert all(one.parameters[name].tobytes() == array.tobytes() for name, array in other.parameters.items())
    with pytest.raises(ValueError, match="state: is that of"):
        training.SGD(one, 0.1).load_state_dict({"kind": "Other"})
    with pytest.raises(ValueError, match="(?s)missing: .*unexpected: .*misshapen: "):
        state = first.state_dict()
        slot = next(name for name in state if name.endswith("/weight"))
        state["more"], state[slot] = 1, np.ones(1)
        del state["lr"]
        first.load_state_dict(state)


def test_steps_are_whole():
    layer = nn.Linear(3, 2, rng=0)
    before = layer.state_dict()
    optimizer = training.Adam(layer)
    good = {"weight": np.ones((2, 3)), "bias": np.ones(2)}
    with pytest.raises(FloatingPointError, match="not finite: bias"):
        optimizer.step(good | {"bias": np.array([1, np.nan])})
    for grads, message in [
        ({"weight": good["weight"]}, "missing are those of bias"),
        (good | {"more": 1}, "no parameters more"),
        (good | {"bias": np.ones(3)}, r"that of bias must have shape \(2,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.step(grads)
    layer.bias.flags.writeable = False
    with pytest.raises(ValueError, match="read-only arrays: bias"):
        optimizer.step(good)
    assert optimizer.steps == 0
    assert all((layer.parameters[name] == array).all() for name, array in before.items())


def test_narrow_parameters_keep_wide_moments():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    layer = nn.Linear(2, 2, dtype=bfloat16, rng=0)
    optimizer = training.Adam(layer, 0.1)
    optimizer.step({name: np.ones(array.shape, bfloat16) for name, array in layer.parameters.items()})
    assert layer.weight.dtype == bfloat16
    assert optimizer.state_dict()["first/weight"].dtype == np.float32


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda layer: training.SGD(layer, -1), "lr: must be finite and at least 0, got -1"),
        (lambda layer: training.SGD(layer, float("nan")), "lr: must be finite"),
        (lambda layer: training.SGD(layer, "fast"), "lr: expected a number"),
        (lambda layer: training.SGD(layer, True), "lr: expected a number"),
        (lambda layer: training.SGD(layer, 0.1, 1.0), "momentum: must be less than 1"),
        (lambda layer: training.SGD(layer.parameters, 0.1), "layer: expected a Layer, got dict"),
        (lambda layer: training.Adam(layer, betas=0.9), "betas: expected two numbers"),
        (lambda layer: training.Adam(layer, betas=(0.9, 1)), "betas: must be less than 1"),
        (lambda layer: training.Adam(layer, eps=0), "eps: must be finite and more than 0"),
        (lambda layer: training.Adam(layer, only=lambda name: False), "only: chose none"),
        (lambda layer: training.warm_up(0), "length: must be finite and more than 0"),
        (lambda layer: training.warm_up(1, 2), "then: expected a function"),
        (lambda layer: training.step_schedule(1.5), "every: expected an integer"),
        (lambda layer: training.Batches(np.ones(3), np.ones(2)), "y: must be as long as x"),
        (lambda layer: training.Batches((np.ones(3),) * 3, np.ones(3)), "x: expected one array, got tuple"),
        (lambda layer: training.Batches(np.ones(3), np.ones(3), context=1), "context: expected a dict"),
        (lambda layer: training.Batches(np.ones(3), np.ones(3), 0), "batch_size: must be at least 1"),
    ],
)
def test_refused_optimizers(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(nn.Linear(2, 2))
