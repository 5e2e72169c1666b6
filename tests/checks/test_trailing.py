from builders import stream as build
from builders.evidence import evidence, told
from vmstate_tools.checks.trailing import trailing


def test_nothing_behind_the_stream_is_nothing_to_find() -> None:
    assert list(trailing(evidence(build.stream()))) == []


def test_padding_is_told_from_unknown_bytes() -> None:
    whole = len(build.stream())
    (padding,) = trailing(evidence(build.stream(trailing=bytes(512))))
    (unknown,) = trailing(evidence(build.stream(trailing=b"junk")))
    assert told([padding, unknown]) == [
        ("warning", "512 zero bytes, padding perhaps, follow the stream"),
        ("warning", "4 unknown bytes follow the stream"),
    ]
    assert padding.offset == unknown.offset == whole


def test_an_unknown_command_is_a_warning() -> None:
    data = build.header() + build.command(99, b"??") + build.command(build.SWITCHOVER_START)
    data += build.ram_sections({"pc.ram": [b""]}) + build.eof()
    (finding,) = trailing(evidence(data))
    assert told([finding]) == [("warning", "command 99 is not known")]
    assert finding.offset == 8
