"""How much each scorer counts for a pod: a profile of the configuration, or what the pod's annotations ask for.

Annotations are written by tenants. What is more than the admin allows, or cannot be read, is not followed in part: the
pod is scheduled with the default weights, and its owner is told why.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from scheduler.core import names
from scheduler.core.config import EngineConfig
from scheduler.core.errors import printable
from scheduler.core.model import Pod
from scoring.opinion import Opinion
from scoring.profiles import profiles
from scoring.weights import DEFAULTS, Weights, nearest

MAX_NAME: Final = 63
MAX_TEXT: Final = 1_024
_SHAPE: Final = 'write {"bandwidth": 40}'


@dataclass(frozen=True, slots=True)
class Preference:
    """What counts for a pod.

    profile : its name. problem : why its annotations are not followed, empty if they are. digest : of the configuration
    that says so.
    """

    profile: str
    opinion: Opinion
    problem: str = ""
    digest: str = ""


class Opinions:
    """The preference of every pod, for one configuration. Raises ValueError for one that cannot be used."""

    MAX_READ = 1_024

    def __init__(self, config: EngineConfig) -> None:
        self._vectors = profiles(config.profiles, config.profile, config.weights)
        self._of_profile = {
            name: Preference(name, Opinion(weights), digest=config.digest) for name, weights in self._vectors.items()
        }
        self._default = self._of_profile[config.profile]
        for scheduler, profile in config.scheduler_profiles.items():
            if profile not in self._of_profile:
                said = f"schedulerProfiles.{scheduler} = {profile!r}"
                raise ValueError(f"{said}: no profile has this name; {nearest(profile, self._vectors)}")
        self._defaults = {name: self._of_profile[profile] for name, profile in config.scheduler_profiles.items()}
        allowed = config.overrides.profiles
        self._profiles = [name for name in self._vectors if allowed is None or name in allowed]
        self._limits = dict(config.overrides.weights)
        self._read: OrderedDict[tuple[str, str | None, str | None], Preference] = OrderedDict()

    def __contains__(self, opinion: Opinion) -> bool:
        """Whether it is that of a profile."""
        return any(each.opinion == opinion for each in self._of_profile.values())

    def of(self, pod: Pod) -> Preference:
        """What counts for a pod."""
        name, text = pod.annotations.get(names.PROFILE), pod.annotations.get(names.WEIGHTS)
        default = self._defaults.get(pod.scheduler_name, self._default)
        if name is None and text is None:
            return default
        # Nothing is read of what is too long: all that begins alike is refused alike.
        key = (default.profile, name and name[: MAX_NAME + 1], text and text[: MAX_TEXT + 1])
        found = self._read.get(key)
        if found is None:
            if len(self._read) >= self.MAX_READ:
                self._read.popitem(last=False)
            found = self._read[key] = self._follow(*key)
        self._read.move_to_end(key)
        return found

    def _follow(self, standard: str, name: str | None, text: str | None) -> Preference:
        """What annotations come to for a pod that has profile `standard` if it chooses none."""
        default = self._of_profile[standard]
        try:
            chosen = default if name is None else self._profile(name, standard)
            given = {} if text is None else self._weights(text)
        except _RefusedError as refusal:
            return replace(default, problem=printable(str(refusal)))
        if not given:
            return chosen
        weights = Weights({**self._vectors[chosen.profile].values, **given})
        return replace(chosen, opinion=Opinion(weights))

    def _profile(self, name: str, standard: str) -> Preference:
        if name in self._profiles or name == standard:
            return self._of_profile[name]
        where = f"annotation {names.PROFILE}"
        allowed = f"allowed are: {', '.join(self._profiles) or 'none'}"
        if len(name) > MAX_NAME:
            raise _RefusedError(f"{where}: is longer than {MAX_NAME} characters; {allowed}")
        if name in self._vectors:
            raise _RefusedError(f"{where}: {_show(name)} may not be chosen by pods; {allowed}")
        hint = nearest(name, self._profiles) if self._profiles else allowed
        raise _RefusedError(f"{where}: no profile is called {_show(name)}; {hint}")

    def _weights(self, text: str) -> Mapping[str, float]:
        where = f"annotation {names.WEIGHTS}"
        if len(text) > MAX_TEXT:
            raise _RefusedError(f"{where}: is longer than {MAX_TEXT} characters; {_SHAPE}")
        try:
            pairs = json.loads(text, object_pairs_hook=_Pairs, parse_constant=float)
        except (ValueError, RecursionError) as error:
            raise _RefusedError(f"{where}: is not JSON ({str(error)[:80]}); {_SHAPE}") from None
        if not isinstance(pairs, _Pairs):
            raise _RefusedError(f"{where}: is {_show(pairs)}, not an object; {_SHAPE}")
        found: dict[str, float] = {}
        for name, weight in pairs:
            if name in found:
                raise _RefusedError(f"{where}: {name} is given twice; keep one")
            found[name] = self._within(f"{where}: {_show(name)}", name, weight)
        return found

    def _within(self, where: str, name: str, weight: object) -> float:
        """A weight that pods may set."""
        if name not in DEFAULTS:
            raise _RefusedError(f"{where}: no scorer has this name; {nearest(name, self._limits or DEFAULTS)}")
        if name not in self._limits:
            allowed = ", ".join(f"{each} {_span(*limits)}" for each, limits in self._limits.items()) or "none"
            raise _RefusedError(f"{where}: may not be set by pods; allowed are: {allowed}")
        least, most = self._limits[name]
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise _RefusedError(f"{where}: {_show(weight)} is not a number; allowed is {_span(least, most)}")
        if not least <= weight <= most:
            raise _RefusedError(f"{where}: {_show(weight)} is beyond the limits; allowed is {_span(least, most)}")
        return float(weight)


class _RefusedError(Exception):
    """What an annotation says is not followed: which annotation, which key, what is wrong, what is allowed."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it stands, keys that come twice included."""


def _span(least: float, most: float) -> str:
    return f"{least:g} to {most:g}"


def _show(value: object) -> str:
    """Short, and safe to make for whatever JSON may hold."""
    match value:
        case _Pairs():
            return "an object"
        case list():
            return "a list"
        case str():
            return repr(value[:40])
        case int() if not isinstance(value, bool) and abs(value) >= 10**40:
            return "a huge number"
        case _:
            return str(json.dumps(value))
