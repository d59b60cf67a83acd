"""Pods with volumes in a simulated cluster."""

from scheduler.simulator.objects import Found, Objects
from scheduler.simulator.run import simulate

HOST = "kubernetes.io/hostname"


def named(kind, name, version="v1", **rest):
    metadata = {"name": name}
    if kind in {"Pod", "PersistentVolumeClaim"}:
        metadata["namespace"] = "default"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def node(name):
    made = named("Node", name, status={"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "10"}})
    made["metadata"]["labels"] = {HOST: name}
    return made


def pod(name, *claims, **volume):
    volumes = [{"name": f"v{at}", "persistentVolumeClaim": {"claimName": each}} for at, each in enumerate(claims)]
    volumes += [{"name": each, **source} for each, source in volume.items()]
    return named("Pod", name, spec={"schedulerName": "dovetail", "volumes": volumes, "containers": [{"name": "main"}]})


def spec(storage_class, size="1Gi"):
    resources = {"requests": {"storage": size}}
    return {"accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, "resources": resources}


def claim(name, storage_class, size="1Gi"):
    return named("PersistentVolumeClaim", name, spec=spec(storage_class, size))


def volume(name, where, size):
    terms = [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [where]}]}]
    own = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local"}
    return named("PersistentVolume", name, spec={**own, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}})


def storage_class(name, provisioner="kubernetes.io/no-provisioner", binding="WaitForFirstConsumer"):
    version = "storage.k8s.io/v1"
    return named("StorageClass", name, version, provisioner=provisioner, volumeBindingMode=binding)


NODES = [node("n1"), node("n2")]
LOCAL, MADE = storage_class("local"), storage_class("made", "store.example.com")


def run(*objects):
    return simulate(Objects([Found(each, "here") for each in (*NODES, *objects)]))


def found(outcome, kind, name):
    [item] = [each for each in outcome.objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return item


def test_local_volumes_are_bound_and_the_rest_is_told_why():
    shelf = [volume("small", "n2", "1Gi"), volume("large", "n1", "9Gi")]
    pods = [pod("a", "a"), pod("b", "b"), pod("c", "c")]

    outcome = run(LOCAL, *shelf, *[claim(each, "local") for each in "abc"], *pods)

    assert len(outcome.bound) == 2
    [(_, reason)] = outcome.pending.items()
    assert "2 have no free volume that fits PersistentVolumeClaim default/" in reason
    for key in outcome.bound:
        name = key.partition("/")[2]
        own = found(outcome, "PersistentVolumeClaim", name)["spec"]["volumeName"]
        assert {"small": "n2", "large": "n1"}[own] == found(outcome, "Pod", name)["spec"]["nodeName"]


def test_volumes_are_made_where_the_pods_go():
    outcome = run(MADE, claim("a", "made"), pod("a", "a"))

    where = found(outcome, "Pod", "a")["spec"]["nodeName"]
    own = found(outcome, "PersistentVolumeClaim", "a")
    made = found(outcome, "PersistentVolume", own["spec"]["volumeName"])
    assert made["spec"]["claimRef"]["uid"] == own["metadata"]["uid"]
    [term] = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == [where]


def test_what_binds_at_once_is_bound_before_its_pod():
    at_once = storage_class("now", "store.example.com", "Immediate")

    outcome = run(at_once, claim("a", "now"), pod("a", "a"))

    assert outcome.bound == ("default/a",)


def test_claims_are_made_for_ephemeral_volumes():
    template = {"volumeClaimTemplate": {"spec": spec("made")}}

    outcome = run(MADE, pod("a", scratch={"ephemeral": template}))

    assert outcome.bound == ("default/a",)
    own = found(outcome, "PersistentVolumeClaim", "a-scratch")
    assert own["metadata"]["ownerReferences"][0]["uid"] == found(outcome, "Pod", "a")["metadata"]["uid"]


def test_a_claim_that_is_not_there_is_told():
    outcome = run(pod("a", "lost"))

    expected = "pod default/a, volume v0: PersistentVolumeClaim default/lost does not exist; create it"
    assert outcome.pending == {"default/a": expected}


def test_pods_of_a_stateful_set_have_claims_of_their_own():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("x")["spec"]}
    made = named("StatefulSet", "db", "apps/v1")
    made["metadata"]["namespace"] = "default"
    claims = [{"metadata": {"name": "data"}, "spec": spec("made")}]
    made["spec"] = {
        "replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template, "volumeClaimTemplates": claims,
    }  # fmt: skip

    outcome = run(MADE, made)

    assert outcome.bound == ("default/db-0", "default/db-1")
    assert all(found(outcome, "PersistentVolumeClaim", f"data-db-{at}")["spec"]["volumeName"] for at in (0, 1))
