"""The index of TOML keys against documents written at random, in every style TOML has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bin_daemon.config.positions import KeyPath, Position, key_positions
from bin_daemon.config.toml import parse_toml

NAMES = st.sampled_from(
    ["a", "b-1", "c_2", "9", "plain", "with space", "dot.ted", 'quo"te', "ap'os", "回收", "#", "[x]", "="]
)
STRINGS = st.sampled_from(
    ["", "x", "k = 1", "[t]\nk = 2", "# no", '"', '"""', "'", "'''", "}", "]", ",", "\\", "a\nb\n", "é"]
)
GAPS = st.sampled_from(["", " ", "  ", "\t"])
LINES = st.sampled_from(["\n", "\r\n", "\n\n", " # k = 1 [t] {\n", "\n# a = 'b\n"])


@st.composite
def keys(draw: st.DrawFn, name: str) -> str:
    """One spelling of a key."""
    styles = [json.dumps(name)]
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        styles.append(name)
    if "'" not in name:
        styles.append(f"'{name}'")
    return draw(st.sampled_from(styles))


@st.composite
def strings(draw: st.DrawFn) -> str:
    """One spelling of a string, up to the two extra quotes that may stand before the closing three."""
    value = draw(STRINGS)
    styles = [json.dumps(value, ensure_ascii=False)]
    if "'" not in value and "\n" not in value:
        styles.append(f"'{value}'")
    if "'''" not in value:
        styles.append(f"'''{value}'''")
    if '"""' not in value and "\\" not in value:
        styles.append(f'"""{value}"""')
    return draw(st.sampled_from(styles))


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    """One value, possibly a nest."""
    kinds = ["scalar", "string"] + (["array", "inline"] if depth else [])
    kind = draw(st.sampled_from(kinds))
    gap = draw(GAPS)
    if kind == "scalar":
        return draw(st.sampled_from(["1", "-0.5", "true", "inf", "1979-05-27 07:32:00", "0xff", "1_000", "07:32:00.5"]))
    if kind == "string":
        return draw(strings())
    if kind == "array":
        line = draw(st.sampled_from(["", " ", "\n", " # ], [\n"]))
        inside = draw(st.lists(values(depth=depth - 1), max_size=3))
        comma = draw(st.sampled_from(["", ","])) if inside else ""
        return "[" + line + f"{gap},{line}".join(inside) + comma + line + "]"
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    pairs = [f"{draw(keys(name))}{gap}={gap}{draw(values(depth=depth - 1))}" for name in names]
    return "{" + gap + f"{gap},{gap}".join(pairs) + gap + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A valid document: bare pairs, dotted pairs, tables, arrays of tables, and tables inside those."""
    out = [draw(LINES)]

    def pairs(prefix: str = "") -> None:
        for name in draw(st.lists(NAMES, max_size=3, unique=True)):
            dotted = draw(st.booleans())
            key = draw(keys(name)) + (draw(GAPS) + "." + draw(GAPS) + draw(keys("z")) if dotted else "")
            out.append(f"{draw(GAPS)}{key}{draw(GAPS)}={draw(GAPS)}{draw(values())}{draw(LINES)}{prefix}")

    pairs()
    for number in range(draw(st.integers(0, 3))):
        top = draw(keys(f"table{number}"))
        if draw(st.booleans()):
            out.append(f"[{draw(GAPS)}{top}{draw(GAPS)}]{draw(LINES)}")
            pairs()
            out.append(f"[{top} . {draw(keys('sub table'))}]{draw(LINES)}")
            pairs()
            continue
        for _ in range(draw(st.integers(1, 3))):
            out.append(f"[[{draw(GAPS)}{top}{draw(GAPS)}]]{draw(LINES)}")
            pairs()
            if draw(st.booleans()):
                out.append(f"[{top}.{draw(keys('sub'))}]{draw(LINES)}")
                pairs()
            for _ in range(draw(st.integers(0, 2))):
                out.append(f"[[{top}.{draw(keys('subs'))}]]{draw(LINES)}")
                pairs()
    return "".join(out)


def paths(tree: Any, prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every path of parsed TOML with its value."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*prefix, key), value
        yield from paths(value, (*prefix, key))


def spelling(text: str, position: Position) -> str:
    """What stands at a position."""
    line = text.replace("\r\n", "\n").split("\n")[position.line - 1]
    return line[position.column - 1 : position.column - 1 + position.width]


@settings(max_examples=25, deadline=None)
@given(documents())
def test_every_path_is_found_and_none_is_invented(text: str) -> None:
    """The index and tomllib agree on the set of paths, whatever strings and comments contain."""
    assert set(key_positions(text)) == {path for path, _ in paths(parse_toml(text))}


@settings(max_examples=25, deadline=None)
@given(documents())
def test_the_key_itself_stands_at_its_position(text: str) -> None:
    """The spelling at the position is the path's last name, or the first character of an array element."""
    for path, position in key_positions(text).items():
        name = next(x for x in reversed(path) if isinstance(x, str))
        found = spelling(text, position)
        in_array_of_tables = not isinstance(path[-1], int) or len(found) > 1 or found == name
        if in_array_of_tables:
            assert next(iter(parse_toml(f"{found} = 1"))) == name
        else:
            assert found not in " \t,]}#"


@settings(max_examples=25, deadline=None)
@given(documents(), st.data())
def test_a_value_changed_at_its_position_changes_at_its_path(text: str, data: st.DataObject) -> None:
    """Writing a marker over the key found for a path makes just that path vanish: the position is the right one of several."""
    index = {p: x for p, x in key_positions(text).items() if isinstance(p[-1], str)}
    tree = parse_toml(text)
    leaves = [p for p, value in paths(tree) if p in index and not isinstance(value, (dict, list))]
    if not leaves:
        return
    path = data.draw(st.sampled_from(leaves))
    lines = text.replace("\r\n", "\n").split("\n")
    at = index[path]
    line = lines[at.line - 1]
    lines[at.line - 1] = line[: at.column - 1] + "MARKER" + line[at.column - 1 + at.width :]
    changed = {p for p, _ in paths(parse_toml("\n".join(lines)))}
    before = {p for p, _ in paths(tree)}
    assert changed ^ before == {path, (*path[:-1], "MARKER")}


def test_positions_are_those_an_editor_shows() -> None:
    """Line and column count from 1, in characters; tables stand at their last name."""
    text = '# bin\r\n[camera]\r\n  width = 3\r\n[[lids]]\r\n"lid" = 1\r\n[[lids]]\r\nlid = 2\r\nx.y = [7, {z = 8}]\r\n'
    index = key_positions(text)
    assert index[("camera",)] == Position(2, 2, 6)
    assert index[("camera", "width")] == Position(3, 3, 5)
    assert index[("lids",)] == Position(4, 3, 4)
    assert index[("lids", 0, "lid")] == Position(5, 1, 5)
    assert index[("lids", 1)] == Position(6, 3, 4)
    assert index[("lids", 1, "x", "y", 0)] == Position(8, 8, 1)
    assert index[("lids", 1, "x", "y", 1, "z")] == Position(8, 12, 1)
