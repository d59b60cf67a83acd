"""A scheduler that dies between its writes leaves nothing that the next one cannot finish."""

from collections.abc import Callable

from e2e.api import History, Raw, until
from e2e.conftest import World
from e2e.dovetail import Dovetail
from e2e.judge import devices_of, judge, node_of, reserved
from e2e.proxy import Proxy
from e2e.workload import claim_spec, pod, request, template
from scheduler.simulator import fleet

_LEASE_S = 15  # of the shipped configuration: how long a dead leader is waited for


def is_binding(method: str, path: str) -> bool:
    return method == "POST" and path.partition("?")[0].endswith("/binding")


def is_claim_status(method: str, path: str) -> bool:
    return method == "PATCH" and "/resourceclaims/" in path and path.partition("?")[0].endswith("/status")


def crash_at(
    world: World, start: Callable[..., Dovetail], holds: Callable[[str, str], bool], *created: Raw
) -> list[tuple[str, str, bytes]]:
    """Create objects, let Dovetail work until a request is held, and kill it; returns what was never sent."""
    with Proxy(world.api.access, holds) as proxy:
        first = start(proxy.server).ready()
        world.create(*created)
        until(lambda: proxy.held, "a request held", 30)
        first.kill()
    return proxy.held


def test_crash_between_claim_write_and_binding_ends_bound_where_the_claim_says(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given two equal boxes, so that a second decision could differ from the first
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 2})])
    pair = template(world.namespace, "pair", claim_spec([request(count=2)]))
    with History(world.api.access, "Pod", "ResourceClaim", namespace=world.namespace) as history:
        # when the binding is held and the process killed
        held = crash_at(world, start_dovetail, is_binding, pair, pod(world.namespace, "p", templates=["pair"]))
        [claim] = world.api.list("ResourceClaim", world.namespace)
        before = world.api.get("Pod", "p", world.namespace)
        # then the claim is written and the pod is not bound
        assert len(held) == 1
        assert len(devices_of(claim)) == 2
        assert reserved(claim) == [before["metadata"]["uid"]]
        assert "nodeName" not in before["spec"]
        # and the next process finishes it
        start_dovetail().ready(_LEASE_S + 30)
        after = until(
            lambda: next(iter(world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")), None), "bound"
        )
        history.caught_up(int(after["metadata"]["resourceVersion"]))
    [claim] = world.api.list("ResourceClaim", world.namespace)
    assert after["spec"]["nodeName"] == node_of(claim)
    assert reserved(claim) == [after["metadata"]["uid"]]
    allocations = {str(each["status"]["allocation"]) for each in history.of("ResourceClaim") if devices_of(each)}
    assert len(allocations) == 1
    assert judge(history).faults == []


def test_pod_deleted_while_no_scheduler_runs_leaks_nothing(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given a crash with all devices of the only box allocated, and the pod deleted after it
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 1})])
    whole = template(world.namespace, "whole", claim_spec([request(count=8)]))
    crash_at(world, start_dovetail, is_binding, whole, pod(world.namespace, "p", templates=["whole"]))
    world.api.delete("Pod", "p", world.namespace)
    # when another pod wants all of them
    world.create(pod(world.namespace, "q", templates=["whole"]))
    start_dovetail().ready(_LEASE_S + 30)
    # then
    until(lambda: "nodeName" in world.api.get("Pod", "q", world.namespace)["spec"], "q bound")
    until(lambda: len(world.api.list("ResourceClaim", world.namespace)) == 1, "one claim left")


def test_crash_between_finalizer_and_allocation_is_finished(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 1})])
    one = template(world.namespace, "one", claim_spec([request()]))
    crash_at(world, start_dovetail, is_claim_status, one, pod(world.namespace, "p", templates=["one"]))
    [claim] = world.api.list("ResourceClaim", world.namespace)
    assert devices_of(claim) == []
    assert "resource.kubernetes.io/delete-protection" in claim["metadata"]["finalizers"]
    start_dovetail().ready(_LEASE_S + 30)
    until(lambda: "nodeName" in world.api.get("Pod", "p", world.namespace)["spec"], "p bound")


def test_crash_in_a_burst_loses_nothing_and_gives_no_device_twice(
    world: World, start_dovetail: Callable[..., Dovetail]
) -> None:
    # given room for exactly as many as come, so that one leaked device would leave a pod waiting
    world.publish([*fleet.device_classes(), *fleet.fleet({"dgx-h100": 5})])
    world.create(template(world.namespace, "one", claim_spec([request()])))
    bindings = iter(range(10_000))

    def holds(method: str, path: str) -> bool:
        """From the twelfth binding on: by then many claims are written whose pods are not bound."""
        return is_binding(method, path) and next(bindings) >= 12

    with History(world.api.access, "Pod", "ResourceClaim", namespace=world.namespace) as history:
        # when it dies among them
        pods = [pod(world.namespace, f"p{number}", templates=["one"]) for number in range(40)]
        crash_at(world, start_dovetail, holds, *pods)
        start_dovetail().ready(_LEASE_S + 30)

        def bound() -> list[Raw]:
            return world.api.list("Pod", world.namespace, fieldSelector="spec.nodeName!=")

        until(lambda: len(bound()) == 40, "all bound", every=0.5)
        history.caught_up(max(int(each["metadata"]["resourceVersion"]) for each in bound()))
    # then
    verdict = judge(history)
    assert verdict.faults == []
    assert len(verdict.placed) == 40
