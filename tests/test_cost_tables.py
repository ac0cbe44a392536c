"""Tables of costs, and the same network with standard convolutions."""

import csv
import doctest
import io
import itertools

import numpy as np
import pytest

from dsconv import cost, models, nn
from dsconv.nn import costs, standard_transposed, twin


def test_examples():
    for module in cost, costs, standard_transposed, twin:
        assert doctest.testmod(module).failed == 0


def separable_block(channels, out, stride=1, **words):
    return nn.Sequential(
        spatial=nn.Sequential(
            nn.DepthwiseConv2d(channels, 3, stride=stride, padding="same", bias=False, rng=0),
            nn.BatchNorm(channels),
            nn.Activation("relu"),
        ),
        mixing=nn.Sequential(nn.PointwiseConv2d(channels, out, bias=False, rng=1), nn.BatchNorm(out)),
        **words,
    )


def kinds(layer):
    inside = [kinds(child) for child in layer.children.values()]
    return f"{type(layer).__name__}({', '.join(inside)})" if inside else type(layer).__name__


TWINS = {
    "pair": (lambda: separable_block(3, 4, 2), "Sequential(Sequential(Conv2d, BatchNorm))"),
    "one layer": (lambda: nn.SeparableConv2d(3, 4, 3, stride=2, activation="relu"), "Conv2d"),
    "in a branch": (
        lambda: nn.Residual(separable_block(3, 3)),
        "Residual(Sequential(Sequential(Conv2d, BatchNorm)), Identity)",
    ),
    "alone": (lambda: nn.Sequential(nn.DepthwiseConv2d(3, 3, depth_multiplier=2)), "Sequential(Conv2d)"),
    "alone in a branch": (
        lambda: nn.Concat(nn.DepthwiseConv2d(3, 3), nn.SeparableConv2d(3, 2, 3)),
        "Concat(Conv2d, Conv2d)",
    ),
    "gate between": (
        lambda: nn.Sequential(nn.DepthwiseConv2d(3, 5), nn.SqueezeExcite(3, 1), nn.PointwiseConv2d(3, 4)),
        "Sequential(SqueezeExcite(Identity, Sequential(GlobalAveragePool, PointwiseConv2d, "
        "PointwiseConv2d)), Conv2d)",
    ),
    "pool between": (
        lambda: nn.Sequential(nn.DepthwiseConv2d(3, 3), nn.MaxPool2d(2), nn.PointwiseConv2d(3, 4)),
        "Sequential(Conv2d, MaxPool2d, PointwiseConv2d)",
    ),
    "transposed": (
        lambda: nn.Sequential(
            nn.DepthwiseConvTranspose2d(3, 4, stride=2, padding=1),
            nn.Activation("relu"),
            nn.PointwiseConv2d(3, 4),
        ),
        "Sequential(ConvTranspose2d)",
    ),
    "separable transposed": (
        lambda: nn.SeparableConvTranspose2d(3, 4, 3, stride=2, output_padding=1),
        "ConvTranspose2d",
    ),
    "groups": (
        lambda: nn.Sequential(
            nn.Split((1, 2), nn.DepthwiseConv2d(1, 3), nn.DepthwiseConv2d(2, 3)), nn.PointwiseConv2d(3, 4)
        ),
        "Sequential(Split(Conv2d, Conv2d), PointwiseConv2d)",
    ),
    "nothing to do": (lambda: nn.Sequential(nn.PointwiseConv2d(3, 4)), "Sequential(PointwiseConv2d)"),
}


@pytest.mark.parametrize("name", TWINS)
def test_standard_twin(name, rng):
    make, expected = TWINS[name]
    net = make()
    before = net.state_dict()
    other = nn.standard_twin(net, rng=3)
    assert kinds(other) == expected
    x = rng.standard_normal((2, 3, 10, 11)).astype(np.float32)
    assert other(x).shape == other.output_shape(x.shape) == net.output_shape(x.shape)
    assert other.receptive_field() == net.receptive_field()
    hollow = twin.hollow_twin(net)
    assert hollow.cost(x.shape) == other.cost(x.shape)
    assert kinds(hollow) == expected
    for array in other.parameters.values():
        array += 1
    assert all((net.state_dict()[key] == value).all() for key, value in before.items())


def test_twin_of_layers_used_twice():
    block = separable_block(4, 4)
    net = nn.Sequential(block, nn.Activation("relu"), block)
    other = nn.standard_twin(net)
    assert other[0][0] is other[2][0] or other[0] is other[2]
    assert other.cost((1, 4, 6, 6)).params == 4 * 4 * 9 + 8
    assert other.cost((1, 4, 6, 6)).macs == 2 * 36 * 4 * 4 * 9


def test_twin_of_a_users_layer(rng):
    class Scaled(nn.Layer):
        def __init__(self):
            self.inner = nn.SeparableConv1d(2, 3, 3)

        def vjp(self, x):
            return self.inner.vjp(x)

        def output_shape(self, shape):
            return self.inner.output_shape(shape)

    net = Scaled()
    other = nn.standard_twin(net)
    assert type(other.inner) is nn.Conv1d and type(net.inner) is nn.SeparableConv1d
    assert other(rng.standard_normal((1, 2, 5))).shape == (1, 3, 3)


def mobilenet():
    """The network of MobileNets' table 1."""
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    channels = 32
    layers = [nn.Conv2d(3, 32, 3, stride=2, padding="same", bias=False), nn.BatchNorm(32)]
    for out, stride in plan:
        layers.append(separable_block(channels, out, stride))
        channels = out
    return nn.Sequential(*layers, nn.GlobalAveragePool(), nn.Linear(1024, 1000))


def test_published_mobilenet_and_its_twin():
    """MobileNets' table 4: 569 M MACs and 4.2 M parameters, 4866 M and 29.3 M with standard convolutions."""
    table = cost.table(mobilenet(), (1, 3, 224, 224))
    assert table.total.params == 4_231_976
    assert table.total.macs / 1e6 == pytest.approx(568.74, abs=0.005)
    assert table.standard_total.macs / 1e6 == pytest.approx(4867.3, abs=0.05)
    assert round(table.standard_total.params / 1e6, 1) == 29.3
    assert table.macs_ratio == pytest.approx(568.74 / 4867.3, rel=1e-4)


BUILT_BOTH_WAYS = {
    "block": (lambda separable: models.MobileNetBlock(8, 12, stride=2, separable=separable), (1, 8, 9, 9)),
    "inception": (lambda separable: models.InceptionModule(192, separable=separable), (1, 192, 28, 28)),
    "pyramid": (lambda separable: models.ASPP(32, 16, separable=separable), (2, 32, 20, 20)),
    "u-net": (lambda separable: models.unet(separable=separable, width=0.25), (1, 3, 64, 64)),
    "googlenet": (lambda separable: models.googlenet(separable=separable), (1, 3, 224, 224)),
}


@pytest.mark.parametrize("name", BUILT_BOTH_WAYS)
def test_twin_is_what_a_builder_makes_of_standard_convolutions(name):
    build, shape = BUILT_BOTH_WAYS[name]
    assert twin.hollow_twin(build(True)).cost(shape) == build(False).cost(shape)


# ---- tables --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def table():
    net = nn.Sequential(
        body=separable_block(3, 8),
        head=nn.Sequential(nn.GlobalAveragePool(), nn.Linear(8, 2)),
    )
    return cost.table(net, (2, 3, 12, 10))


def test_rows_and_totals(table):
    names = [row.name for row in table.rows]
    assert names[:4] == ["body.spatial.0", "body.spatial.1", "body.spatial.2", "body.mixing.0"]
    assert sum(row.cost.macs for row in table.rows) == table.total.macs == 2 * 120 * 3 * (9 + 8) + 2 * 16
    assert sum(row.cost.params for row in table.rows) == table.total.params
    assert sum(row.cost.activations for row in table.rows) == table.total.activations
    shown = [row.standard for row in table.rows]
    assert shown[:3] == [None] * 3 and shown[3].macs == 2 * 120 * 3 * 8 * 9
    assert sum(each.macs for each in shown if each) == table.standard_total.macs
    assert sum(each.params for each in shown if each) == table.standard_total.params == 3 * 8 * 9 + 16 + 18
    assert table.params_ratio == table.total.params / table.standard_total.params


def test_text(table):
    lines = str(table).splitlines()
    assert len(lines) == len(table.rows) + 3
    assert lines[0].split()[:2] == ["name", "layer"] and lines[-2].startswith("total")
    assert f"{table.total.macs:,}" in lines[-2] and f"{table.standard_total.macs:,}" in lines[-2]
    assert lines[-1] == "of the standard network: 23.7 % of the MACs, 36.4 % of the parameters"
    assert len({len(line) for line in lines[1:-1]}) == 1, "columns are aligned"
    assert repr(table) == str(table)


def test_csv(table, tmp_path):
    text = table.to_csv(tmp_path / "costs.csv")
    assert (tmp_path / "costs.csv").read_text(encoding="utf-8") == text
    head, *rows = csv.reader(io.StringIO(text))
    assert all(len(row) == len(head) for row in rows) and len(rows) == len(table.rows) + 1
    records = [dict(zip(head, row, strict=True)) for row in rows]
    total = records[-1]
    assert int(total["MACs"]) == table.total.macs and int(total["FLOPs"]) == 2 * table.total.macs
    assert int(total["traffic, bytes"]) == table.total.moved * 4
    assert float(total["FLOPs / byte"]) == table.total.intensity()
    assert int(total["standard MACs"]) == table.standard_total.macs
    assert records[0]["standard MACs"] == "" and records[0]["layer"].startswith("DepthwiseConv2d(3")
    for name in "MACs", "parameters", "activations", "traffic, bytes":
        assert sum(int(record[name]) for record in records[:-1]) == int(total[name])


def test_html(table):
    html = table.to_html()
    assert html.count("<tr>") == len(table.rows) + 2 and html == table._repr_html_()
    assert html.count("</td>") == (len(table.rows) + 1) * 11
    escaped = cost.table(nn.Sequential(nn.Lambda(lambda x: x, lambda x: (x, None))), (1, 2)).to_html()
    assert "&lt;lambda&gt;" in escaped


def test_without_comparison():
    table = cost.table(nn.SeparableConv1d(2, 3, 3), (1, 2, 5), standard=False, itemsize=8)
    assert table.standard_total is None and table.macs_ratio is None and "standard" not in str(table)
    assert "standard" not in table.to_csv()
    assert int(list(csv.reader(io.StringIO(table.to_csv())))[1][7]) == table.total.moved * 8
    # nothing to multiply: no ratio, and no division by zero
    assert cost.table(nn.Activation("relu"), (1, 2)).macs_ratio is None


def test_context_and_shared_layers():
    layer = nn.PointwiseConv1d(3, 3)
    table = cost.table(nn.Sequential(layer, layer), (1, 3, 4))
    assert table.total.params == 12 and table.total.macs == 72
    assert len(table.rows) == 2


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: cost.table([], (1, 2)), "layer: expected a Layer, got list"),
        (lambda: cost.table(nn.Linear(2, 2), (1, 3)), "x: Linear takes"),
        (lambda: cost.table(nn.Linear(2, 2), (1, 2), itemsize=0), "itemsize: must be at least 1"),
    ],
)
def test_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_every_combination_of_small_twins():
    """Costs of a chain of two: the twin of a chain is the chain of the twins."""
    makers = [TWINS[name][0] for name in ("pair", "one layer", "gate between", "pool between")]
    for one, other in itertools.product(makers, repeat=2):
        first, second = one(), nn.Sequential(nn.PointwiseConv2d(4, 3), other())
        both = nn.standard_twin(nn.Sequential(first, second))
        x = (1, 3, 40, 40)
        middle = first.output_shape(x)
        expected = nn.standard_twin(first).cost(x).macs + nn.standard_twin(second).cost(middle).macs
        assert both.cost(x).macs == expected
