from __future__ import annotations

import pytest

from vmstate_tools.device import description_json
from vmstate_tools.device.description_json import (
    DescriptionError,
    get_count,
    get_name,
    get_object,
    get_objects,
    get_u32,
    parse_json,
)


def test_repeated_keys_are_all_kept_in_order() -> None:
    assert parse_json(b'{"a": 1, "b": [{"a": 2}], "a": 3}') == (
        ("a", 1),
        ("b", [(("a", 2),)]),
        ("a", 3),
    )


def test_an_empty_object_is_not_an_empty_array() -> None:
    assert parse_json(b'{"a": {}, "b": []}') == (("a", ()), ("b", []))


@pytest.mark.parametrize(
    "text, problem, position",
    [
        (b"", "not JSON", 0),
        (b"[]", "not an object", 0),
        (b'"text"', "not an object", 0),
        (b'{"a": }', "not JSON", 6),
        ('{"ü": }'.encode(), "not JSON", 7),
        (b'{"a": "\xff"}', "not UTF-8", 7),
        (b'{"a": ' + b"9" * 5000 + b"}", "thousands of digits", 0),
        (b'{"a":' * 100_000, "nested too deeply", 0),
        (b"[" * 100_000, "nested too deeply", 0),
    ],
)
def test_text_that_is_no_object_is_refused_at_its_place(
    text: bytes, problem: str, position: int
) -> None:
    with pytest.raises(DescriptionError, match=problem) as caught:
        parse_json(text)
    assert caught.value.position == position


def test_text_beyond_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description_json, "MAX_TEXT_BYTES", 9)
    with pytest.raises(DescriptionError, match=r"^10 bytes long \(at most 9\)$"):
        parse_json(b'{"a": 111}')


def test_text_that_is_all_values_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description_json, "MAX_VALUE_COUNT", 5)
    assert parse_json(b'{"a": [1, 2, 3]}')
    with pytest.raises(DescriptionError, match=r"^6 values \(at most 5\)$"):
        parse_json(b'{"a": [1, 2, 3, [4]]}')


@pytest.mark.parametrize("value", [True, -1, 1.5, float("nan"), "1", None, 1 << 63, [], ()])
def test_a_count_is_a_number_of_things(value: object) -> None:
    with pytest.raises(DescriptionError) as caught:
        get_count({"size": value}, "size")
    assert caught.value.places == ["size"]


def test_signed_and_unsigned_instance_ids_are_the_same() -> None:
    assert get_u32({"id": -1}, "id") == get_u32({"id": 0xFFFFFFFF}, "id") == 0xFFFFFFFF


@pytest.mark.parametrize("value", [1 << 32, -(1 << 31) - 1])
def test_an_instance_id_has_32_bits(value: int) -> None:
    with pytest.raises(DescriptionError, match="out of range"):
        get_u32({"id": value}, "id")


def test_names_are_safe_to_print() -> None:
    assert get_name({"name": "env.cr[4]"}, "name") == "env.cr[4]"
    assert get_name({"name": "a\x1b[2J\ud800"}, "name") == r"a\x1b[2J\ud800"


@pytest.mark.parametrize("value", [1, None, [], ()])
def test_a_name_is_text(value: object) -> None:
    with pytest.raises(DescriptionError, match="not a text"):
        get_name({"name": value}, "name")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(DescriptionError, match=r"^missing$") as caught:
        get_name({}, "name")
    assert caught.value.places == ["name"]


def test_missing_arrays_are_empty() -> None:
    assert get_objects({}, "subsections") == []


@pytest.mark.parametrize("value", [1, (), [1], [[]], ["a"]])
def test_an_array_of_objects_has_nothing_else(value: object) -> None:
    with pytest.raises(DescriptionError, match=r"^not an (array|object)$"):
        get_objects({"fields": value}, "fields")


def test_an_object_is_no_array() -> None:
    with pytest.raises(DescriptionError, match=r"^not an object$"):
        get_object({"struct": []}, "struct")
