"""The value of an option such as `-drive` or `-blockdev`: `key=value,…` or JSON.

Both become pairs of a dotted key (`file.filename`, `hostfwd.0.str`) and a value, in order.
QEMU docs: qemu(1); QEMU 10.0 util/keyval.c and util/qemu-option.c.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from vmstate_tools.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Value = str | int | float | bool | None | list[Any] | dict[str, Any]
"""Text where the option was `key=value`; a list or an object only where it is empty."""

TRUE_WORDS = ("on", "yes", "true", "y")

_ITEM = re.compile(r"((?:[^,]|,,)*)(?:,|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """Ordered pairs; a key may come more than once (`hostfwd`), and then the last one counts."""

    pairs: tuple[tuple[str, Value], ...]
    is_json: bool = False
    implied: str | None = None
    """The key that the first value may leave out: `driver` for `-blockdev`."""

    @classmethod
    def parse(cls, text: str, implied: str | None = None) -> Self:
        """Split the value of an option.

        Raises:
            UsageError: it begins like JSON and is none.
        """
        if not text.startswith("{"):
            return cls(pairs=tuple(_keyval_pairs(text, implied)), implied=implied)
        try:
            return cls(pairs=tuple(_flatten(json.loads(text), "")), is_json=True)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"QEMU option {text[:60]!r} is not JSON: {error}") from error

    def get(self, key: str) -> Value:
        """Return the value of `key`, None where there is none."""
        return next((value for name, value in reversed(self.pairs) if name == key), None)

    def text(self, key: str) -> str | None:
        """Return the value of `key` where it is text."""
        value = self.get(key)
        return value if isinstance(value, str) else None

    def is_on(self, key: str) -> bool:
        """Tell whether a switch is on."""
        value = self.get(key)
        return value is True or value in TRUE_WORDS

    def has(self, key: str) -> bool:
        """Tell whether `key`, or anything below it, is given."""
        return any(_is_at(name, key) for name, _ in self.pairs)

    def with_value(self, key: str, value: Value) -> Self:
        """Set `key`, in its place or at the end."""
        kept, is_set = [], False
        for name, old in self.pairs:
            if name != key:
                kept.append((name, old))
            elif not is_set:
                kept.append((name, value))
                is_set = True
        return replace(self, pairs=(*kept, *(() if is_set else ((key, value),))))

    def without(self, *keys: str) -> Self:
        """Leave out `keys` and everything below them."""
        kept = (pair for pair in self.pairs if not any(_is_at(pair[0], key) for key in keys))
        return replace(self, pairs=tuple(kept))

    def mapped(self, change: Callable[[str, Value], tuple[str, Value]]) -> Self:
        """Change every pair."""
        return replace(self, pairs=tuple(change(key, value) for key, value in self.pairs))

    def to_text(self) -> str:
        """Write it as the option has it."""
        if self.is_json:
            return json.dumps(_nest(self.pairs), separators=(",", ":"))
        return ",".join(
            escape_commas(_plain(value))
            if index == 0 and key == self.implied and "=" not in _plain(value)
            else f"{key}={escape_commas(_plain(value))}"
            for index, (key, value) in enumerate(self.pairs)
        )


def escape_commas(text: str) -> str:
    """Write a value so that QEMU does not split it."""
    return text.replace(",", ",,")


def _is_at(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _plain(value: Value) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _keyval_pairs(text: str, implied: str | None) -> Iterator[tuple[str, Value]]:
    for index, item in enumerate(_ITEM.findall(text)):
        key, equals, value = item.partition("=")
        if equals:
            yield key, value.replace(",,", ",")
        elif index == 0 and implied is not None:
            yield implied, item.replace(",,", ",")
        elif item.startswith("no") and item != "nodelay":
            yield item.removeprefix("no"), "off"  # `nowait`
        elif item:
            yield item, "on"  # `server`


def _flatten(value: Any, prefix: str) -> Iterator[tuple[str, Value]]:  # noqa: ANN401 (JSON)
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, inner in items:
        if isinstance(inner, dict | list) and inner:
            yield from _flatten(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def _nest(pairs: tuple[tuple[str, Value], ...]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in pairs:
        *path, last = key.split(".")
        node = tree
        for name in path:
            inner = node.setdefault(name, {})
            if not isinstance(inner, dict):  # `file` and `file.locking`: QEMU takes both
                node, last = tree, key
                break
            node = inner
        node[last] = value
    return {key: _listed(value) for key, value in tree.items()}


def _listed(value: Value) -> Value:
    """Turn objects whose keys count from 0 back into lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(item) for key, item in value.items()}
    is_list = bool(inner) and list(inner) == [str(index) for index in range(len(inner))]
    return list(inner.values()) if is_list else inner
