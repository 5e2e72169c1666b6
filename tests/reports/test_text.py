import pytest

from vmstate_tools.reports.text import count_text, printable, seconds_text, size_text, table


@pytest.mark.parametrize(
    "text, expected",
    [
        ("pc.ram", "pc.ram"),
        ("/rom@etc/acpi tables", "/rom@etc/acpi tables"),
        ("Schnäppchen", "Schnäppchen"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202e", r"\u202e"),
        ("\udce9", r"\udce9"),
    ],
)
def test_only_visible_characters_are_printed_raw(text: str, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize(
    "size_bytes, expected",
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (128 << 20, "128 MiB"),
        (304_940_484, "291 MiB"),
        (1 << 64, "16 EiB"),
        (1 << 75, "32768 EiB"),
    ],
)
def test_a_size_has_the_unit_that_keeps_it_short(size_bytes: int, expected: str) -> None:
    assert size_text(size_bytes) == expected


@pytest.mark.parametrize("seconds, expected", [(0.0042, "4.2 ms"), (1.55, "1.6 s"), (75, "75.0 s")])
def test_a_time_has_the_unit_that_keeps_it_short(seconds: float, expected: str) -> None:
    assert seconds_text(seconds) == expected


def test_one_is_singular() -> None:
    assert [count_text(count, "page") for count in (0, 1, 73802)] == [
        "0 pages",
        "1 page",
        "73,802 pages",
    ]


def test_columns_are_aligned_without_trailing_spaces() -> None:
    rows = [["a", "1", "x"], ["long", "200"], ["b", "30", "yy"]]
    assert table(rows, ["<", ">", "<"], indent=2) == [
        "  a       1  x",
        "  long  200",
        "  b      30  yy",
    ]


def test_no_rows_make_no_lines() -> None:
    assert table([], ["<"]) == []
