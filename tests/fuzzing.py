"""Values that somebody could send or write, for tests that throw them at us.

The environment variable FUZZ multiplies the examples: FUZZ=100 takes minutes where a normal run takes seconds.
"""

import copy
import os

from hypothesis import settings
from hypothesis import strategies as st

_TIMES = int(os.environ.get("FUZZ", "1"))

TEXTS = st.text(st.characters() | st.characters(categories=["Cc", "Cf", "Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        "0",
        "-1",
        "[/INST]",
        "=1+1",
        "../../x",
        "\ud800",
        "\x1b[2J",
        "\u202e",
        "state/segments/x",
        "x" * 3000,
        "$(parameters.x)",
    ]
)
NUMBERS = (
    st.integers(-3, 6) | st.integers() | st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**300, -(10**30)]) | st.floats()
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


def examples(number):
    """Return hypothesis's settings for so many examples in a normal run."""
    return settings(max_examples=number * _TIMES)


def places(value, path=()):
    """Return the paths to all values within a value, itself first."""
    found = [path]
    if isinstance(value, dict):
        found += [each for key, inner in value.items() for each in places(inner, (*path, key))]
    elif isinstance(value, (list, tuple)):
        found += [each for at, inner in enumerate(value) for each in places(inner, (*path, at))]
    return found


@st.composite
def mutated(draw, value, values=VALUES, most=3):
    """Return a value of JSON's kinds with up to `most` of its parts replaced, removed, repeated or moved."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(0, most))):
        path = draw(st.sampled_from(places(value)))
        if path:
            other = part(value, draw(st.sampled_from(places(value))))
            change(part(value, path[:-1]), path[-1], draw(CHANGES), new=draw(values), key=draw(TEXTS), other=other)
        elif draw(st.integers(0, 9)) == 0:
            value = draw(values)
    return value


CHANGES = st.sampled_from(["replace", "replace", "replace", "remove", "add", "other"])


def part(value, path):
    """Return the value at a path."""
    for step in path:
        value = value[step]
    return value


def change(parent, at, how, *, new, key, other):
    """Change one part of a list or mapping."""
    if how == "replace":
        parent[at] = new
    elif how == "remove":
        del parent[at]
    elif how == "other":
        parent[at] = copy.deepcopy(other)
    elif isinstance(parent, dict):
        parent[key] = new
    else:
        parent.insert(at, copy.deepcopy(parent[at]))
