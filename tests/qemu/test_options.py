from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.options import FLAGS, WITH_VALUE, CommandLine, Option

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
QEMU_WORDS = st.one_of(
    WORDS, st.sampled_from(sorted(FLAGS | WITH_VALUE)).flatmap(lambda name: st.just(f"-{name}"))
)


def options(*words: str) -> list[tuple[str | None, str | None]]:
    line = CommandLine.parse(["qemu", *words])
    return [(option.name, option.value) for option in line.options]


@given(st.lists(QEMU_WORDS, min_size=1))
def test_every_command_line_is_joined_as_it_was(argv: list[str]) -> None:
    assert CommandLine.parse(argv).to_argv() == argv


def test_an_empty_command_line_is_refused() -> None:
    with pytest.raises(UsageError, match="is empty"):
        CommandLine.parse([])


def test_an_option_takes_the_next_word_whatever_it_looks_like() -> None:
    assert options("-append", "-v", "-S") == [("append", "-v"), ("S", None)]


def test_a_flag_takes_none() -> None:
    assert options("-nographic", "disk.img") == [("nographic", None), (None, "disk.img")]


def test_two_dashes_are_as_good_as_one_and_are_kept() -> None:
    line = CommandLine.parse(["qemu", "--m", "64"])
    assert line.options == (Option(name="m", value="64", dashes="--"),)


@pytest.mark.parametrize(
    "words,expected",
    [
        (["-novel", "value", "-S"], [("novel", "value"), ("S", None)]),
        (["-novel", "-S"], [("novel", None), ("S", None)]),
        (["-novel"], [("novel", None)]),
    ],
)
def test_an_option_of_another_qemu_takes_what_is_no_option(
    words: list[str], expected: list[tuple[str, str | None]]
) -> None:
    assert options(*words) == expected


def test_an_option_whose_value_is_missing_is_carried_through() -> None:
    assert options("-m") == [("m", None)]


def test_a_lone_dash_is_no_option() -> None:
    assert options("-", "--") == [(None, "-"), (None, "--")]
