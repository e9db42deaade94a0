"""The state of an app: every control by name, versioned, as a dictionary and as the query of a link."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import param

THEMES = ["light", "dark"]


class AppModel(param.Parameterized):
    """A view-model: its controls are parameters, of which those in `kept` are the state."""

    version: ClassVar[int] = 1
    kept: ClassVar[tuple[str, ...]] = ()
    leading: ClassVar[tuple[str, ...]] = ("scenario",)
    """Set before the others, as they choose what the others may be."""

    theme = param.Selector(default="light", objects=THEMES)

    def to_dict(self) -> dict[str, Any]:
        """The state of every control."""
        return {"version": self.version, **{name: getattr(self, name) for name in self.kept}}

    def from_dict(self, state: Mapping[str, Any]) -> None:
        """Set the controls that `state` names; the inverse of `to_dict`."""
        rest = dict(state)
        version = rest.pop("version", self.version)
        if version != self.version:
            raise ValueError(f"version = {version!r}: this app reads version {self.version}")
        unknown = sorted(set(rest) - set(self.kept))
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no control of this app; expected some of {', '.join(self.kept)}"
            )
        first = {name: rest.pop(name) for name in self.leading if name in rest}
        self.param.update(**first)
        self.param.update(**rest)

    def query(self) -> str:
        """The state as the query of a link, `?scenario=...`."""
        return "?" + urlencode({name: _text(value) for name, value in self.to_dict().items()})

    def from_query(self, query: str) -> None:
        """Set the controls that a link names."""
        self.from_texts(dict(parse_qsl(query.removeprefix("?"))))

    def from_texts(self, entries: Mapping[str, str]) -> None:
        """Set controls to what the entries of a query say."""
        self.from_dict({name: _value(text) for name, text in entries.items()})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
