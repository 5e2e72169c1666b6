from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.device.decode import decode_vmsd
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from conftest import RealStream


def test_the_configuration_is_explained_where_it_is_described(real_stream: RealStream) -> None:
    with open_snapshot(real_stream.path) as snapshot:
        described = None if snapshot.vmdesc is None else snapshot.vmdesc.configuration
        is_newer = real_stream.name.endswith("10.0") and snapshot.vmdesc is not None
        assert (described is not None) == is_newer
        if described is None or snapshot.configuration is None:
            return
        place = snapshot.configuration
        values, problems = decode_vmsd(snapshot.source, described, place.offset + 1, place.end)
        assert problems == ()
        name = values.to_plain()["name"]
        assert isinstance(name, str)
        assert bytes.fromhex(name).decode() == real_stream.expected["machine"]
