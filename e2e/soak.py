"""Random clusters and workloads through the simulator, checked after every step.

python -m e2e.soak --seeds N [--first SEED]

Each seed makes a small cluster, and then lets pods come and go, nodes be cordoned and added, slices be withdrawn and
published anew, classes break and be mended. The engine checks every plan of its own (verify_plans); beside that, what
the simulated API holds after each step is judged here, by code that shares nothing with the engine:

- no device is in two claims, and no claim is allocated for nobody
- every placed pod's claims are allocated, reserved for it and usable on its node
- no pod waits that an engine started afresh on the same objects would place

Prints one JSON line; exit code 1 when anything is wrong, with the seeds on stderr.
"""

import argparse
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable

from e2e.api import Raw
from e2e.judge import claim_names, devices_of, node_of, reserved
from e2e.workload import claim, claim_spec, pod, request, template
from scheduler.core import names
from scheduler.simulator import fleet
from scheduler.simulator.run import Simulation

NAMESPACE = "soak"
STEPS = 12
BOXES = ("dgx-h100", "a100-pcie-bridged", "dgx1-v100", "l40s-pcie", "plain-3", "plain-8", "a100-mig")
CLASSES = ("gpu.nvidia.com", "gpu.nvidia.com", "gpu.example.com", "mig.nvidia.com")
EXTENDED = ("nvidia.com/gpu", "deviceclass.resource.kubernetes.io/gpu.example.com")
MERGE = "application/merge-patch+json"


class Soak:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._made = 0
        self._withdrawn: list[Raw] = []
        objects = fleet.device_classes()
        for number in range(self.random.randint(1, 5)):
            objects += self._box(number)
        self.simulation = Simulation(objects)

    def run(self) -> list[str]:
        """What was wrong, step by step."""
        faults: list[str] = []
        for step in range(STEPS):
            for _ in range(self.random.randint(1, 4)):
                action = self.random.choice(self._actions)
                action(self)
                self.counts[action.__name__.strip("_")] += 1
            self.simulation.settle()
            if not self.simulation.settled:
                faults.append(f"step {step}: does not come to rest")
            faults += [f"step {step}: {fault}" for fault in self._judge()]
            if faults:
                break
        ours = self.simulation.ours()
        self.counts["bound"] = sum("nodeName" in each["spec"] for each in ours)
        self.counts["pending"] = len(ours) - self.counts["bound"]
        self.counts["cycles"] = self.simulation.cycles
        return faults

    # ------------------------------------------------------------ what happens

    def _box(self, number: int) -> list[Raw]:
        box = self.random.choice(BOXES)
        node = fleet.node(box, f"node-{number}", links=self.random.random() < 0.8)
        node["status"]["allocatable"]["cpu"] = str(self.random.choice((2, 8, 64)))
        if self.random.random() < 0.2:
            node["status"]["allocatable"][EXTENDED[0]] = str(self.random.choice((0, 2, 4)))
        return [node, *fleet.slices(box, f"node-{number}")]

    def _spec(self) -> Raw:
        pick = self.random
        requests = []
        for number in range(pick.choice((1, 1, 1, 2))):
            device_class = pick.choice(CLASSES)
            cel = ""
            if device_class == "gpu.nvidia.com" and pick.random() < 0.3:
                least = pick.choice(("16Gi", "40Gi", "60Gi"))
                cel = f'device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("{least}")) > 0'
            made = request(f"r{number}", device_class, pick.choice((1, 1, 2, 3, 4, 8)), cel)
            if pick.random() < 0.1:
                made["exactly"]["allocationMode"] = "All"
                del made["exactly"]["count"]
            requests.append(made)
        match = fleet.STANDARD + pick.choice(("numaNode", "pcieRoot")) if pick.random() < 0.3 else ""
        return claim_spec(requests, match)

    def _add_pods(self) -> None:
        """Some alike, of one template."""
        self._made += 1
        name = f"t{self._made}"
        self.simulation.api.create(template(NAMESPACE, name, self._spec()))
        for number in range(self.random.randint(1, 6)):
            cpu = self.random.choice(("100m", "1", "3"))
            self.simulation.api.create(pod(NAMESPACE, f"{name}-{number}", templates=[name], cpu=cpu))

    def _add_pods_with_extended_resources(self) -> None:
        """Pods that name no claim, with init containers and sidecars."""
        self._made += 1
        for number in range(self.random.randint(1, 3)):
            made = pod(NAMESPACE, f"x{self._made}-{number}")
            [main] = made["spec"]["containers"]
            amounts = {name: str(self.random.randint(0, 4)) for name in EXTENDED if self.random.random() < 0.7}
            main["resources"]["requests"] |= amounts
            made["spec"]["initContainers"] = [
                {
                    "name": f"init-{index}",
                    "resources": {"limits": {self.random.choice(EXTENDED): str(self.random.randint(1, 4))}},
                    **({"restartPolicy": "Always"} if self.random.random() < 0.4 else {}),
                }
                for index in range(self.random.randint(0, 2))
            ]
            self.simulation.api.create(made)

    def _turn_a_device_plugin(self) -> None:
        """A node begins or ceases to offer an extended resource itself."""
        node = self.random.choice(self.simulation.api.all("Node"))
        offered = None if EXTENDED[0] in node["status"]["allocatable"] else "4"
        body = json.dumps({"status": {"allocatable": {EXTENDED[0]: offered}}}).encode()
        self.simulation.api.patch("Node", node["metadata"]["name"], body, MERGE, status=True)

    def _share_a_claim(self) -> None:
        self._made += 1
        name = f"c{self._made}"
        pods = [pod(NAMESPACE, f"{name}-{number}", claims=[name]) for number in range(self.random.randint(1, 4))]
        own = claim(NAMESPACE, name, self._spec())
        # A pod may come before its claim.
        for item in self.random.sample([own, *pods], len(pods) + 1):
            self.simulation.api.create(item)

    def _pods(self) -> list[Raw]:
        return self.simulation.api.all("Pod")

    def _delete_pods(self) -> None:
        found = self._pods()
        for each in self.random.sample(found, min(len(found), self.random.randint(1, 4))):
            self.simulation.api.delete("Pod", f"{NAMESPACE}/{each['metadata']['name']}")

    def _finish_a_pod(self) -> None:
        found = [each for each in self._pods() if "nodeName" in each["spec"]]
        if found:
            key = f"{NAMESPACE}/{self.random.choice(found)['metadata']['name']}"
            self.simulation.api.patch("Pod", key, b'{"status":{"phase":"Succeeded"}}', MERGE, status=True)

    def _turn_a_cordon(self) -> None:
        node = self.random.choice(self.simulation.api.all("Node"))
        cordoned = not node["spec"].get("unschedulable", False)
        body = json.dumps({"spec": {"unschedulable": cordoned}}).encode()
        self.simulation.api.patch("Node", node["metadata"]["name"], body, MERGE)

    def _turn_a_slice(self) -> None:
        """Withdraw one, or publish one again as a new generation with fewer devices."""
        slices = self.simulation.api.all("ResourceSlice")
        if self._withdrawn and self.random.random() < 0.7:
            again = self._withdrawn.pop()
            spec = {**again["spec"], "pool": {**again["spec"]["pool"], "generation": 1}}
            spec["pool"]["generation"] = again["spec"]["pool"]["generation"] + 1
            spec["devices"] = spec["devices"][: self.random.randint(1, len(spec["devices"]))]
            self.simulation.api.create({**again, "metadata": {"name": again["metadata"]["name"]}, "spec": spec})
        elif slices:
            taken = self.random.choice(slices)
            self._withdrawn.append(taken)
            self.simulation.api.delete("ResourceSlice", taken["metadata"]["name"])

    def _break_or_mend_a_class(self) -> None:
        name = self.random.choice(CLASSES)
        [whole] = [each for each in fleet.device_classes() if each["metadata"]["name"] == name]
        fails = [{"cel": {"expression": 'device.attributes["gpu.nvidia.com"].shoeSize > 42'}}]
        selectors = fails if self.random.random() < 0.3 else whole["spec"]["selectors"]
        body = json.dumps({"spec": {"selectors": selectors}}).encode()
        self.simulation.api.patch("DeviceClass", name, body, MERGE)

    def _add_a_box(self) -> None:
        number = len(self.simulation.api.all("Node"))
        if number < 8:
            for item in self._box(number):
                self.simulation.api.create(item)

    _actions: tuple[Callable[["Soak"], None], ...] = (
        _add_pods, _add_pods, _add_pods, _share_a_claim, _delete_pods, _delete_pods, _finish_a_pod, _turn_a_cordon,
        _turn_a_slice, _break_or_mend_a_class, _add_a_box, _add_pods_with_extended_resources,
        _add_pods_with_extended_resources, _turn_a_device_plugin,
    )  # fmt: skip

    # ------------------------------------------------------------ what must hold

    def _judge(self) -> list[str]:
        api = self.simulation.api
        faults = []
        holders: dict[tuple[str, str, str], str] = {}
        claims = {each["metadata"]["name"]: each for each in api.all("ResourceClaim")}
        alive = {each["metadata"]["uid"]: each for each in self._pods()}
        for name, each in claims.items():
            for device in devices_of(each):
                if device in holders:
                    faults.append(f"{'/'.join(device)} is in claims {holders[device]} and {name}")
                holders[device] = name
            if (each.get("status") or {}).get("allocation") and not reserved(each):
                faults.append(f"claim {name} is allocated for nobody")
            faults += [f"claim {name} is reserved for a pod that is gone" for uid in reserved(each) if uid not in alive]
        nodes = {each["metadata"]["name"]: each for each in api.all("Node")}
        for uid, each in alive.items():
            node = each["spec"].get("nodeName")
            if node is None or each["status"].get("phase") == "Succeeded":
                continue
            if nodes[node]["metadata"]["labels"].get(names.OWNED) != "true":
                faults.append(f"pod {each['metadata']['name']} is on {node}, which is not ours")
            for name in claim_names(each):
                own = claims.get(name)
                if own is None or uid not in reserved(own):
                    faults.append(f"pod {each['metadata']['name']} is placed, its claim {name} is not reserved for it")
                elif node_of(own) not in {"", node}:
                    faults.append(f"pod {each['metadata']['name']} is on {node}, its claim is for {node_of(own)}")
        return faults or self._stuck()

    def _stuck(self) -> list[str]:
        """Pods that an engine without memory would place."""
        if not self.simulation.pending():
            return []
        bound = {each["metadata"]["name"] for each in self._pods() if "nodeName" in each["spec"]}
        fresh = Simulation(self.simulation.api.everything())
        fresh.settle()
        now = {each["metadata"]["name"] for each in fresh.api.all("Pod") if "nodeName" in each["spec"]}
        return [f"pod {name} waits, but an engine started afresh places it" for name in sorted(now - bound)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=400)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    counts: Counter[str] = Counter()
    faulty: list[int] = []
    for seed in range(given.first, given.first + given.seeds):
        try:
            soak = Soak(seed)
            faults = soak.run()
            counts += soak.counts
        except Exception:  # a crash is a finding like any other, and the next seed still runs
            faults = [traceback.format_exc()]
        if faults:
            faulty.append(seed)
            print(f"seed {seed}: " + "; ".join(faults), file=sys.stderr, flush=True)
    line = {
        "seeds": given.seeds,
        "faulty_seeds": faulty,
        **dict(sorted(counts.items())),
        "seconds": round(time.monotonic() - begun, 1),
    }
    print(json.dumps(line))
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
