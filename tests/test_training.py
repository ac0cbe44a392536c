"""Losses, optimizers, schedules, and the training loop: values, wholeness, reproducibility, refusals."""

import doctest
import functools
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

import dsconv as ds
from dsconv import nn, training
from dsconv.training import checkpoint as checkpoints
from dsconv.training.interrupts import uninterrupted

fit = functools.partial(training.fit, progress=False)


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(training.__path__)])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"dsconv.training.{name}")).failed == 0


def test_everything_exported_exists():
    assert doctest.testmod(training).failed == 0
    assert len(set(training.__all__)) == len(training.__all__)
    for name in training.__all__:
        assert getattr(training, name).__doc__
    assert ds.training is training


# ---- losses --------------------------------------------------------------------------------------
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


# ---- optimizers ----------------------------------------------------------------------------------
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


# ---- the loop ------------------------------------------------------------------------------------
def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        body=nn.SeparableConv2d(2, 6, 3, padding="same", bias=False, rng=rng),
        norm=nn.BatchNorm(6),
        act=nn.Activation("relu"),
        drop=nn.Dropout(0.3),
        pool=nn.GlobalAveragePool(),
        head=nn.Linear(6, 3, rng=rng),
    )


def samples(count=24, seed=5):
    """Images whose class is the quarter that is bright."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = rng.standard_normal((count, 2, 8, 8)).astype(np.float32) * 0.1
    for image, label in zip(x, y, strict=True):
        image[label % 2, label : label + 3, :: 1 + label] += 1
    return x, y


def trained(epochs=4, net=None, **words):
    net = network() if net is None else net
    x, y = samples()
    data = training.Batches(x, y, 8)
    optimizer = training.Adam(net, 0.02, 0.01)
    words = {"schedule": training.cosine_schedule(), "metrics": [training.accuracy]} | words
    words = {"validation": training.Batches(*samples(10, 6), 4)} | words
    return net, fit(net, data, training.cross_entropy, optimizer, epochs=epochs, **words)


def bits(layer):
    return {name: array.tobytes() for name, array in layer.state_dict().items()}


def test_learns():
    net, history = trained(30)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_accuracy"][-1] >= 0.6
    assert history["lr"][0] > history["lr"][-1] > 0
    assert net.training and all(layer.training for layer in net)


def test_seed_decides():
    one, history = trained(rng=3)
    other, again = trained(rng=3)
    assert bits(one) == bits(other) and history == again
    assert bits(trained(rng=4)[0]) != bits(one)
    generator = np.random.default_rng(0)
    assert bits(trained(rng=generator)[0]) == bits(trained(rng=np.random.default_rng(0))[0])


def test_same_bits_for_every_number_of_threads():
    former = ds._core.set_parallel_threshold(0)
    try:
        results = []
        for count in 1, 2, 3:
            with ds.num_threads(count):
                net, history = trained(3)
            results.append((bits(net), history.epochs))
    finally:
        ds._core.set_parallel_threshold(former)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("restore_best", [False, True])
def test_resumed_run_has_the_bits_of_one_never_stopped(tmp_path, restore_best):
    whole, history = trained(6, restore_best=restore_best)
    path = tmp_path / "run.npz"

    class Stop(Exception):
        pass

    def stopping(epoch, epochs):
        if epoch > stop:
            raise Stop
        return training.cosine_schedule()(epoch, epochs)

    for stop in 1.9, 3.4, 3.4, 9:
        net = network(seed=8)
        words = {"checkpoint": path, "restore_best": restore_best, "schedule": stopping}
        try:
            # the weights that it begins with must not matter once there is a checkpoint
            _, resumed = trained(6, net=network() if stop == 1.9 else net, **words)
        except Stop:
            assert stop < 9
    assert bits(net) == bits(whole)
    assert resumed == history and resumed.best_epoch == history.best_epoch
    assert len(resumed.seconds) == 6
    # nothing is left to do
    net, again = trained(6, net=network(9), checkpoint=path, restore_best=restore_best)
    assert bits(net) == bits(whole) and again == history


def test_resume_refuses_what_does_not_fit(tmp_path):
    path = tmp_path / "run.npz"
    trained(1, checkpoint=path)
    assert sorted(os.listdir(tmp_path)) == ["run.npz"]
    with pytest.raises(ValueError, match="rng: the checkpoint .* was begun with the seed 0, got 1"):
        trained(2, checkpoint=path, rng=1)
    other = nn.Sequential(nn.GlobalAveragePool(), nn.Linear(2, 3))
    before = bits(other)
    with pytest.raises(ValueError, match="(?s)checkpoint: .* does not fit: .*missing"):
        trained(2, net=other, checkpoint=path)
    assert bits(other) == before
    with pytest.raises(ValueError, match="was begun with .monitor, sign, restore_best. = .*False"):
        trained(2, checkpoint=path, restore_best=True)
    _, history = trained(1, checkpoint=path, rng=1, resume=False)
    assert len(history) == 1
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        trained(2, checkpoint=path)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        trained(2, checkpoint=path)
    np.savez(path, weight=np.ones(2))
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        trained(2, checkpoint=path)


def test_checkpoints_hold_every_type(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    arrays = {"a/b.c": np.arange(3, dtype=ml_dtypes.bfloat16), "header": np.ones((), np.complex64)}
    training.save_checkpoint(tmp_path / "a", arrays, {"list": [1.1, None]})
    loaded, values = training.load_checkpoint(tmp_path / "a")
    assert values == {"list": [1.1, None]}
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype and (loaded[name] == array).all()


def test_failed_checkpoint_leaves_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "a"
    training.save_checkpoint(path, {"x": np.ones(3)}, {})

    def full(*arguments, **words):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        training.save_checkpoint(path, {"x": np.zeros(3)}, {})
    assert os.listdir(tmp_path) == ["a"]
    assert training.load_checkpoint(path)[0]["x"].all()


KILLED = """
import sys
import numpy as np
from dsconv import nn, training
net = nn.Sequential(nn.Linear(64, 2000, rng=0), nn.Linear(2000, 3, rng=1))
x = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
data = training.Batches(x, np.arange(8) % 3, 4)
print("ready", flush=True)
training.fit(net, data, training.cross_entropy, training.Adam(net), epochs=10**6, checkpoint=sys.argv[1],
             progress=False)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_at_any_moment_the_checkpoint_is_whole(tmp_path):
    """One run, killed and resumed eight times; it writes a checkpoint of 1.6 MB every few milliseconds."""
    path, moments = tmp_path / "run.npz", np.random.default_rng(0).uniform(0.02, 0.25, 8)
    epochs = 0
    for moment in moments:
        command = [sys.executable, "-c", KILLED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            while not path.exists():
                time.sleep(0.005)
            time.sleep(moment)
            assert process.poll() is None
            process.kill()
        arrays, values = training.load_checkpoint(path)
        assert all(np.isfinite(array).all() for array in arrays.values())
        assert values["optimizer"]["steps"] == 2 * len(values["epochs"])
        assert len(values["epochs"]) >= epochs
        epochs = len(values["epochs"])
    assert epochs


# ---- interrupts ----------------------------------------------------------------------------------
def test_interrupt_returns_the_history():
    net, (x, y) = network(), samples()
    calls = []

    def loss(result, target):
        calls.append(bits(net))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return training.cross_entropy(result, target)

    data = training.Batches(x, y, 8)
    history = fit(net, data, loss, training.SGD(net, 0.1), epochs=9)
    assert history.stopped == "interrupt" and len(history) == 1
    assert bits(net) == calls[-1] != calls[-2]
    assert net.training


def test_interrupted_steps_are_whole():
    """Ctrl-C inside the writing of a step comes after it."""
    layer = nn.Linear(3, 2, rng=0)
    optimizer = training.SGD(layer, 1.0)
    before = layer.state_dict()
    commit = optimizer.commit

    def interrupted(writes):
        signal.raise_signal(signal.SIGINT)
        commit(writes)

    optimizer.commit = interrupted
    with pytest.raises(KeyboardInterrupt):
        optimizer.step({"weight": np.ones((2, 3)), "bias": np.ones(2)})
    assert all((layer.parameters[name] == array - 1).all() for name, array in before.items())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)


def test_interrupt_in_fit_writes_statistics_with_the_weights():
    net, (x, y) = network(), samples()
    twin = network()
    optimizer = training.SGD(net, 0.1)
    commit, done = optimizer.commit, []

    def interrupted(writes):
        if len(done) == 1:
            signal.raise_signal(signal.SIGINT)
        done.append(commit(writes))

    optimizer.commit = interrupted
    data = [(x[:8], y[:8])] * 4
    history = fit(net, data, training.cross_entropy, optimizer, epochs=3)
    assert history.stopped == "interrupt" and len(done) == 2
    fit(twin, data[:2], training.cross_entropy, training.SGD(twin, 0.1), epochs=1)
    assert bits(net) == bits(twin)


# ---- what goes wrong -----------------------------------------------------------------------------
def test_divergence_names_epoch_and_batch():
    x, y = samples()
    x[20] = np.nan
    for data, where in [([(x[:8], y[:8]), (x[16:], y[16:])], "epoch 0, batch 1: the loss is nan")]:
        net, twin = network(), network()
        with pytest.raises(training.DivergenceError, match=where) as caught:
            fit(net, data, training.cross_entropy, training.SGD(net, 0.1), epochs=2)
        assert isinstance(caught.value, FloatingPointError) and len(caught.value.history) == 0
        fit(twin, data[:1], training.cross_entropy, training.SGD(twin, 0.1), epochs=1)
        assert bits(net) == bits(twin)


def test_divergence_of_gradients_and_statistics():
    net = nn.Sequential(nn.BatchNorm(1, dtype=np.float32), nn.GlobalAveragePool(), nn.Linear(1, 2))
    before = bits(net)
    x = np.array([3e38, -3e38], np.float32).reshape(2, 1, 1)
    with np.errstate(all="ignore"), pytest.raises(training.DivergenceError, match="epoch 0, batch 0"):
        fit(net, [(x, [0, 1])], training.cross_entropy, training.SGD(net, 0.1), epochs=1)
    assert bits(net) == before

    def steep(y, target):
        return 1.0, np.full_like(y, np.inf)

    with np.errstate(all="ignore"), pytest.raises(training.DivergenceError, match="make these parameters"):
        fit(net, [(x / 3e38, [0, 1])], steep, training.SGD(net, 0.1), epochs=1)
    assert bits(net) == before


class Once:
    """Iterable, but with nothing left the second time."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        items, self.items = self.items, []
        return iter(items)


def refused(**changes):
    net, (x, y) = network(), samples(8)
    words = {"layer": net, "data": [(x, y)], "loss": training.cross_entropy, "epochs": 2}
    words |= {"optimizer": training.SGD(net, 0.1)} | changes
    return fit(words.pop("layer"), words.pop("data"), words.pop("loss"), words.pop("optimizer"), **words)


X, Y = samples(8)
REFUSED = [
    ({"data": ((X, Y) for _ in range(3))}, "data: a generator is exhausted after one epoch"),
    ({"data": Once([(X, Y)])}, "data: was exhausted when epoch 1 began"),
    ({"data": []}, "data: yielded no batch"),
    ({"data": (X, Y)}, r"data: expected an iterable of batches, got one pair; \[\(x, y\)\]"),
    ({"data": None}, "data: expected an iterable"),
    ({"data": X}, "data: expected an iterable of"),
    ({"data": [X]}, r"data: must yield \(x, y\) or \(x, y, context\), got ndarray as batch 0"),
    ({"data": [(X, Y, 1)]}, "data: the context of batch 0 must be a dict, got int"),
    ({"data": [(X, Y, {"mask": 1})]}, "mask: no layer in this Sequential uses such a context"),
    ({"validation": []}, "validation: yielded no batch"),
    ({"validation": iter([(X, Y)])}, "validation: a generator is exhausted"),
    ({"layer": "net"}, "layer: expected a Layer"),
    ({"layer": network()}, "optimizer: was made for another layer"),
    ({"optimizer": 0.1}, "optimizer: expected SGD"),
    ({"loss": "mse"}, "loss: expected a function"),
    ({"loss": lambda y, target: 1.0}, r"loss: must return \(value, grad\), got float"),
    ({"epochs": 0}, "epochs: must be at least 1"),
    ({"epochs": 1.5}, "epochs: expected an integer"),
    ({"metrics": training.accuracy}, "metrics: expected a sequence"),
    ({"metrics": [training.accuracy] * 2}, "metrics: two have the same name"),
    ({"metrics": {"loss": training.accuracy}}, "metrics: the names loss and lr are taken"),
    ({"metrics": ["accuracy"]}, "expected a function metric"),
    ({"schedule": 0.5}, "schedule: expected a function"),
    ({"schedule": lambda epoch, epochs: -1}, "schedule.*must be finite and at least 0, got -1"),
    ({"rng": -1}, "rng: must be at least 0"),
    ({"rng": "seed"}, "rng: expected None, an integer or a Generator"),
    ({"monitor": "val_loss"}, "monitor: expected one of loss, got 'val_loss'"),
    ({"mode": "least"}, "mode: expected"),
    ({"patience": 0}, "patience: must be at least 1"),
]


@pytest.mark.parametrize("changes, message", REFUSED)
def test_refused(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        refused(**changes)


# ---- early stop, modes, context ------------------------------------------------------------------
def test_early_stop_and_best_weights(tmp_path):
    net = nn.Linear(1, 1, bias=False, dtype=float)
    net.weight[...] = 5
    seen = []

    def schedule(epoch, epochs):
        seen.append(bits(net))
        return 1.0

    # one step reaches the minimum of validation, and training goes on beyond it
    data, validation = [(np.ones((1, 1)), np.zeros((1, 1)))], [(np.ones((1, 1)), np.full((1, 1), 3.0))]
    words = {"validation": validation, "schedule": schedule, "patience": 3, "restore_best": True}
    words |= {"epochs": 50, "checkpoint": tmp_path / "run"}
    history = fit(net, data, training.mean_squared_error, training.SGD(net, 0.2), **words)
    assert history.best_epoch == 0 and history.stopped == "patience" and len(history) == 4
    assert bits(net) == seen[1]
    net.weight[...] = 0
    again = fit(net, data, training.mean_squared_error, training.SGD(net, 0.2), **words)
    assert again == history and again.stopped == "patience" and bits(net) == seen[1]
    more = fit(net, data, training.mean_squared_error, training.SGD(net, 0.2), **words | {"patience": 5})
    assert len(more) == 6 and more.epochs[:4] == history.epochs


def test_modes_come_back():
    net = network().eval()
    net.norm.train()
    trained(1, net=net)
    assert [layer.training for layer in net] == [False, True, False, False, False, False]
    net.train()
    net.norm.eval()
    mean = net.norm.running_mean.copy()
    trained(1, net=net)
    assert (net.norm.running_mean == mean).all(), "a frozen layer stays frozen"
    assert not net.norm.training and net.drop.training


def test_context_reaches_the_layer(rng):
    net = nn.Sequential(nn.SelfAttention(4, rng=0), nn.Linear(4, 2, rng=1))
    x, y = rng.standard_normal((2, 5, 4)).astype(np.float32), np.zeros((2, 5), int)
    loss = functools.partial(training.cross_entropy, axis=-1)
    masks = [np.ones((2, 5), bool), np.arange(10).reshape(2, 5) % 5 < 2]
    losses = [
        fit(net, [(x, y, {"mask": mask})], loss, training.SGD(net, 0.0), epochs=1)["loss"][0]
        for mask in masks
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(loss(net(x), y)[0])
    data = training.Batches(x, y, 1, context={"mask": masks[1][:1]})
    assert len(list(data)[0]) == 3


def test_each_epoch_has_its_own_order_and_noise():
    seen = []

    def transform(x, y, rng):
        seen.append((tuple(y), rng.random()))
        return x, y

    data = training.Batches(np.ones((6, 2), np.float32), np.arange(6), 3, transform=transform)
    net = nn.Linear(2, 6, rng=0)
    fit(net, data, training.cross_entropy, training.SGD(net, 0.1), epochs=4, validation=data)
    epochs = [seen[i][0] + seen[i + 1][0] for i in range(0, 8, 2)]
    assert len(seen) == 8 and len({noise for _, noise in seen}) == 8
    assert len(set(epochs)) == 4 and all(sorted(epoch) == list(range(6)) for epoch in epochs)
    data = training.Batches(data.x, data.y, 3, shuffle=False)
    assert [y.tolist() for _, y in data.shuffled(np.random.default_rng(0))] == [[0, 1, 2], [3, 4, 5]]


def test_means_weigh_by_samples():
    net = nn.Linear(1, 1, bias=False, dtype=float)
    net.weight[...] = 1
    data = [(np.ones((3, 1)), np.zeros((3, 1))), (np.full((1, 1), 2.0), np.zeros((1, 1)))]
    history = fit(net, data, training.mean_squared_error, training.SGD(net, 0), epochs=1, validation=data)
    assert history["loss"][0] == history["val_loss"][0] == (3 * 1 + 4) / 4


# ---- each kind of block learns -------------------------------------------------------------------
def blocks(rng):
    conv = functools.partial(nn.SeparableConv2d, padding="same", rng=rng)
    return {
        "separable": conv(2, 6, 3, activation="relu"),
        "inverted residual": nn.Residual(
            nn.Sequential(
                nn.PointwiseConv2d(2, 8, bias=False, rng=rng),
                nn.BatchNorm(8),
                nn.Activation("relu6"),
                nn.DepthwiseConv2d(8, 3, padding="same", bias=False, rng=rng),
                nn.BatchNorm(8),
                nn.SqueezeExcite(8, 2, rng=rng),
                nn.PointwiseConv2d(8, 2, bias=False, rng=rng),
                nn.BatchNorm(2),
            )
        ),
        "branches": nn.Concat(conv(2, 3, 3), conv(2, 3, 5), nn.MaxPool2d(3, stride=1, padding=1)),
        "atrous": nn.Sum(*(conv(2, 4, 3, dilation=rate) for rate in (1, 2, 3))),
        "skip": nn.Concat(
            nn.Identity(),
            nn.SameSize(nn.Sequential(nn.AveragePool2d(2), conv(2, 4, 3), nn.Upsample(2)), "crop"),
        ),
        "transposed": nn.SeparableConvTranspose2d(2, 4, 4, stride=2, padding=1, rng=rng),
        "attention": nn.SelfAttention(2, data_format="channels_first", rng=rng),
        "groups": nn.Split((1, 1), *(nn.DepthwiseConv2d(1, k, padding="same", rng=rng) for k in (3, 5))),
        "standard": nn.Conv2d(2, 4, 3, stride=2, padding="same", activation="relu", rng=rng),
    }


@pytest.mark.parametrize("name", blocks(0))
def test_twenty_steps(name):
    """The gradients of each block are good for something: 20 steps on one batch halve the loss."""
    rng = np.random.default_rng(0)
    block = blocks(rng)[name]
    x, y = samples()
    channels = block.output_shape(x.shape)[1]
    head = nn.Linear(channels * 4, 3, rng=rng)
    net = nn.Sequential(block=block, pool=nn.Lambda(quarters, quarters_vjp, quarter_shape), head=head)
    optimizer = training.Adam(net, 0.03)
    history = fit(net, [(x, y)], training.cross_entropy, optimizer, epochs=20)
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def quarters(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, 2, h // 2, 2, w // 2).mean(axis=(3, 5)).reshape(n, -1)


def quarters_vjp(x):
    n, c, h, w = x.shape

    def pullback(dy):
        each = dy.reshape(n, c, 2, 1, 2, 1) / np.float32(h * w / 4)
        return np.broadcast_to(each, (n, c, 2, h // 2, 2, w // 2)).reshape(x.shape)

    return quarters(x), pullback


def quarter_shape(shape):
    return shape[0], shape[1] * 4


# ---- schedules, history, progress ----------------------------------------------------------------
def test_schedules_in_fit():
    asked = []
    net, (x, y) = nn.Linear(4, 3), samples(6)
    x = x.reshape(6, -1)[:, :4]

    def schedule(epoch, epochs):
        asked.append((round(epoch, 6), epochs))
        return training.warm_up(1, training.step_schedule(1, 0.5))(epoch, epochs)

    data = training.Batches(x, y, 3)
    history = fit(net, data, training.cross_entropy, training.SGD(net, 0.1), epochs=3, schedule=schedule)
    assert asked == [(0.25, 3), (0.75, 3), (1.25, 3), (1.75, 3), (2.25, 3), (2.75, 3)]
    np.testing.assert_allclose(history["lr"], [0.075, 0.1, 0.05])
    # where nobody knows how many batches there will be, the middle of the epoch stands for all of them
    asked.clear()
    unsized = type("Unsized", (), {"__iter__": lambda self: iter(data)})()
    fit(net, unsized, training.cross_entropy, training.SGD(net, 0.1), epochs=2, schedule=schedule)
    assert asked == [(0.5, 2)] * 2 + [(1.5, 2)] * 2


def test_history_shows_itself():
    history = training.History([{"loss": 1 / (n + 1), "lr": 0.1} for n in range(30)])
    assert len(repr(history).splitlines()) == 31
    html = history._repr_html_()
    assert html.count("<tr>") == 22 and "…" in html
    assert repr(training.History()) == "History of no epoch"
    with pytest.raises(KeyError, match="no 'accuracy' in this history; there are loss, lr"):
        history["accuracy"]


def test_history_plots_itself():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    _, history = trained(3)
    ax = history.plot()
    assert [line.get_label() for line in ax.lines] == ["loss", "val_loss", "best epoch"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), history["loss"])
    assert history.plot("accuracy", ax=ax) is ax
    matplotlib.pyplot.close(ax.figure)


SHOWS = """
import sys
import numpy as np
if sys.argv[1] == "without":
    sys.modules["tqdm"] = sys.modules["tqdm.auto"] = None
from dsconv import nn, training
assert not {"matplotlib", "tqdm"} & {name for name in sys.modules if sys.modules[name] is not None}
net = nn.Linear(2, 2, rng=0)
data = [(np.ones((4, 2), np.float32), np.zeros(4, int))]
training.fit(net, data, training.cross_entropy, training.SGD(net, 0.1), epochs=2)
"""


@pytest.mark.parametrize("tqdm", ["with", "without"])
def test_progress(run_python, tqdm):
    if tqdm == "with":
        pytest.importorskip("tqdm")
    done = run_python(SHOWS, tqdm)
    assert done.returncode == 0, done.stderr
    assert ("batch" in done.stderr) == (tqdm == "with")
    assert done.stderr.count("epoch 2/2") >= 1 and "loss" in done.stderr and done.stdout == ""
