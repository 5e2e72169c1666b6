from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.properties import Properties, escape_commas

KEYS = st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True)
TEXTS = st.text(max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.tuples(KEYS, TEXTS)))
def test_pairs_are_read_back_as_written(pairs: list[tuple[str, str]]) -> None:
    properties = Properties(pairs=tuple(pairs))
    assert Properties.parse(properties.to_text()) == properties


@given(TEXTS, st.lists(st.tuples(KEYS, TEXTS)))
def test_a_value_that_leaves_out_its_key_is_read_back(
    first: str, pairs: list[tuple[str, str]]
) -> None:
    properties = Properties(pairs=(("driver", first), *pairs), implied="driver")
    text = properties.to_text()
    if not text.startswith("{"):
        assert Properties.parse(text, "driver") == properties


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_json_is_read_back_as_written(document: dict[str, Any]) -> None:
    properties = Properties.parse(json.dumps(document))
    assert json.loads(properties.to_text()) == document


def test_doubled_commas_are_one() -> None:
    properties = Properties.parse("file=/a,,b.img,format=raw")
    assert properties.pairs == (("file", "/a,b.img"), ("format", "raw"))
    assert properties.to_text() == "file=/a,,b.img,format=raw"


def test_switches_without_a_value_are_on_or_off() -> None:
    properties = Properties.parse("/vm/s,server,nowait,nodelay", "path")
    assert properties.to_text() == "/vm/s,server=on,wait=off,nodelay=on"


def test_the_implied_key_is_written_where_the_value_could_be_taken_for_a_pair() -> None:
    properties = Properties(pairs=(("path", "a=b"),), implied="path")
    assert properties.to_text() == "path=a=b"


def test_json_becomes_dotted_keys() -> None:
    properties = Properties.parse('{"a":{"b":[{"c":1},2]},"d":null,"e":{}}')
    assert properties.pairs == (("a.b.0.c", 1), ("a.b.1", 2), ("d", None), ("e", {}))
    assert properties.to_text() == '{"a":{"b":[{"c":1},2]},"d":null,"e":{}}'


def test_json_that_mixes_a_name_with_keys_below_it_keeps_both() -> None:
    properties = Properties.parse('{"file":"node","file.locking":"off"}')
    assert properties.to_text() == '{"file":"node","file.locking":"off"}'


@pytest.mark.parametrize("text", ["{", "{'driver':'raw'}", '{"a":' * 100_000])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not JSON"):
        Properties.parse(text)


def test_the_last_of_equal_keys_counts() -> None:
    properties = Properties.parse("a=1,b=2,a=3")
    assert properties.get("a") == "3"
    assert properties.with_value("a", "4").to_text() == "a=4,b=2"


def test_a_new_key_goes_to_the_end() -> None:
    assert Properties.parse("a=1").with_value("b", "x,y").to_text() == "a=1,b=x,,y"


def test_a_key_goes_with_all_that_is_below_it() -> None:
    properties = Properties.parse("file=x,file.locking=off,filename=y")
    assert properties.has("file")
    assert properties.without("file").to_text() == "filename=y"
    assert not properties.without("file").has("file")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("a=on", True),
        ("a=yes", True),
        ("a", True),
        ("a=off", False),
        ("b=on", False),
        ('{"a":true}', True),
        ('{"a":1}', False),
        ('{"a":false}', False),
    ],
)
def test_a_switch_is_on_in_all_of_qemus_words(text: str, *, expected: bool) -> None:
    assert Properties.parse(text).is_on("a") is expected


def test_text_is_none_where_the_value_is_not_text() -> None:
    properties = Properties.parse('{"a":1,"b":"x"}')
    assert (properties.text("a"), properties.text("b"), properties.text("c")) == (None, "x", None)


def test_a_json_switch_written_as_pairs_is_on_or_off() -> None:
    assert Properties(pairs=(("a", True), ("b", False))).to_text() == "a=on,b=off"


def test_escaped_commas() -> None:
    assert escape_commas("a,b") == "a,,b"
