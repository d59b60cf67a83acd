"""What can go wrong, how often, and the catalogue of faults by number.

A fault counts as bitten when it had an effect on the scheduler, not when it was tried.
"""

from dataclasses import dataclass, fields, replace
from random import Random

CATALOGUE = {
    "F1": "watch closed in the middle of a burst",
    "F2": "watch hangs without a word",
    "F3": "410 Gone as an HTTP status",
    "F4": "410 Gone as an event inside a watch",
    "F5": "list from the past",
    "F6": "events of different kinds in another order than they happened",
    "F7": "events delivered twice",
    "F8": "object replaced under its name, unseen",
    "F10": "409 on the write of a finalizer",
    "F11": "409 on the write of an allocation or reservation",
    "F12": "write applied, answer lost",
    "F13": "write timed out, and applied later",
    "F14": "429 with Retry-After",
    "F15": "500, 503 or 504",
    "F16": "403 in the middle of a run",
    "F17": "422 on a write",
    "F18": "404 on the write of a claim",
    "F19": "answer cut off or not what it should be",
    "F20": "answer after seconds",
    "F21": "API server down",
    "F25": "leader stalls with writes under way",
    "F27": "write of a former leader arrives late",
    "F28": "renewal of the lease refused, lost or late",
    "F29": "a part of the process fails",
    "F30": "wall clock jumps",
    "F31": "killed after the finalizer",
    "F32": "killed after the allocation",
    "F33": "killed with some of a pod's claims written",
    "F34": "killed after the binding",
    "F35": "told to stop while writing",
    "F37": "object that cannot be read or used",
    "F38": "several allocations under way at once",
    "F40": "write of a shared claim refused",
    "F42": "claim deleted under a decision",
    "F43": "allocated claim marked for deletion",
    "F44": "claim freed and its finalizer taken off, then used again",
    "F45": "pod deleted while it is bound",
    "F47": "pod replaced under its name",
    "F48": "pod ends while others share its claim",
    "F51": "pod seen before its claims are made",
    "F53": "claim allocated by another scheduler first",
    "F54": "release refused or lost",
    "F55": "claim gone in a list, its deletion unseen",
    "F56": "slice, class or taint changes while pods are placed",
    "F58": "driver's binding condition late, failed or never there",
    "F60": "pool published in part",
    "F62": "generation of a pool goes backwards",
    "F63": "allocated device vanishes from its slice",
    "F68": "driver withdraws its slices",
    "F69": "node removed or cordoned under a decision",
    "F70": "device tainted while allocated",
    "F72": "another scheduler on the same nodes",
}  # fmt: skip
"""Those that a simulation can bring about."""

PLAIN = {
    "V1": "write about a volume refused",
    "V2": "write about a volume applied late, unanswered or never",
    "V3": "killed after it kept a volume or chose a node for one",
    "V4": "pod bound with a volume that was kept for it",
    "V5": "pod bound with a volume that was made where it was to be",
    "V6": "provisioner takes the chosen node off",
    "V7": "provisioner is slow",
    "V8": "volume made where it was not asked for",
    "V9": "volume made though nobody asks for it any more",
    "V10": "kept volume given back",
    "V11": "volume claim made after its pod",
    "V12": "volume claim, volume or class deleted",
    "V13": "chosen node given back",
    "V14": "pod bound with a claim for one pod alone",
    "V15": "pod bound with a volume claim that was made for it",
    "V16": "pod bound with devices and volumes",
    "V17": "pod bound with a port of the host",
    "V18": "pod bound with anti-affinity",
    "V19": "pod bound with a spread constraint",
    "V20": "another scheduler chooses the node for a volume",
    "V21": "another scheduler's pod with a port, a distance or a volume",
    "V22": "volume claim changed or gone just after we wrote about it",
}
"""What a simulation of volumes, ports and distances has to see happen."""

ELSEWHERE = {
    "F9": "tombstones are client-go's; a deletion unseen is F55",
    "F22": "tokens: tests/cluster_driver/test_client.py",
    "F23": "certificates: tests/service/test_tls.py",
    "F24": "unknown fields and kinds: tests/decode",
    "F26": "a lease held by two needs an API server that breaks its own promise",
    "F36": "memory and recursion: tests/engine/test_bad_inputs.py",
    "F39": "memory of one owner: there is no second copy to restore from",
    "F41": "pending allocations bind nodes: tests/engine/test_shared_devices.py",
    "F46": "force deletion under a running kubelet: a policy that is not offered",
    "F49": "foreign entries of reservedFor: tests/cluster_driver/test_write.py",
    "F50": "256 reservations: tests/engine",
    "F52": "claims of other owners: tests/engine",
    "F57": "time-outs of solving: tests/engine/test_budget.py",
    "F59": "gangs are refused by name; that none runs in part is I14",
    "F61": "slices that disagree: tests/inventory",
    "F64": "devices that become shareable while held: tests/engine/test_shared_devices.py",
    "F65": "shares without capacity: tests/engine/test_shared_devices.py",
    "F66": "one pool name of two drivers: in every simulated cluster",
    "F67": "backtracking: tests/solvers",
    "F71": "empty and absent selectors of rules: tests/engine/test_taint_rules.py",
}
"""Those that it cannot, or that need none, and where they are tested."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of requests, events or minutes in which something goes wrong; 0 everywhere is a healthy cluster."""

    conflict: float = 0.02
    unprocessable: float = 0.008
    throttled: float = 0.01
    failing: float = 0.01
    lost: float = 0.01
    late: float = 0.015
    never: float = 0.004
    slow: float = 0.01
    garbled: float = 0.01
    stale_list: float = 0.1
    close: float = 0.012
    hang: float = 0.003
    expire: float = 0.003
    expired_status: float = 0.08
    repeat: float = 0.2
    crash_after_write: float = 0.04
    stall_after_write: float = 0.03
    stop_after_write: float = 0.02
    end_before_late: float = 0.8  # of writes that are applied late: their sender does not live to see it
    lag: float = 0.05  # mean seconds of a watch
    latency: float = 0.01  # mean seconds of a request
    crashes: float = 0.5  # a minute, and so on
    stops: float = 0.6
    stalls: float = 1.5
    outages: float = 0.4
    forbidden: float = 0.5
    jumps: float = 1.0
    bursts_of_lag: float = 0.4
    part_failures: float = 2.0
    meddling: float = 0.2  # a share of our writes to claims

    @classmethod
    def none(cls) -> "Rates":
        healthy = {each.name: 0.0 for each in fields(cls)}
        return cls(**{**healthy, "lag": 0.01, "latency": 0.005})

    @classmethod
    def drawn(cls, random: Random) -> "Rates":
        """Some faults often, some never: uniform mixtures find less."""
        base = cls()
        drawn = {
            each.name: getattr(base, each.name) * random.choice((0.0, 0.5, 1.0, 2.0, 4.0))
            for each in fields(cls)
            if each.name not in {"lag", "latency"}
        }
        return replace(base, **drawn, lag=random.choice((0.002, 0.05, 0.3)), latency=random.choice((0.002, 0.01, 0.05)))
