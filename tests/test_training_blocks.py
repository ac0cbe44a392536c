"""Each kind of block learns; schedules, history and progress."""

import functools

import numpy as np
import pytest

from dsconv import nn, training

from .small_training import fit, samples, trained


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
