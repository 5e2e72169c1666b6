from __future__ import annotations

import pytest

from vmstate_tools.reports.convert import Conversion, as_text


def text(size_bytes: int, *, repeated: int = 0, recovered: int = 0) -> str:
    return as_text(
        Conversion(
            file="a",
            output="b",
            container="stream",
            source_bytes=1000,
            size_bytes=size_bytes,
            repeated_pages=repeated,
            recovered_pages=recovered,
        )
    )


@pytest.mark.parametrize(
    "size_bytes, expected",
    [
        (1000, "as large as before"),
        (997, "as large as before"),
        (600, "40 % smaller"),
        (1500, "50 % larger"),
    ],
)
def test_change_of_size_is_told(size_bytes: int, expected: str) -> None:
    assert text(size_bytes).endswith(f", {expected}")


def test_pages_that_were_left_out_and_found_are_told() -> None:
    assert text(500, repeated=1, recovered=1234).splitlines() == [
        "b: 500 bytes, 50 % smaller, without 1 repeated page",
        "recovered 1,234 pages that QEMU had not marked as stored",
    ]
