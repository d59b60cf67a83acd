"""I20: whether what a pod is told about nodes is so, by counting them anew.

A reason says `0 of N nodes fit: A <obstacle>, B <obstacle>; C <obstacle of another way>; <note>`. Each node is counted
once in each way, but for those that lack several resources, which are counted with each of them; and what an obstacle
says of nodes and devices is looked up in what is there.
"""

import re
from collections.abc import Callable, Iterator

from e2e.sim.invariants import Judge
from e2e.sim.oracle import OWNED, Published, admits, alternatives, amount, claim_names, requests_of, selected
from e2e.sim.store import Item, Raw, Store, done

_COUNTED = re.compile(r"\b0 of (\d+) nodes fit(?:: (.*))?$", re.DOTALL)
_OBSTACLE = re.compile(r"(\d+) (.*)", re.DOTALL)
_AMOUNT = re.compile(r"lack (\S+) \(asks ")
_LACKS = re.compile(r"lack (\d+|all) free devices for request (\S+) of claim (\S+) \((.*)\)", re.DOTALL)
_BEST = re.compile(r"best: (\S+) has (\d+)")
_TAINTED = re.compile(r"device (\S+)/(\S+)/(\S+) has a taint that the request does not tolerate: (.*):(\w+)")


def untrue(store: Store, judge: Judge, pod: Item, reason: str) -> str:
    """What of a reason is not so; empty if nothing is, or if the reason is not about nodes."""
    found = _COUNTED.search(reason)
    if found is None:
        return ""
    nodes = list(store.objects["Node"].values())
    if int(found[1]) != len(nodes):
        return f"there are {len(nodes)} nodes"
    causes = Causes(store, judge, pod, nodes)
    for way in split(found[2] or "", "; "):
        told = [match for part in split(way, ", ") if (match := _OBSTACLE.fullmatch(part))]
        told = [each for each in told if not each[2].startswith("see ")]  # more about nodes that are counted already
        if not told or not way[0].isdigit():
            continue  # a note
        amounts = [int(each[1]) for each in told if _AMOUNT.match(each[2])]
        total = sum(int(each[1]) for each in told)
        if not total - sum(amounts) + max(amounts, default=0) <= len(nodes) <= total:
            return f"{total} of {len(nodes)} nodes are counted in {way!r}"
        for each in told:
            problem = causes.problem(int(each[1]), each[2])
            if problem:
                return problem
    return ""


def split(text: str, by: str) -> list[str]:
    """At separators that are in no brackets; at a comma only where another count follows."""
    parts, depth, begin = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth and text.startswith(by, at):
            after = text[at + len(by) :]
            if by != ", " or re.match(r"\d+ ", after):
                parts.append(text[begin:at])
                begin = at + len(by)
    return [*parts, text[begin:]]


class Causes:
    """The nodes of one moment, as one pod finds them."""

    def __init__(self, store: Store, judge: Judge, pod: Item, nodes: list[Item]) -> None:
        self.store, self.judge, self.pod = store, judge, pod
        self.hardware = judge.hardware()
        self.owned = [each for each in nodes if (each.raw["metadata"].get("labels") or {}).get(OWNED) == "true"]
        self.foreign = len(nodes) - len(self.owned)
        namespace = pod.raw["metadata"]["namespace"]
        names = [name for name in claim_names(pod.raw) if name]
        found = [store.find("ResourceClaim", f"{namespace}/{name}") for name in names]
        self.claims = {each.raw["metadata"]["name"]: each for each in found if each is not None}
        self.selectors = [
            each.status["allocation"].get("nodeSelector")
            for each in self.claims.values() if each.status.get("allocation")
        ]  # fmt: skip

    def problem(self, count: int, obstacle: str) -> str:
        """What is wrong with one obstacle that is said to be in the way of so many nodes."""
        if obstacle.startswith("not owned by Dovetail"):
            return "" if count == self.foreign else f"{self.foreign} nodes are not ours"
        if obstacle.startswith("do not carry the pod's nodeSelector"):
            return self._at_least(count, obstacle, lambda node: not self._labelled(node))
        if obstacle.startswith("have taint"):
            return self._at_least(count, obstacle, lambda node: self._labelled(node) and not admits(node, self.pod.raw))
        if obstacle.startswith("cannot use the devices that the pod's allocated claims hold"):
            return self._at_least(
                count, obstacle, lambda node: not all(selected(each, node) for each in self.selectors)
            )
        if lack := _AMOUNT.match(obstacle):
            return self._at_least(count, obstacle, lambda node: not self._room(node, lack[1]))
        if lacks := _LACKS.fullmatch(obstacle):
            return self._devices(count, obstacle, *lacks.groups())
        return ""

    def _at_least(self, count: int, obstacle: str, holds: Callable[[Raw], bool]) -> str:
        """Nodes stand with the first obstacle that they meet, so that there may be more than are counted."""
        actual = sum(holds(each.raw) for each in self.owned)
        return "" if actual >= count else f"{actual} of our nodes {obstacle}"

    def _labelled(self, node: Raw) -> bool:
        labels = node["metadata"].get("labels") or {}
        return all(labels.get(key) == value for key, value in (self.pod.spec.get("nodeSelector") or {}).items())

    def _room(self, node: Raw, resource: str) -> bool:
        used = requests_of(self.pod.raw)[resource]
        for other in self.store.objects["Pod"].values():
            if other.spec.get("nodeName") == node["metadata"]["name"] and not done(other.raw):
                used += requests_of(other.raw)[resource]
        return used <= amount(node["status"]["allocatable"][resource])

    # ------------------------------------------------------------ devices

    def _devices(self, count: int, obstacle: str, wanted: str, request: str, claim: str, why: str) -> str:
        asked = self._asked(request, claim)
        if asked is None or asked.get("adminAccess"):
            return ""
        least = asked.get("count", 1)
        if wanted not in {"all", str(least)} or (wanted == "all") != (asked.get("allocationMode") == "All"):
            return f"request {request} of claim {claim} asks for {least}"
        if wanted == "all":
            return ""
        short = [node for node in self._tried() if len(list(self._free(asked, node))) < least]
        if len(short) < count:
            return f"{len(short)} of our nodes {obstacle}"
        if why == "no device matches its selectors":
            bare = [node for node in short if not self._matching(asked, node)]
            return (
                "" if len(bare) >= count else f"devices match request {request} of claim {claim} on all but {len(bare)}"
            )
        if best := _BEST.match(why):
            node = self.store.find("Node", best[1])
            free = len(list(self._free(asked, node.raw))) if node is not None else -1
            return "" if free == int(best[2]) else f"node {best[1]} has {free} devices for request {request}"
        if tainted := _TAINTED.match(why):
            return self._tainted(asked, *tainted.groups())
        if why in {"all that match are in use", "none that matches is free"}:
            used = [node for node in short if self._matching(asked, node) and not list(self._free(asked, node))]
            return "" if used else f"no node has devices in use that match request {request} of claim {claim}"
        return ""

    def _tainted(self, asked: Raw, driver: str, pool: str, name: str, taint: str, effect: str) -> str:
        of = self.hardware.pools.get((driver, pool))
        device = of.devices.get(name) if of is not None else None
        taints = self.hardware.taints(device) if device is not None else []
        there = any(each["key"] == taint and each["effect"] == effect for each in taints)
        if device is None or not there or self.hardware.tolerated(device, asked.get("tolerations") or ()):
            return f"device {driver}/{pool}/{name} has no taint {taint}:{effect} that stands in the way"
        return ""

    def _asked(self, request: str, claim: str) -> Raw | None:
        found = self.claims.get(claim)
        for each in found.spec["devices"]["requests"] if found is not None else ():
            if each["name"] == request and "exactly" in each:
                return alternatives(each)[0][1]
        return None

    def _tried(self) -> list[Raw]:
        """Nodes that get as far as devices."""
        return [
            each.raw for each in self.owned
            if admits(each.raw, self.pod.raw) and all(selected(other, each.raw) for other in self.selectors)
        ]  # fmt: skip

    def _matching(self, asked: Raw, node: Raw) -> list[Published]:
        return [
            device for pool in self.hardware.pools.values() if pool.complete for device in pool.devices.values()
            if device.where(node) and self.hardware.fits(device, asked)
        ]  # fmt: skip

    def _free(self, asked: Raw, node: Raw) -> Iterator[Published]:
        """Devices that would serve a request if it were the only one."""
        for device in self._matching(asked, node):
            need = self.hardware.need(device, asked)
            tolerated = self.hardware.tolerated(device, asked.get("tolerations") or ())
            if need is not None and tolerated and self.hardware.room(device, need, self.judge.holders):
                yield device
