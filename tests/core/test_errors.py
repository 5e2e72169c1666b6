from __future__ import annotations

import pytest

from vmstate_tools.core.errors import FormatError, LocatedError, TruncatedError, UnsupportedError


@pytest.mark.parametrize(
    "place, text",
    [
        ({"offset": 500, "field": "ram.word"}, "guest.mig: byte 0x1f4 (ram.word): damaged"),
        ({"offset": 0}, "guest.mig: byte 0x0: damaged"),
        ({"field": "header"}, "guest.mig: (header): damaged"),
        ({}, "guest.mig: damaged"),
    ],
)
def test_the_message_names_the_place_as_far_as_it_is_known(
    place: dict[str, object], text: str
) -> None:
    assert str(LocatedError("damaged", source="guest.mig", **place)) == text  # type: ignore[arg-type]


def test_an_error_keeps_its_parts() -> None:
    error = FormatError("damaged", source="guest.mig", offset=5, field="header")
    assert (error.problem, error.source, error.offset, error.field) == (
        "damaged",
        "guest.mig",
        5,
        "header",
    )


def test_damaged_and_unsupported_input_have_different_exit_codes() -> None:
    assert (TruncatedError.exit_code, UnsupportedError.exit_code) == (3, 4)
