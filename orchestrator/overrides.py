"""Settings over settings: how a study's layers become the settings of one variant, and which line set what.

merging      mappings merge deeply; all else replaces what is below it
replacing    a mapping whose `kind` (for data: `name`) differs from the one below replaces it wholly, as the fields
             of another kind mean nothing to it
dotted keys  `model.memory.read: null` is `model: {memory: {read: null}}`, at any depth
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.positions import Path_

SettingPath = tuple[str, ...]


class DoubleSetting(ValueError):
    """One mapping sets the same thing twice, by a dotted and by a nested key."""

    def __init__(self, path: SettingPath, origin: Path_) -> None:
        super().__init__(f"sets {'.'.join(path)} a second time, wanted once in a mapping")
        self.origin = origin


@dataclass(frozen=True)
class Layer:
    """Nested overrides without dotted keys, and for each setting the place in the study that wrote it."""

    values: dict[str, Any]
    origins: dict[SettingPath, Path_]


def layer(given: Mapping[str, Any], place: Path_) -> Layer:
    """Spell dotted keys out. Raises DoubleSetting."""
    made = Layer({}, {})
    _spell_out(given, place, made.values, (), made.origins)
    return made


def single(path: str, value: Any, place: Path_) -> Layer:
    """One setting by its dotted path; `place` is that of the value."""
    made = layer({path: value}, place)
    # the value does not stand under its path in the file, but in a list or below a label
    at = tuple(path.split("."))
    origins = {setting: place + origin[len(place) + 1 :] for setting, origin in made.origins.items()}
    return Layer(made.values, {**origins, **{at[:end]: place for end in range(1, len(at) + 1)}})


def _spell_out(
    given: Mapping[str, Any], place: Path_, into: dict[str, Any], at: SettingPath, origins: dict[SettingPath, Path_]
) -> None:
    for key, value in given.items():
        origin = (*place, key)
        *outer, last = key.split(".")
        inside, path = into, at
        for part in outer:
            path = (*path, part)
            inside = inside.setdefault(part, {})
            if not isinstance(inside, dict):
                raise DoubleSetting(path, origin)
            origins[path] = origin
        path = (*path, last)
        origins[path] = origin
        if isinstance(value, Mapping):
            below = inside.setdefault(last, {})
            if not isinstance(below, dict):
                raise DoubleSetting(path, origin)
            _spell_out(value, origin, below, path, origins)
        elif last in inside:
            raise DoubleSetting(path, origin)
        else:
            inside[last] = value


def discriminator(path: SettingPath) -> str:
    """The field that tells the classes of a choice apart. Only data sets go by name; an encoder's name chooses none."""
    return "name" if path == ("data",) else "kind"


@dataclass
class Resolved:
    """Layers merged so far."""

    values: dict[str, Any]
    origins: dict[SettingPath, Path_] = field(default_factory=dict)

    def over(self, upper: Layer) -> Resolved:
        """These settings with another layer on top; neither is changed."""
        origins = dict(self.origins)
        values = _merge(self.values, upper.values, (), origins, upper.origins)
        return Resolved(values, origins)

    def origin(self, path: SettingPath) -> tuple[Path_ | None, SettingPath]:
        """Which place of the study set a setting, and how much of the path that place names."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]], path[:end]
        return None, ()


def _merge(
    below: dict[str, Any],
    above: dict[str, Any],
    at: SettingPath,
    origins: dict[SettingPath, Path_],
    new: dict[SettingPath, Path_],
) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        path = (*at, key)
        under = below.get(key)
        if isinstance(value, dict) and isinstance(under, dict) and not _other_kind(under, value, path):
            origins[path] = new[path]
            merged[key] = _merge(under, value, path, origins, new)
            continue
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]
        origins |= {known: origin for known, origin in new.items() if known[: len(path)] == path}
        merged[key] = value
    return merged


def _other_kind(below: dict[str, Any], above: dict[str, Any], path: SettingPath) -> bool:
    tag = discriminator(path)
    return tag in above and above[tag] != below.get(tag)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path → value for every leaf; lists are leaves, and so is an empty mapping."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            leaves |= flat(value, f"{path}.")
        else:
            leaves[path] = value
    return leaves


def value_at(settings: Any, path: str) -> Any:
    """The value at a dotted path; below a part that is None everything is None. Raises KeyError."""
    for part in path.split("."):
        if settings is None:
            return None
        if not isinstance(settings, Mapping):
            raise KeyError(path)
        settings = settings[part]
    return settings
