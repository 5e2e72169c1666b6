from builders import stream as build
from builders.evidence import evidence, told
from vmstate_tools.checks.framing import framing


def test_a_whole_stream_has_nothing_to_find() -> None:
    assert list(framing(evidence(build.stream()))) == []


def test_a_cut_stream_is_an_error_where_it_was_cut() -> None:
    data = build.stream()
    (finding,) = framing(evidence(data[:6000]))
    assert finding.severity.value == "error"
    assert finding.offset is not None
    assert finding.offset <= 6000
    assert finding.message.startswith("reading had to stop (ram.record): the data ends")


def test_a_section_that_nobody_can_read_is_a_warning() -> None:
    unknown = build.section(build.START, b"whatever", idstr="other", section_id=9)
    data = build.header() + build.configuration() + unknown
    data += build.ram_sections({"pc.ram": [build.page(1)]}) + build.eof()
    (finding,) = framing(evidence(data))
    assert told([finding]) == [
        ("warning", "section other#0 was passed over: a section of a kind that we cannot read")
    ]
    assert finding.offset == data.index(unknown)
