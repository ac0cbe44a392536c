"""How other libraries call what the networks of `dsconv.models` call ``stages.1.0.body.expand.conv``.

A naming is a table from our places to their templates. In these, ``stage`` and ``block`` are the place of a
block in the stages, ``flat`` is its number in the whole network, ``part`` that of a part inside the block,
gates included, ``norm`` that of the normalisation there; ``next_`` is one more, and ``pw`` is "pwl" where a
block expands first. At the head they are those of one more block.
"""

import re

from .entries import entries

_PLACE = re.compile(r"stages\.(\d+)\.(\d+)\.(?:body\.)?(\w+)\.(?:gate\.)?(\w+)$")


def _torchvision(block, head, **rest):
    """Parts that are pairs of a convolution and its normalisation, a gate of two layers, and the ends."""
    pairs = {"expand": block, "depthwise": block, "project": block, "stem": "features.0", "head": head}
    table = {f"{place}.conv": f"{pair}.0" for place, pair in pairs.items()}
    table |= {f"{place}.norm": f"{pair}.1" for place, pair in pairs.items()}
    table |= {"squeeze.reduce": f"{block}.fc1", "squeeze.expand": f"{block}.fc2"}
    return table | rest


_TIMM = {
    "stem.conv": "conv_stem",
    "stem.norm": "bn1",
    "expand.conv": "blocks.{stage}.{block}.conv_pw",
    "expand.norm": "blocks.{stage}.{block}.bn{norm}",
    "depthwise.conv": "blocks.{stage}.{block}.conv_dw",
    "depthwise.norm": "blocks.{stage}.{block}.bn{norm}",
    "squeeze.reduce": "blocks.{stage}.{block}.se.conv_reduce",
    "squeeze.expand": "blocks.{stage}.{block}.se.conv_expand",
    "project.conv": "blocks.{stage}.{block}.conv_{pw}",
    "project.norm": "blocks.{stage}.{block}.bn{norm}",
    # MobileNetV1
    "pointwise.conv": "blocks.{stage}.{block}.conv_pw",
    "pointwise.norm": "blocks.{stage}.{block}.bn{norm}",
    "head.conv": "conv_head",
    "head.norm": "bn2",
    "classifier.linear": "classifier",
}

NAMINGS = {
    "torchvision's MobileNetV2": {
        **_torchvision("features.{next_flat}.conv.{part}", "features.{next_flat}"),
        "project.conv": "features.{next_flat}.conv.{part}",
        "project.norm": "features.{next_flat}.conv.{next_part}",
        "classifier.linear": "classifier.1",
    },
    "torchvision's MobileNetV3": {
        **_torchvision("features.{next_flat}.block.{part}", "features.{next_flat}"),
        "features.linear": "classifier.0",
        "classifier.linear": "classifier.3",
    },
    "torchvision's EfficientNet": {
        **_torchvision("features.{next_stage}.{block}.block.{part}", "features.{next_stage}"),
        "classifier.linear": "classifier.1",
    },
    "timm's": _TIMM,
    "timm's MobileNetV3": {
        **_TIMM,
        "head.conv": "blocks.{stage}.0.conv",
        "head.norm": "blocks.{stage}.0.bn1",
        "features.linear": "conv_head",
    },
    # of lukemelas/EfficientNet-PyTorch, which Lite0's checkpoint has too
    "EfficientNet-PyTorch's": {
        "stem.conv": "_conv_stem",
        "stem.norm": "_bn0",
        "expand.conv": "_blocks.{flat}._expand_conv",
        "expand.norm": "_blocks.{flat}._bn0",
        "depthwise.conv": "_blocks.{flat}._depthwise_conv",
        "depthwise.norm": "_blocks.{flat}._bn1",
        "squeeze.reduce": "_blocks.{flat}._se_reduce",
        "squeeze.expand": "_blocks.{flat}._se_expand",
        "project.conv": "_blocks.{flat}._project_conv",
        "project.norm": "_blocks.{flat}._bn2",
        "head.conv": "_conv_head",
        "head.norm": "_bn1",
        "classifier.linear": "_fc",
    },
}


def recognised(keys, layer):
    """{their name: ours} of all arrays of a layer, in the naming that most of the keys are of.

    Parameters
    ----------
    keys : iterable of str
    layer : dsconv.nn.Layer

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        Where not one key is of any naming that has names for this layer.
    """
    keys = set(keys)
    ours = [entry.name for entry in entries(layer)]
    found = {"dsconv's": {name: name for name in ours}}
    found |= {naming: names for naming, table in NAMINGS.items() if (names := named(ours, table))}
    naming = max(found, key=lambda naming: len(keys & found[naming].keys()))
    if not keys & found[naming].keys():
        raise ValueError(
            f"state_dict: its keys, such as {', '.join(sorted(keys)[:3])}, are of no naming known for this "
            f"layer ({', '.join(found)}); mapping takes a dict or a callable from them to ours, such as "
            f"{ours[0] if ours else '(none)'}"
        )
    return found[naming]


def named(ours, table):
    """{their name: ours} by the table of a naming; empty where that lacks one of the places."""
    places, names = _places(ours), {}
    if any(place not in table for place, _ in places.values()):
        return names
    for name in ours:
        module, _, attribute = name.rpartition(".")
        place, numbers = places[module]
        names[f"{table[place].format(**numbers)}.{attribute}"] = name
    return names


def _places(ours):
    """{our module: (its place in a table, the numbers of its template)}."""
    modules = dict.fromkeys(name.rpartition(".")[0] for name in ours)
    found = {module: _PLACE.match(module) for module in modules}
    blocks = {}
    for match in filter(None, found.values()):
        parts = blocks.setdefault((int(match[1]), int(match[2])), [])
        parts += [match[3]] if match[3] not in parts else []
    after = 1 + max((stage for stage, _ in blocks), default=-1)
    flats = {block: flat for flat, block in enumerate(blocks)}
    places = {}
    for module, match in found.items():
        block = (int(match[1]), int(match[2])) if match else (after, 0)
        parts = blocks.get(block, [])
        part = parts.index(match[3]) if match else 0
        stage, flat = block[0], flats.get(block, len(flats))
        numbers = {"stage": stage, "next_stage": stage + 1, "block": block[1], "flat": flat}
        numbers |= {"next_flat": flat + 1, "part": part, "next_part": part + 1}
        numbers["norm"] = len([each for each in parts[: part + 1] if each != "squeeze"])
        numbers["pw"] = "pwl" if "expand" in parts else "pw"
        places[module] = f"{match[3]}.{match[4]}" if match else module, numbers
    return places
