"""Settings over settings: how a study's layers become the settings of one variant, and which line set what.

merging      mappings merge deeply; all else replaces what is below it
replacing    a mapping whose `kind` (for data: `name`) differs from the one below replaces it wholly, as the fields
             of another kind mean nothing to it
dotted keys  `model.memory.read: null` is `model: {memory: {read: null}}`, at any depth
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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


NOTHING = Layer({}, {})


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
    return "name" if path in (("data",), ("pretraining", "data")) else "kind"


@dataclass(frozen=True)
class Resolved:
    """Layers merged so far. Which of them set what is worked out once it is asked for: only faults ask."""

    values: dict[str, Any]
    below: Resolved | None = None
    upper: Layer = NOTHING
    """What lies over `below`."""

    def over(self, upper: Layer) -> Resolved:
        """These settings with another layer on top; neither is changed."""
        return Resolved(_merge(self.values, upper.values, ()), self, upper) if upper.values else self

    @cached_property
    def origins(self) -> dict[SettingPath, Path_]:
        """Which place of the study set each setting that a layer names."""
        if self.below is None:
            return {}
        origins = dict(self.below.origins)
        _move_origins(self.below.values, self.upper.values, (), origins, self.upper.origins)
        return origins

    def origin(self, path: SettingPath) -> tuple[Path_ | None, SettingPath]:
        """Which place of the study set a setting, and how much of the path that place names."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]], path[:end]
        return None, ()

    def is_set(self, path: SettingPath) -> bool:
        """Whether any layer names a path."""
        return path in self.upper.origins or (self.below is not None and self.below.is_set(path))


def _merge(below: dict[str, Any], above: dict[str, Any], at: SettingPath) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        if isinstance(value, dict) and isinstance(under, dict) and not _other_kind(under, value, path := (*at, key)):
            value = _merge(under, value, path)
        merged[key] = value
    return merged


def _move_origins(
    below: dict[str, Any],
    above: dict[str, Any],
    at: SettingPath,
    origins: dict[SettingPath, Path_],
    new: dict[SettingPath, Path_],
) -> None:
    """Origins after a merge: what a layer merges with keeps its own, what it replaces has those of the layer."""
    for key, value in above.items():
        path = (*at, key)
        under = below.get(key)
        if isinstance(value, dict) and isinstance(under, dict) and not _other_kind(under, value, path):
            origins[path] = new[path]
            _move_origins(under, value, path, origins, new)
            continue
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]
        origins |= {known: origin for known, origin in new.items() if known[: len(path)] == path}


def _other_kind(below: dict[str, Any], above: dict[str, Any], path: SettingPath) -> bool:
    tag = discriminator(path)
    return tag in above and above[tag] != below.get(tag)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path → value for every leaf; lists are leaves, and so is an empty mapping."""
    leaves: dict[str, Any] = {}
    _lay_flat(settings, prefix, leaves)
    return leaves


def _lay_flat(settings: Mapping[str, Any], prefix: str, into: dict[str, Any]) -> None:
    for key, value in settings.items():
        if value and isinstance(value, dict):
            _lay_flat(value, f"{prefix}{key}.", into)
        else:
            into[f"{prefix}{key}"] = value


def value_at(settings: Any, path: str) -> Any:
    """The value at a dotted path; below a part that is None everything is None. Raises KeyError."""
    for part in path.split("."):
        if settings is None:
            return None
        if not isinstance(settings, Mapping):
            raise KeyError(path)
        settings = settings[part]
    return settings
