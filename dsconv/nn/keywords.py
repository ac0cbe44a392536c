"""The keywords of an engine layer: a dict that remembers how a call with them went."""


class Keywords(dict):
    """Keywords of a call, and in `known` what was found out about such a call, until one of them changes."""

    __slots__ = ("known",)

    def __init__(self, given=()):
        super().__init__(given)
        self.known = None

    def __or__(self, other):
        return Keywords({**self, **other})

    def __reduce__(self):
        return Keywords, (dict(self),)


def _forgetful(name):
    change = getattr(dict, name)

    def method(self, *given, **named):
        self.known = None
        return change(self, *given, **named)

    return method


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(Keywords, _name, _forgetful(_name))
