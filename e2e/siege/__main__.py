"""`python -m e2e.siege --minutes N [--contested]`: see the package. Prints one JSON line; exit code 1 on any fault.

Two replicas of Dovetail (lease 3 s, renew 2 s, retry .5 s) and kube-scheduler on the same nodes, 20 pods a second for
both. Every 20 s the leader is killed with SIGKILL and started again; at a third and at two thirds the API server is
restarted. By default a taint rule and `ownership.drivers` keep the two apart: each has a driver of its own on every
node. With --contested both allocate the devices of one driver; every clash must be yielded before Dovetail's pod is
bound, or reported to it within 5 s, not counting the time in which nobody leads or there is no API server. What
kube-scheduler gives to two pods of its own is counted as "theirs".

After the last pod was made nothing is touched. Within a minute no claim may be held for a pod that is not bound, and
every pod of ours must be bound: there is room for all.
"""

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from e2e.api import Raw
from e2e.cluster import PROFILES, LocalCluster, local_cluster, scratch
from e2e.dovetail import Dovetail, install
from e2e.judge import devices_of, reserved
from e2e.publish import make_namespace, publish
from e2e.siege.auditor import OURS, REPORTED_S, Auditor
from e2e.siege.churn import THEIRS, Churn
from e2e.workload import DRA, claim_spec, request, template
from scheduler.simulator import fleet

NAMESPACE: Final = "siege"
KILL_S: Final = 20.0
QUIET_S: Final = 60.0
_LONGEST_S: Final = 60.0
_BOX: Final = "dgx-h100"
_PLAIN: Final = "plain-8"
_LEASE: Final = {
    "DOVETAIL_LEADER_ELECTION__LEASE_SECONDS": "3",
    "DOVETAIL_LEADER_ELECTION__RENEW_SECONDS": "2",
    "DOVETAIL_LEADER_ELECTION__RETRY_SECONDS": "0.5",
}


def world(nodes: int, *, contested: bool) -> tuple[list[Raw], dict[str, list[str]], list[Raw]]:
    """Cluster objects, the templates of each scheduler's pods by name, and the templates."""
    items = fleet.device_classes()
    for number in range(nodes):
        name = f"node-{number:02d}"
        items += [fleet.node(_BOX, name), *fleet.slices(_BOX, name)]
        if not contested:
            items += fleet.slices(_PLAIN, name)
    if not contested:
        taint = {"key": "dovetail.scheduler/owned", "value": "true", "effect": "NoSchedule"}
        spec = {"deviceSelector": {"driver": "gpu.nvidia.com"}, "taint": taint}
        items.append({"apiVersion": DRA, "kind": "DeviceTaintRule", "metadata": {"name": "owned"}, "spec": spec})
    classes = {OURS: "gpu.nvidia.com", THEIRS: "gpu.nvidia.com" if contested else fleet.EXAMPLE}
    made, used = [], {}
    for scheduler, device_class in classes.items():
        used[scheduler] = [f"{scheduler}-{count}" for count in (1, 2, 4)]
        made += [
            template(NAMESPACE, f"{scheduler}-{count}", claim_spec([request("gpu", device_class, count)]))
            for count in (1, 2, 4)
        ]
    return items, used, made


class Replicas:
    """Two of ours; whoever decides can be killed and is started again."""

    def __init__(self, cluster: LocalCluster, *, contested: bool) -> None:
        self._cluster = cluster
        self._settings = _LEASE if contested else {**_LEASE, "DOVETAIL_OWNERSHIP__DRIVERS": '["gpu.nvidia.com"]'}
        self._number = 0
        self.pauses: list[tuple[float, float]] = []
        self.kills = 0
        self.failover: list[float] = []
        self.ends: list[str] = []
        self.running = [self._start(), self._start()]

    def _start(self) -> Dovetail:
        self._number += 1
        folder = self._cluster.folder
        certificate = folder / "certs" / "apiserver.crt"
        name = f"dovetail-{self._number:03d}"
        return Dovetail(
            self._cluster.api, folder, self._cluster.api.access.server, certificate, self._settings, name=name
        )

    def leader(self) -> Dovetail | None:
        """Who says that it decides."""
        return next((each for each in self.running if each.decides()), None)

    def kill_leader(self) -> None:
        """Kill who leads, wait until the other does, and start another."""
        leader = self.leader()
        if leader is None:
            return
        begun = time.monotonic()
        leader.kill()
        self.kills += 1
        self.running.remove(leader)
        self.failover.append(self.await_leader(begun))
        self.revive()

    def await_leader(self, since: float) -> float:
        """Wait until somebody leads; for how many seconds nobody did, from `since` on."""
        while self.leader() is None and time.monotonic() < since + _LONGEST_S:
            time.sleep(0.05)
        now = time.monotonic()
        self.pauses.append((since, now))
        return now - since

    def revive(self) -> None:
        """Start again whoever ended, and remember how."""
        for each in list(self.running):
            if each.child.code is not None:
                self.ends.append(f"{each.child.name} ended with {each.child.code}: {each.child.tail(3)}")
                self.running.remove(each)
        while len(self.running) < 2:
            try:
                self.running.append(self._start())
            except (OSError, RuntimeError, AssertionError) as error:  # the API server is away: no token
                print(f"not started: {error}", file=sys.stderr)
                time.sleep(0.5)

    def stop(self) -> None:
        for each in self.running:
            each.stop()


class Watching:
    """Auditor and churn, on an event loop in a thread of their own."""

    def __init__(self, auditor: Auditor, churn: Churn) -> None:
        self.failure = ""
        self._auditor, self._churn = auditor, churn
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._begun.wait()

    def _run(self) -> None:
        async def both() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self._begun.set()
            tasks = [asyncio.create_task(each) for each in (self._auditor.run(), self._churn.run(), self._stop.wait())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
            finally:
                for each in tasks:
                    each.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        try:
            asyncio.run(both())
        except Exception as error:  # told by the main thread, which would otherwise wait for nothing
            self.failure = repr(error)

    def stop(self) -> None:
        """Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)


def _leftovers(cluster: LocalCluster) -> list[str]:
    """Claims held for pods that are not bound, and pods of ours that wait, for all of which there is room."""
    pods = {each["metadata"]["uid"]: each for each in cluster.api.list("Pod", NAMESPACE)}
    found = []
    for claim in cluster.api.list("ResourceClaim", NAMESPACE):
        name = claim["metadata"]["name"]
        users = reserved(claim)
        idle = [uid for uid in users if uid not in pods or not pods[uid]["spec"].get("nodeName")]
        if idle or (devices_of(claim) and not users):
            found.append(f"claim {name} is held for {', '.join(idle) or 'nobody'}")
    for pod in pods.values():
        if pod["spec"].get("nodeName") or pod["spec"]["schedulerName"] != OURS:
            continue
        told = [each for each in pod["status"].get("conditions", []) if each["type"] == "PodScheduled"]
        why = told[0].get("message") if told else "without a condition"
        found.append(f"pod {pod['metadata']['name']} waits: {why}")
    return found


@dataclass(frozen=True)
class Plan:
    """rate : pods a second."""

    minutes: float = 15.0
    nodes: int = 120  # room for as many pods as a failover keeps waiting at this rate
    rate: float = 20.0
    contested: bool = False
    seed: int = 1


def besiege(cluster: LocalCluster, plan: Plan) -> Raw:
    """One siege; what came of it."""
    minutes, nodes, contested = plan.minutes, plan.nodes, plan.contested
    items, used, templates = world(nodes, contested=contested)
    install(cluster.api)
    make_namespace(cluster.api, NAMESPACE)
    publish(cluster.api, items)
    for each in templates:
        cluster.api.create(each)
    cluster.start_kube_scheduler()
    replicas = Replicas(cluster, contested=contested)
    auditor = Auditor(cluster.api.access, NAMESPACE, contested=contested)
    # Room for all of them: what waits at the end waits for another reason.
    most = nodes * 8 // 4 if contested else nodes * 8 // 3
    churn = Churn(cluster.api.access, NAMESPACE, auditor, used, plan.rate, most, plan.seed)
    watching = Watching(auditor, churn)
    begun = time.monotonic()
    restarts = [begun + minutes * 20, begun + minutes * 40]
    next_kill = begun + KILL_S
    try:
        while time.monotonic() < begun + 60 * minutes and not watching.failure:
            time.sleep(0.25)
            if restarts and time.monotonic() >= restarts[0]:
                restarts.pop(0)
                since = time.monotonic()
                cluster.restart("kube-apiserver")
                replicas.await_leader(since)
            if time.monotonic() >= next_kill:
                replicas.kill_leader()
                next_kill += KILL_S
            replicas.revive()
        churn.going = False
        quiet = time.monotonic() + QUIET_S
        while (left := _leftovers(cluster)) and time.monotonic() < quiet:
            time.sleep(0.5)
    finally:
        watching.stop()
        replicas.stop()
    verdict = auditor.finish()
    verdict.pauses = replicas.pauses
    outcomes = Counter(verdict.count(each) for each in verdict.clashes)
    told = [each.reported - each.begun for each in verdict.clashes if each.reported is not None]
    faults = [*verdict.faults, *left, *([watching.failure] if watching.failure else [])]
    faults += [
        f"{'/'.join(each.device)} is in {' and '.join(each.claims)}: neither yielded nor reported in {REPORTED_S:g} s"
        f" ({each.timed(begun)})"
        for each in verdict.clashes
        if contested and verdict.count(each) == "unreported"
    ]
    return {
        "siege": "contested" if contested else "apart",
        "minutes": minutes,
        "nodes": nodes,
        "seed": plan.seed,
        "bound": verdict.bound,
        "claims": verdict.claims_seen,
        "kills": replicas.kills,
        "failover_s": _spread(replicas.failover),
        "ended_by_themselves": len(replicas.ends),
        "clashes": dict(outcomes),
        "reported_after_s": _spread(told),
        "churn": dict(churn.counts),
        "faults": len(faults),
        "first_faults": faults[:20],
        "ends": replicas.ends[:5],
    }


def _spread(values: list[float]) -> dict[str, Any]:
    if not values:
        return {}
    return {"median": round(statistics.median(values), 2), "most": round(max(values), 2)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.siege", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--nodes", type=int, default=Plan.nodes)
    parser.add_argument("--rate", type=float, default=Plan.rate, help="pods a second")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--contested", action="store_true", help="both schedulers allocate the same devices")
    parser.add_argument("--keep", type=Path, help="a folder for the logs, kept")
    given = parser.parse_args(arguments)
    with scratch("dovetail-siege-") as folder:
        place = given.keep or folder
        place.mkdir(parents=True, exist_ok=True)
        cluster = local_cluster(PROFILES["default"], place)
        try:
            found = besiege(cluster, Plan(given.minutes, given.nodes, given.rate, given.contested, given.seed))
        finally:
            cluster.stop()
    print(json.dumps(found))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
