"""Judges a cluster by what watches show, while it happens. Shares no code with the scheduler.

A device is held by every claim whose allocation names it, from the change that shows it to the change that does not.
Where two hold one at once that is a double allocation; where schedulers share their devices it is a *clash*, and what
counts is how it ends: Dovetail yields before its pod is bound, or tells the bound pod (event DeviceClash) in time.
What two claims of other schedulers' pods both hold is counted, and is no matter of ours: kube-scheduler gives a device
twice where a restart of the API server loses the answer to a write that was done.
"""

import asyncio
import json
import math
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from e2e.api import Access, Raw, collection, version
from e2e.judge import claim_names, devices_of, reserved

Device = tuple[str, str, str]
OURS: Final = "dovetail"
REPORTED_S: Final = 5.0
_LATE_S: Final = 10.0  # how long what two watches show may lie apart
_AGAIN_S: Final = 0.2
_LAG_S: Final = 1.0  # how far the watch of claims may be behind that of events


@dataclass
class Clash:
    """Two claims that hold one device, from `begun` to `ended`, by the auditor's clock; inf is not yet."""

    device: Device
    claims: tuple[str, str]
    owners: tuple[str, str]  # uids of the pods that they were made for
    begun: float
    ended: float = math.inf
    reported: float | None = None
    ours: frozenset[str] = frozenset()  # pods of ours that use one of the claims
    left: float = math.inf  # when the last of them was gone, and nobody of ours was there to be told
    bound: bool = False  # whether one of them was bound while it lasted
    theirs: bool = False  # both claims are of other schedulers' pods

    def timed(self, start: float) -> str:
        """When what happened, in seconds since the start."""
        times = {"begun": self.begun, "reported": self.reported, "ended": self.ended, "left": self.left}
        told = [f"{name} {at - start:.1f} s" for name, at in times.items() if at is not None and at < math.inf]
        return ", ".join([*told, "bound" if self.bound else "not bound"])


@dataclass
class Verdict:
    """Of a whole run. `faults` is what must never be."""

    faults: list[str] = field(default_factory=list)
    bound: dict[str, int] = field(default_factory=dict)  # by schedulerName
    clashes: list[Clash] = field(default_factory=list)
    claims_seen: int = 0

    pauses: list[tuple[float, float]] = field(default_factory=list)  # in which nobody led, or nothing could be written

    def count(self, clash: Clash) -> str:
        """How it ended: yielded (ours was not bound), reported, gone (with a pod, before it was late) or unreported.

        `theirs` if no pod of ours has anything to do with it.
        """
        if clash.theirs:
            return "theirs"
        if clash.reported is not None and self._seconds(clash.begun, clash.reported) <= REPORTED_S:
            return "reported"
        lasted = self._seconds(clash.begun, min(clash.ended, clash.left))
        if lasted > REPORTED_S:
            return "unreported"
        return "gone" if clash.bound else "yielded"

    def _seconds(self, begun: float, ended: float) -> float:
        """From one time to another, without the pauses."""
        away = sum(max(0.0, min(ended, end) - max(begun, start)) for start, end in self.pauses)
        return ended - begun - away


@dataclass
class _Claim:
    name: str
    owner: str
    devices: frozenset[Device] = frozenset()
    held_at: dict[str, int] = field(default_factory=dict)  # pod uid -> resourceVersion at which it was ready for it
    users: frozenset[str] = frozenset()


@dataclass
class _Bound:
    pod: str
    uid: str
    claims: list[str]
    at: int
    seen: float


class Auditor:
    """Follows pods, claims and events of one namespace.

    contested : whether others allocate the same devices; without it, two claims with one device are a fault.
    """

    def __init__(self, access: Access, namespace: str, *, contested: bool) -> None:
        self.verdict = Verdict()
        self.pods: dict[str, Raw] = {}
        self._access = access
        self._namespace = namespace
        self._contested = contested
        self._claims: dict[str, _Claim] = {}
        self._by_name: dict[str, list[_Claim]] = defaultdict(list)
        self._holders: dict[Device, set[str]] = defaultdict(set)
        self._open: dict[tuple[Device, str, str], Clash] = {}
        self._told: dict[str, float] = {}  # pod uid -> when DeviceClash was last seen for it
        self._checks: list[_Bound] = []
        self._bound: set[str] = set()
        self._scheduler: dict[str, str] = {}  # of every pod that was ever seen, by uid
        self._reached = 0  # resourceVersion of the newest change of a claim

    async def run(self) -> None:
        """Until cancelled."""
        async with self._access.session() as session:
            follow = (
                self._follow(session, "ResourceClaim", self._claim),
                self._follow(session, "Pod", self._pod),
                self._follow(session, "Event", self._event),
                self._judge(),
            )
            await asyncio.gather(*follow)

    def finish(self) -> Verdict:
        """The verdict once nothing more comes."""
        self._judge_bound(float("inf"))
        for clash in self.verdict.clashes:
            clash.theirs = all(self._scheduler.get(owner, OURS) != OURS for owner in clash.owners)
            if not self._contested and not clash.theirs:
                device, (one, other) = "/".join(clash.device), clash.claims
                self.verdict.faults.append(f"device {device} is in claims {one} and {other} at once")
        return self.verdict

    # ------------------------------------------------------------ watches

    async def _follow(self, session: aiohttp.ClientSession, kind: str, take: Callable[[str, Raw], None]) -> None:
        """List and watch for good; what vanished between two lists is told as DELETED."""
        path = collection(kind, self._namespace)
        known: dict[str, Raw] = {}
        while True:
            try:
                async with session.get(path) as answer:
                    answer.raise_for_status()
                    listed = await answer.json()
                present = {each["metadata"]["uid"]: each for each in listed["items"]}
                for uid in [uid for uid in known if uid not in present]:
                    take("DELETED", known.pop(uid))
                for uid, item in present.items():
                    known[uid] = item
                    take("ADDED", item)
                start = listed["metadata"]["resourceVersion"]
                while start:
                    start = await self._watch(session, path, start, known, take)
            except (OSError, ValueError, aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_AGAIN_S)

    async def _watch(
        self,
        session: aiohttp.ClientSession,
        path: str,
        start: str,
        known: dict[str, Raw],
        take: Callable[[str, Raw], None],
    ) -> str:
        """One watch; where to go on, or nowhere when that was too long ago."""
        query = f"watch=true&resourceVersion={start}&allowWatchBookmarks=true&timeoutSeconds=300"
        async for event in _lines(session, f"{path}?{query}"):
            item = event["object"]
            if event["type"] == "ERROR":
                return ""
            start = item["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                known.pop(item["metadata"]["uid"], None)
            else:
                known[item["metadata"]["uid"]] = item
            take(event["type"], item)
        return start

    # ------------------------------------------------------------ claims

    def _claim(self, event: str, item: Raw) -> None:
        uid = item["metadata"]["uid"]
        found = self._claims.get(uid)
        if found is None:
            owners = item["metadata"].get("ownerReferences") or [{"uid": ""}]
            found = self._claims[uid] = _Claim(item["metadata"]["name"], owners[0]["uid"])
            self._by_name[found.name].append(found)
            self.verdict.claims_seen += 1
        self._reached = max(self._reached, version(item))
        devices = frozenset() if event == "DELETED" else frozenset(_exclusive(item))
        found.users = frozenset(reserved(item))
        if devices_of(item):
            for user in found.users:
                found.held_at.setdefault(user, version(item))
        now = time.monotonic()
        for device in found.devices - devices:
            self._holders[device].discard(uid)
            for key in [key for key in self._open if key[0] == device and uid in key[1:]]:
                self._open.pop(key).ended = now
        for device in devices - found.devices:
            for other in self._holders[device]:
                self._clash(device, uid, other, now)
            self._holders[device].add(uid)
        found.devices = devices
        if event == "DELETED":
            del self._claims[uid]

    def _clash(self, device: Device, uid: str, other: str, now: float) -> None:
        first, second = sorted((uid, other))
        one, another = self._claims[first], self._claims[second]
        made = Clash(device, (one.name, another.name), (one.owner, another.owner), now)
        clash = self._open[device, first, second] = made
        self.verdict.clashes.append(clash)
        self._look(clash, first, second)

    def _look(self, clash: Clash, first: str, second: str) -> None:
        """Whose pods are in it, and whether one of ours is bound."""
        users = {user for uid in (first, second) if uid in self._claims for user in self._claims[uid].users}
        clash.ours |= {user for user in users if self._scheduler.get(user) == OURS}
        clash.bound |= not clash.ours.isdisjoint(self._bound)
        if clash.ours and clash.ours.isdisjoint(self.pods):
            clash.left = min(clash.left, time.monotonic())
        if clash.reported is None:
            told = [self._told[user] for user in clash.ours if self._told.get(user, 0.0) >= clash.begun - _LAG_S]
            clash.reported = min(told, default=None)

    # ------------------------------------------------------------ pods

    def _pod(self, event: str, item: Raw) -> None:
        uid = item["metadata"]["uid"]
        if event == "DELETED":
            self.pods.pop(uid, None)
            return
        self.pods[uid] = item
        self._scheduler[uid] = item["spec"]["schedulerName"]
        if item["spec"].get("nodeName") and uid not in self._bound:
            self._bound.add(uid)
            scheduler = item["spec"]["schedulerName"]
            self.verdict.bound[scheduler] = self.verdict.bound.get(scheduler, 0) + 1
            names = claim_names(item)
            self._checks.append(_Bound(item["metadata"]["name"], uid, names, version(item), time.monotonic()))

    def _event(self, event: str, item: Raw) -> None:
        if event != "DELETED" and item.get("reason") == "DeviceClash":
            self._told[item["involvedObject"]["uid"]] = time.monotonic()

    async def _judge(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            for (_, first, second), clash in self._open.items():
                self._look(clash, first, second)
            self._judge_bound(time.monotonic())

    def _judge_bound(self, now: float) -> None:
        """A bound pod's claims were allocated and reserved for it before the binding."""
        waiting: list[_Bound] = []
        for each in self._checks:
            if self._reached < each.at and now < each.seen + _LATE_S:
                waiting.append(each)
                continue
            for name in each.claims:
                at = [claim.held_at[each.uid] for claim in self._by_name[name] if each.uid in claim.held_at]
                if not at or min(at) > each.at:
                    self.verdict.faults.append(f"pod {each.pod}: was bound before its claim {name} was reserved for it")
        self._checks = waiting


def _exclusive(claim: Raw) -> list[Device]:
    """Devices that a claim has for itself."""
    allocation = (claim.get("status") or {}).get("allocation") or {}
    results = allocation.get("devices", {}).get("results", [])
    return [(e["driver"], e["pool"], e["device"]) for e in results if not e.get("adminAccess") and not e.get("shareID")]


async def _lines(session: aiohttp.ClientSession, url: str) -> AsyncIterator[Any]:
    async with session.get(url, timeout=aiohttp.ClientTimeout(total=None, sock_read=330)) as answer:
        answer.raise_for_status()
        rest = b""
        async for chunk in answer.content.iter_any():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield json.loads(line)
