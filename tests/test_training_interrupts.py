"""The training loop: interrupted, refused, stopped early, in every mode."""

import functools
import signal

import numpy as np
import pytest

from dsconv import nn, training
from dsconv.training.interrupts import uninterrupted

from .small_training import bits, fit, network, samples, trained


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
