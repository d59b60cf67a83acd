"""Every manifest that is shipped, as kubectl builds it: accepted by a real API server of each version with strict
validation, and pods of the Deployment by the pod security standard `restricted`."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import pytest

from e2e.api import ApiRefusalError, Raw, collection
from e2e.cluster import Cluster
from e2e.definitions import defined
from e2e.dovetail import NAMESPACE
from e2e.kustomize import BASE, MANIFESTS, built, composed

COMPONENTS = sorted(
    str(path.parent.relative_to(MANIFESTS / "components"))
    for path in (MANIFESTS / "components").rglob("kustomization.yaml")
)
OVERLAYS = sorted(path.parent.name for path in (MANIFESTS / "overlays").glob("*/kustomization.yaml"))
AUTOSCALING = sorted(path.parent.name for path in (MANIFESTS / "examples/autoscaling").glob("*/kustomization.yaml"))
OTHERS = {
    "monitoring.coreos.com": ("podmonitors", "prometheusrules", "servicemonitors"),
    "keda.sh": ("scaledobjects",),
}
"""Resources of others that manifests name, by group."""
SINCE = {"DeviceTaintRule": 37}
"""Kinds that are not served before a version of Kubernetes."""


@pytest.fixture(scope="session", params=["default", "older"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    opened: Cluster = request.getfixturevalue(f"{request.param}_cluster")
    return opened


@pytest.fixture(scope="module")
def minor(cluster: Cluster) -> int:
    return int(cluster.api.call("GET", "/version")["minor"].rstrip("+"))


@pytest.fixture(scope="module")
def definitions(cluster: Cluster) -> Iterator[None]:
    with defined(cluster.api, [f"{plural}.{group}" for group, plurals in OTHERS.items() for plural in plurals]):
        yield


def accepted(cluster: Cluster, minor: int, items: Sequence[Raw]) -> None:
    """All of them, but for kinds that this version does not serve."""
    assert items
    for item in items:
        if SINCE.get(item["kind"], 0) <= minor:
            cluster.api.apply(item, dry_run=True)
        else:
            with pytest.raises(ApiRefusalError, match="404"):
                cluster.api.apply(item, dry_run=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_accepted(cluster: Cluster, minor: int, overlay: str) -> None:
    accepted(cluster, minor, built(MANIFESTS / "overlays" / overlay))


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_is_accepted_with_the_base(cluster: Cluster, minor: int, component: str) -> None:
    alone, together = built(BASE), composed(component)

    assert alone != together, "the component changes nothing"
    accepted(cluster, minor, together)


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("example", AUTOSCALING)
def test_what_scales_and_watches_serving_is_accepted(cluster: Cluster, minor: int, example: str) -> None:
    accepted(cluster, minor, built(MANIFESTS / "examples" / "autoscaling" / example))


def mappings(part: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where in an object keys are those of a schema: everywhere but in maps of names that people choose."""
    if isinstance(part, dict):
        yield path
        for key, value in part.items():
            if key not in {"labels", "matchLabels", "metadata"}:
                yield from mappings(value, (*path, key))
    elif isinstance(part, list):
        for at, value in enumerate(part):
            yield from mappings(value, (*path, at))


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize(
    ("example", "kind"),
    [("monitoring", "PodMonitor"), ("monitoring", "PrometheusRule"), ("hpa", "HorizontalPodAutoscaler"),
     ("keda", "ScaledObject")],
)  # fmt: skip
def test_no_slip_of_the_pen_would_be_accepted(cluster: Cluster, example: str, kind: str) -> None:
    [item] = [each for each in built(MANIFESTS / "examples" / "autoscaling" / example) if each["kind"] == kind]
    places = list(mappings(item["spec"]))
    assert len(places) > 4
    for path in places:
        slipped = deepcopy(item)
        part = slipped["spec"]
        for key in path:
            part = part[key]
        part["intervall"] = "15s"
        with pytest.raises(ApiRefusalError, match=r"intervall: field not declared in schema|unknown field .*intervall"):
            cluster.api.apply(slipped, dry_run=True)


def test_an_unknown_field_would_be_refused(cluster: Cluster) -> None:
    [deployment] = [item for item in built(BASE) if item["kind"] == "Deployment"]
    deployment["spec"]["replica"] = 2

    with pytest.raises(ApiRefusalError, match=r"\.spec\.replica: field not declared in schema|unknown field"):
        cluster.api.apply(deployment, dry_run=True)


def pod_of(items: Sequence[Raw]) -> Raw:
    """The pod that the Deployment asks for."""
    [template] = [item["spec"]["template"] for item in items if item["kind"] == "Deployment"]
    metadata = {**template["metadata"], "name": "dovetail-0", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def privileged(made: Raw) -> None:
    made["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True


def rooted(made: Raw) -> None:
    made["spec"]["securityContext"]["runAsNonRoot"] = False


def unconfined(made: Raw) -> None:
    del made["spec"]["securityContext"]["seccompProfile"]


@pytest.mark.parametrize("components", [(), ("extender",), ("extender-grpc",)], ids=["base", "extender", "grpc"])
@pytest.mark.parametrize("harm", [privileged, rooted, unconfined], ids=lambda each: each.__name__)
def test_pods_are_restricted_and_the_namespace_insists(
    cluster: Cluster, components: Sequence[str], harm: Callable[[Raw], None]
) -> None:
    items = composed(*components)
    labels = cluster.api.get("Namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    path = f"{collection('Pod', NAMESPACE)}?dryRun=All&fieldValidation=Strict"

    cluster.api.call("POST", path, pod_of(items))
    worse = pod_of(items)
    harm(worse)
    with pytest.raises(ApiRefusalError, match='violates PodSecurity "restricted'):
        cluster.api.call("POST", path, worse)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_overlay_grants_more_than_it_needs_to_run(overlay: str) -> None:
    rules = [rule for item in built(MANIFESTS / "overlays" / overlay) for rule in item.get("rules", ())]

    assert rules
    assert not [rule for rule in rules if any("*" in each for each in [*rule["verbs"], *rule.get("resources", ())])]
    assert not [rule for rule in rules if "secrets" in rule.get("resources", ())]
    assert not [
        item
        for item in built(MANIFESTS / "overlays" / overlay)
        if item.get("roleRef", {}).get("name") not in {None, "dovetail", "dovetail-1.36"}
    ]
