"""The dated table of driver releases (`drivers.yaml`), and which of them runs in a cluster."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from scheduler.cluster.documents import read_yaml
from scheduler.readiness.published import Published
from scheduler.readiness.record import Workload

TABLE: Final = Path(__file__).with_name("drivers.yaml")
_VERSION: Final = re.compile(r"v?(\d+\.\d+\.\d+)([-+.].*)?", re.ASCII)


class Release(BaseModel):
    """One release. publishes : traits; options : traits behind a feature gate of the driver. date : of its source."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    release: str
    date: str
    source: str
    publishes: tuple[str, ...] = Field(default=(), strict=False)
    options: dict[str, list[str]] = Field(default_factory=dict)
    sharing: tuple[str, ...] = Field(default=(), strict=False)
    note: str = ""


class Driver(BaseModel):
    """A driver. devices : what they are; images : words in the names of its images.

    resources : the prefix of the device plugin's resources for the same devices, empty if there is none.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    driver: str
    devices: str
    classes: tuple[str, ...] = Field(strict=False)
    images: tuple[str, ...] = Field(strict=False)
    resources: str = ""
    releases: tuple[Release, ...] = Field(default=(), strict=False)

    @property
    def newest(self) -> Release | None:
        """The newest release of the table."""
        return self.releases[-1] if self.releases else None


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    table: str
    drivers: list[Driver]


@dataclass(frozen=True, slots=True)
class Installed:
    """Which release of a driver runs, as far as it can be told.

    version : of the image, empty if unknown. release : its entry in the table. why : from what this is known, or why it
    is not. gates : of the driver, as its containers are given them.
    """

    version: str
    release: Release | None
    why: str
    gates: Mapping[str, bool]


@cache
def table() -> Mapping[str, Driver]:
    """The table, by driver."""
    return {each.driver: each for each in _read().drivers}


def table_date() -> str:
    """When the table was looked through last."""
    return _read().table


@cache
def _read() -> _Table:
    return _Table.model_validate(read_yaml(TABLE.read_text(encoding="utf-8")))


def installed(driver: Driver | None, found: Published, workloads: Iterable[Workload], unread: str) -> Installed:
    """Which release publishes this. unread : why DaemonSets could not be listed, empty if they could."""
    if driver is None:
        return Installed("", None, "the driver is not in the table", {})
    mine = [each for each in workloads if any(_is_of(driver, image) for image in each.images)]
    gates = {name: on for each in mine for name, on in each.gates.items()}
    versions = sorted({_tag(image) for each in mine for image in each.images if _is_of(driver, image)})
    if len(versions) == 1 and versions[0]:
        release = _entry(driver, versions[0])
        where = f"image of DaemonSet {mine[0].namespace}/{mine[0].name}".replace(" /", " ")
        return Installed(versions[0], release, where, gates)
    if versions:
        return Installed("", None, f"its images say {', '.join(each or 'no version' for each in versions)}", gates)
    reason = "DaemonSets could not be read" if unread else "no DaemonSet has one of its images"
    return Installed("", None, _inferred(driver.releases, found, reason), gates)


def _inferred(releases: Sequence[Release], found: Published, reason: str) -> str:
    """What the slices tell of a release that is not known otherwise."""
    for index, release in reversed(list(enumerate(releases))):
        earlier = {trait for each in releases[:index] for trait in (*each.publishes, *_optional(each))}
        fresh = [trait for trait in (*release.publishes, *_optional(release)) if trait not in earlier]
        shown = [trait for trait in fresh if trait in found.traits]
        if index and shown:
            return f"{reason}; it publishes {', '.join(shown)}, as {release.release} and newer do"
    return reason


def _optional(release: Release) -> list[str]:
    return [trait for traits in release.options.values() for trait in traits]


def _is_of(driver: Driver, image: str) -> bool:
    name = _path(image).rpartition("/")[2]
    return name in driver.images


def _path(image: str) -> str:
    path = image.partition("@")[0]
    head, colon, tag = path.rpartition(":")
    return head if colon and "/" not in tag else path


def _tag(image: str) -> str:
    path = image.partition("@")[0]
    _, colon, tag = path.rpartition(":")
    return tag if colon and "/" not in tag else ""


def _entry(driver: Driver, version: str) -> Release | None:
    """The entry of a version; builds of a release, such as v0.5.0-ubi9, are the release."""
    found = _VERSION.fullmatch(version)
    plain = found[1] if found else version
    return next((each for each in driver.releases if each.release.removeprefix("v") == plain), None)
