"""What the scheduler saw and decided last, in a file: enough to decide each of it again.

A file is lines of JSON: first the configuration and every object as it was then, reduced to what Dovetail reads of it,
and from there on what happened, in the order in which the engine was told. Before each decision stands what the
engine assumed otherwise than at the one before: with that, the state of the moment is known. (Of volumes it is told
which are kept for claims; claims that are being bound or released keep their pods from being decided, so there is no
decision that hangs on them.) When a file holds as many
decisions as are to be kept, or is too long, or is that of a process before, it becomes PATH.1 in place of the one that
was, and the next begins anew. So the last decisions are there, once or twice as many unless processes follow each other
fast, and no more than two files.

Writing is left to a thread. If it cannot write, or not fast enough, recording ends and scheduling goes on.
"""

import contextlib
import json
import logging
import os
import queue
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from scheduler.cluster import decode, encode
from scheduler.core.engine import Engine
from scheduler.core.errors import ConfigError, InputError
from scheduler.core.explain import to_dict
from scheduler.core.messages import (
    Appraised,
    Event,
    Gone,
    Instruction,
    Kind,
    Reconfigured,
    RecordDecision,
    Rejected,
    Seen,
)
from scheduler.core.model import Allocation, Claim, Resources, Uid
from scheduler.core.plan import Mount, Placement
from scheduler.core.replica import Assumed, Trade
from scheduler.service.settings import RecordSettings, SchedulerConfig
from scoring.market import Market

log = logging.getLogger(__name__)

FORMAT: Final = "dovetail.scheduler/record/v1"
_BYTES: Final = 2**20  # in a megabyte
_WAITING: Final = 100_000  # lines that the thread is behind with at most
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
_BEGUN: Final = "1970-01-01T00:00:00Z"
_Four = tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any], dict[Any, Any]]
_NONE: Final[_Four] = ({}, {}, {}, {})


class Recorder:
    """An engine that is listened to. `read` is to be given to reflectors in place of `decode.decode`."""

    def __init__(self, engine: Engine, settings: RecordSettings, active: SchedulerConfig, minor: int | None) -> None:
        self._engine = engine
        self._settings = settings
        self._minor = minor
        self._raw: dict[int, tuple[object, Kind, bytes]] = {}
        self._current: dict[tuple[str, str], bytes] = {}
        self._configs: dict[str, SchedulerConfig] = {}
        self._active = active
        self._market: Market | None = None
        self._assumed: _Four = _NONE
        self._noted: list[tuple[Placement, Assumed]] = []
        self._decisions = self._bytes = 0
        self._file = _File(Path(settings.path))
        engine.observe = self._observe
        self._begin()

    def read(self, kind: Kind, raw: msgspec.Raw) -> Any:
        """As decode.decode."""
        item = decode.decode(kind, raw)
        self._raw[id(item)] = (item, kind, bytes(raw))
        return item

    def expect(self, active: SchedulerConfig) -> None:
        """What the next Reconfigured was made of."""
        self._configs[active.digest()] = active

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """As the engine."""
        self._before(event)
        out = self._engine.handle(event, now)
        if isinstance(event, Appraised):
            self._trade()
        if self._noted:
            self._decided({each.decision.pod for each in out if isinstance(each, RecordDecision)})
        if self._decisions >= self._settings.decisions or self._bytes >= self._settings.megabytes * _BYTES:
            self._begin()
        return out

    def next_wakeup(self) -> float | None:
        """As the engine."""
        return self._engine.next_wakeup()

    def close(self) -> None:
        """Write what is left."""
        self._file.close()

    # ------------------------------------------------------------ events

    def _before(self, event: Event) -> None:
        if isinstance(event, Seen):
            known = self._raw.pop(id(event.item), None)
            if known is not None:
                item, kind, raw = known
                line = b'{"seen":"%s","object":%s}' % (kind.encode(), decode.essence(kind, raw))
                self._current[kind, _key(item)] = line
                self._write(line)
        elif isinstance(event, Gone):
            self._current.pop((event.kind, event.key), None)
            self._write(_line({"gone": event.kind, "key": event.key, "uid": event.uid}))
        elif isinstance(event, Rejected):
            told = {"key": event.key, "uid": event.uid, "problem": event.problem, "scheduler": event.scheduler}
            line = self._current[event.kind, event.key] = _line({"rejected": event.kind, **told})
            self._write(line)
        elif isinstance(event, Reconfigured):
            self._active = self._configs.pop(event.config.digest, self._active)
            self._write(self._configuration())

    def _configuration(self) -> bytes:
        return _line({"config": self._active.model_dump(mode="json", by_alias=True), "minor": self._minor})

    def _trade(self) -> None:
        trade = Trade.of(self._engine)
        if trade.market is not self._market:
            self._market = trade.market
            self._write(_line(_of_trade(trade)))

    def _observe(self, placement: Placement) -> None:
        allocations, places = self._engine.assumptions()
        state = self._engine.state
        now: _Four = (allocations, places, dict(state.avoided), dict(state.volumes.taken))
        self._noted.append((placement, Assumed(*map(_changes, self._assumed, now))))
        self._assumed = now

    def _decided(self, kept: set[str]) -> None:
        for placement, assumed in self._noted:
            told = {
                "decision": to_dict(placement.decision, weights=False),
                "pod": placement.pod,
                "kept": placement.decision.pod in kept,
                "mounts": [[mount.claim, mount.volume] for mount in placement.mounts],
                "assumed": _of_assumed(assumed),
            }
            self._write(_line(told))
            self._decisions += 1
        self._noted.clear()

    # ------------------------------------------------------------ files

    def _begin(self) -> None:
        """A new file, which holds all that is known."""
        self._decisions = self._bytes = 0
        self._assumed = _NONE
        trade = [_line(_of_trade(Trade.of(self._engine)))] if self._market is not None else []
        head = _line({"record": FORMAT})
        self._file.begin([head, self._configuration(), *self._current.values(), *trade])

    def _write(self, line: bytes) -> None:
        self._bytes += len(line)
        self._file.write(line)


class _File:
    """Writes lines in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: queue.SimpleQueue[list[bytes] | bytes | None] = queue.SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="dovetail-record", daemon=True)
        self._thread.start()

    def begin(self, lines: list[bytes]) -> None:
        """Go on with a new file, which begins with these."""
        if not self._ended:
            self._lines.put(lines)

    def write(self, line: bytes) -> None:
        """Append a line."""
        if self._ended:
            return
        if self._lines.qsize() > _WAITING:
            log.error("the record %s is written too slowly: recording ends", self._path)
            self._ended = True
            return
        self._lines.put(line)

    def close(self) -> None:
        """Write what is left, for some seconds at most."""
        self._lines.put(None)
        self._thread.join(5.0)

    def _keep(self) -> None:
        """What stands there becomes PATH.1, whoever wrote it; a device or a pipe stays what it is."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISREG(self._path.lstat().st_mode):
                os.replace(self._path, f"{self._path}.1")

    def _run(self) -> None:
        file = None
        try:
            while (item := self._lines.get()) is not None:
                if isinstance(item, list):
                    if file is not None:
                        file.close()
                    self._keep()
                    file = os.fdopen(
                        os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb"
                    )
                    for line in item:
                        file.write(line + b"\n")
                else:
                    file.write(item + b"\n")  # type: ignore[union-attr]
                if self._lines.empty():
                    file.flush()  # type: ignore[union-attr]
        except OSError as error:
            self._ended = True
            log.error("the record %s cannot be written (%s): recording ends", self._path, error.strerror)
        finally:
            if file is not None:
                file.close()


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Configured:
    """Which configuration counts from here on, in a cluster of Kubernetes 1.`minor`; begins : a file does here."""

    settings: SchedulerConfig
    minor: int | None
    begins: bool


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, as `core.explain.to_dict` tells it.

    kept : false where it was taken back in the same cycle. mounts : which volumes its claims got, None in a record of a
    version that did not tell.
    """

    pod: Uid
    told: Mapping[str, Any]
    kept: bool
    assumed: Assumed
    mounts: tuple[Mount, ...] | None = None


Entry = Configured | Event | Trade | Decided


def read(path: Path) -> Iterator[Entry]:
    """What a record holds, the older file first. Raises ConfigError with file and line for what cannot be read."""
    files = [each for each in (Path(f"{path}.1"), path) if each.exists()]
    if not files:
        raise ConfigError(str(path), "is not there", "name a record by record.path, and let `dovetail run` write it")
    for file in files:
        began = False
        try:
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if not line.endswith(b"\n"):
                        break  # what is being written, or was when its process was killed
                    yield from _entries(json.loads(line), first=number == 1, begins=not began)
                    began = began or number > 1
        except OSError as error:
            raise ConfigError(str(file), f"cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError, InputError, RecursionError) as error:
            raise ConfigError(f"{file}, line {number}", f"is not of a record ({str(error)[:200]})") from None


def _entries(told: dict[str, Any], *, first: bool, begins: bool) -> Iterator[Entry]:
    if first:
        if told.get("record") != FORMAT:
            raise ValueError(f"the first line does not say {FORMAT}")
    elif "seen" in told:
        yield Seen(decode.decode(told["seen"], told["object"]))
    elif "gone" in told:
        yield Gone(told["gone"], told["key"], Uid(told["uid"]))
    elif "rejected" in told:
        yield Rejected(told["rejected"], told["key"], Uid(told["uid"]), told["problem"], told["scheduler"])
    elif "config" in told:
        yield Configured(SchedulerConfig.model_validate(told["config"]), told["minor"], begins)
    elif "market" in told:
        yield _trade(told)
    else:
        mounts = told.get("mounts")
        yield Decided(
            Uid(told["pod"]),
            told["decision"],
            told["kept"],
            _assumed(told["assumed"]),
            None if mounts is None else tuple(Mount(str(claim), str(volume)) for claim, volume in mounts),
        )


# ---------------------------------------------------------------- codecs


def _changes(before: dict[Any, Any], after: dict[Any, Any]) -> dict[Any, Any]:
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | dict.fromkeys(before.keys() - after.keys())


def _line(told: Mapping[str, Any]) -> bytes:
    return _ENCODE(told).encode()


def _key(item: Any) -> str:
    return str(getattr(item, "key", item.name))


def _of_trade(trade: Trade) -> dict[str, Any]:
    market = {
        each.name: value.tolist() if isinstance(value, np.ndarray) else value
        for each in fields(Market)
        for value in [getattr(trade.market, each.name)]
    }
    return {"market": market, "classes": trade.classes, "parts": trade.parts}


def _trade(told: Mapping[str, Any]) -> Trade:
    market = dict(told["market"])
    classes = len(market["prices"])
    for name in ("count", "milli", "cpu"):
        market[name] = np.array(market[name], np.int64)
    market["serves"] = np.array(market["serves"], np.bool_).reshape(classes, len(market["count"]))
    for name in ("share", "prices", "stranded", "cut_share"):
        market[name] = np.array(market[name], np.float64)
    market["cuts"] = tuple(market["cuts"])
    return Trade(
        Market(**market),
        tuple((tuple(product), width, cpu) for product, width, cpu in told["classes"]),
        tuple((tuple(name), milli) for name, milli in told["parts"]),
    )


def _of_assumed(assumed: Assumed) -> dict[str, Any]:
    return {
        "allocations": {
            uid: found and encode.allocation(found, found.timestamp or _BEGUN)
            for uid, found in assumed.allocations.items()
        },
        "places": {uid: found and [found[0], dict(found[1])] for uid, found in assumed.places.items()},
        "avoided": [[*device, why] for device, why in assumed.avoided.items()],
        "volumes": dict(assumed.volumes),
    }


def _assumed(told: Mapping[str, Any]) -> Assumed:
    places: Iterable[tuple[str, Any]] = told["places"].items()
    return Assumed(
        {Uid(uid): found and _allocation(found) for uid, found in told["allocations"].items()},
        {Uid(uid): found and (str(found[0]), _resources(found[1])) for uid, found in places},
        {(driver, pool, device): why for driver, pool, device, why in told["avoided"]},
        {str(volume): holder and Uid(holder) for volume, holder in told.get("volumes", {}).items()},
    )


def _resources(told: Mapping[str, int]) -> Resources:
    return {str(name): int(amount) for name, amount in told.items()}


def _allocation(told: Mapping[str, Any]) -> Allocation:
    metadata = {"name": "c", "namespace": "n", "uid": "u"}
    found = decode.decode("ResourceClaim", {"metadata": metadata, "spec": {}, "status": {"allocation": told}})
    assert isinstance(found, Claim)
    assert found.allocation is not None
    return replace(found.allocation, timestamp="")
