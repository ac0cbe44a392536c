"""The training loop: reproducible, resumable, whole when it is killed."""

import doctest
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import dsconv as ds
from dsconv import files, nn, training

from .small_training import bits, network, trained


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(training.__path__)])
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"dsconv.training.{name}")).failed == 0


def test_everything_exported_exists():
    assert doctest.testmod(training).failed == 0
    assert len(set(training.__all__)) == len(training.__all__)
    for name in training.__all__:
        assert getattr(training, name).__doc__
    assert ds.training is training


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


def test_damaged_checkpoints(tmp_path):
    """Bytes wrong, or missing: it is read, or refused as what it is."""
    path, rng = tmp_path / "a.npz", np.random.default_rng(0)
    training.save_checkpoint(path, {"a": np.arange(30.0), "b/c": np.ones((2, 3))}, {"epoch": 3})
    whole, refused = path.read_bytes(), 0
    for number in range(600):
        damaged = bytearray(whole[: rng.integers(len(whole))] if number % 3 == 0 else whole)
        for at in rng.integers(len(whole), size=number % 3 * 3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            training.load_checkpoint(path)
        except ValueError as error:
            assert str(error).startswith("checkpoint: ")
            refused += 1
    assert refused > 400


def test_failed_checkpoint_leaves_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "a"
    training.save_checkpoint(path, {"x": np.ones(3)}, {})

    def full(*arguments, **words):
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
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
