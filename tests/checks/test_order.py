from builders import stream as build
from builders.evidence import evidence, told
from vmstate_tools.checks.order import order

BLOCKS: dict[str, list[bytes | None]] = {"pc.ram": [build.page(1)]}
GLOBAL_STATE = build.Device(idstr="globalstate", section_id=9)
TIMER = build.Device()


def stream(*parts: bytes) -> bytes:
    return build.header() + build.configuration() + b"".join(parts) + build.eof()


RAM = build.ram_sections(BLOCKS)
RAM_PART = build.section(build.PART, build.ram_eos())
RAM_END = build.section(build.END, build.ram_eos())


def found(*parts: bytes) -> list[tuple[str, str]]:
    return told(list(order(evidence(stream(*parts)))))


def test_a_background_snapshot_ends_no_memory() -> None:
    assert found(RAM, TIMER.section(), GLOBAL_STATE.section()) == []


def test_a_precopy_ends_it() -> None:
    assert found(RAM, RAM_END, TIMER.section(), GLOBAL_STATE.section()) == []


def test_some_devices_come_before_memory() -> None:
    assert found(TIMER.section(), RAM, RAM_END, GLOBAL_STATE.section()) == []


def test_memory_behind_a_device_is_an_error_at_its_place() -> None:
    data = stream(RAM, GLOBAL_STATE.section(), RAM_PART)
    (finding,) = order(evidence(data))
    assert told([finding]) == [
        ("error", "PART of section ram#0 comes after the state of device globalstate#0")
    ]
    assert finding.offset == data.rindex(RAM_PART)


def test_what_goes_on_after_its_end_is_an_error() -> None:
    assert found(RAM, RAM_END, RAM_PART, GLOBAL_STATE.section()) == [
        ("error", "PART of section ram#0 goes on after its end")
    ]


def test_what_begins_and_does_not_end_is_an_error() -> None:
    other = build.section(build.START, b"", idstr="other", section_id=4)
    messages = found(other, RAM, RAM_END, GLOBAL_STATE.section())
    assert messages == [("error", "START of section other#0 begins and does not end")]


def test_what_begins_twice_is_an_error() -> None:
    other = build.section(build.START, b"", idstr="other", section_id=4)
    end = build.section(build.END, b"", section_id=4)
    messages = found(other, other, end, RAM, RAM_END, GLOBAL_STATE.section())
    assert messages == [("error", "START of section other#0 begins twice")]


def test_a_device_that_is_there_twice_is_an_error() -> None:
    data = stream(RAM, TIMER.section(), GLOBAL_STATE.section(), TIMER.section())
    (finding,) = order(evidence(data))
    assert told([finding]) == [("error", "timer#0 is there twice")]
    assert finding.offset == data.rindex(TIMER.payload)


def test_a_missing_run_state_is_a_warning() -> None:
    assert found(RAM, TIMER.section()) == [
        ("warning", "no section globalstate: a paused guest would run when it is restored")
    ]


def test_old_machine_types_have_no_run_state() -> None:
    data = build.header() + RAM + TIMER.section() + build.eof()
    assert list(order(evidence(data))) == []


def test_no_devices_are_an_error() -> None:
    assert found(RAM) == [("error", "no device state")]


def test_no_memory_is_a_warning() -> None:
    assert found(TIMER.section(), GLOBAL_STATE.section()) == [("warning", "no guest memory")]


def test_a_postcopy_stream_is_a_warning() -> None:
    assert found(RAM, build.packaged(b"whatever"), RAM_END) == [
        (
            "warning",
            "a postcopy stream: it was a conversation, and cannot be restored from a file",
        )
    ]
