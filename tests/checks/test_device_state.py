from builders import stream as build
from builders.evidence import evidence, told
from vmstate_tools.checks.device_state import device_state

TIMER = build.Device()
SERIAL = build.Device(idstr="serial", section_id=7)


def stream(devices: list[build.Device], described: object) -> bytes:
    return b"".join(
        [
            build.header(),
            build.configuration(),
            build.ram_sections({"pc.ram": [build.page(1)]}),
            *(device.section() for device in devices),
            build.eof(),
            build.description(described),
        ]
    )


def found(devices: list[build.Device], described: list[build.Device]) -> list[tuple[str, str]]:
    return told(list(device_state(evidence(stream(devices, build.vmdesc(described))))))


def test_devices_that_agree_are_nothing_to_find() -> None:
    assert found([TIMER, SERIAL], [TIMER, SERIAL]) == []


def test_no_devices_are_for_another_check_to_find() -> None:
    assert list(device_state(evidence(build.header() + build.eof()))) == []


def test_no_description_is_a_warning() -> None:
    assert told(list(device_state(evidence(build.stream(described=False))))) == [
        ("warning", "the stream has no description, so that device state was not looked into")
    ]


def test_a_description_that_is_no_json_is_an_error() -> None:
    (finding,) = device_state(evidence(stream([TIMER], b'{"page_size": 4096, "devices": [}')))
    assert finding.severity.value == "error"
    assert finding.message.startswith("the description cannot be read: not JSON")


def test_another_version_is_an_error() -> None:
    older = build.Device(version_id=1)
    assert found([TIMER], [older]) == [("error", "timer#0 has version 2, not 1 as described")]


def test_a_described_device_that_is_not_there_is_an_error() -> None:
    assert found([TIMER], [TIMER, SERIAL]) == [
        ("error", "serial#0 is described and not in the stream")
    ]


def test_a_device_that_is_not_described_is_an_error() -> None:
    messages = found([TIMER, SERIAL], [TIMER])
    assert ("error", "serial#0 is not described") in messages


def test_a_missing_subsection_is_an_error_at_its_place() -> None:
    subsection: dict[str, object] = {
        "vmsd_name": "timer/more",
        "version": 1,
        "fields": [{"name": "x", "type": "uint8", "size": 1}],
    }
    described = build.Device(subsections=[subsection])
    data = stream([TIMER, SERIAL], build.vmdesc([described, SERIAL]))
    (finding,) = device_state(evidence(data))
    assert finding.severity.value == "error"
    assert finding.message.startswith("timer#0: no subsection timer/more of version 1")
    assert finding.offset == data.index(TIMER.payload) + len(TIMER.payload)
