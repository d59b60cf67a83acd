"""What fits where of storage, from plain JSON: claims, volumes and classes, as the API and its controllers mean them.

Of clusters that e2e.sim.actors.storage makes, and strict as oracle.py: where the API leaves room, the answer is no.
"""

from collections.abc import Iterable, Mapping

from e2e.sim.oracle import amount, selected
from e2e.sim.store import Item, Raw, Store, done

SELECTED_NODE = "volume.kubernetes.io/selected-node"
COMPLETED = "pv.kubernetes.io/bind-completed"
BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
ASKED = "volume.kubernetes.io/storage-provisioner"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
DELAYED = "WaitForFirstConsumer"
ONE_POD = "ReadWriteOncePod"


def annotations(raw: Raw) -> Mapping[str, str]:
    return raw["metadata"].get("annotations") or {}


def annotated(raw: Raw, changed: Mapping[str, str | None]) -> Raw:
    """The object with these annotations; None takes one off."""
    kept = {name: value for name, value in {**annotations(raw), **changed}.items() if value is not None}
    return {**raw, "metadata": {**raw["metadata"], "annotations": kept}}


def volume_claims(pod: Raw) -> list[str]:
    """Keys of the claims to volumes that a pod uses, those that are made for it among them."""
    metadata = pod["metadata"]
    return [
        f"{metadata['namespace']}/" + (
            each["persistentVolumeClaim"]["claimName"] if "persistentVolumeClaim" in each
            else f"{metadata['name']}-{each['name']}"
        )
        for each in pod["spec"].get("volumes") or ()
    ]  # fmt: skip


def made_for(pod: Raw) -> set[str]:
    """Keys of those that are made for the pod, and are no other's."""
    metadata = pod["metadata"]
    return {
        f"{metadata['namespace']}/{metadata['name']}-{each['name']}"
        for each in pod["spec"].get("volumes") or () if "ephemeral" in each
    }  # fmt: skip


def complete(claim: Raw) -> bool:
    """Whether a claim has its volume."""
    return bool(claim["spec"].get("volumeName")) and COMPLETED in annotations(claim)


def holder(volume: Raw) -> tuple[str, str]:
    """Key and uid of the claim that a volume is kept for, or may only be used by; the uid may be empty, or both."""
    reference = volume["spec"].get("claimRef") or {}
    return (f"{reference['namespace']}/{reference['name']}", reference.get("uid") or "") if reference else ("", "")


def reaches(volume: Raw, node: Raw) -> bool:
    return selected((volume["spec"].get("nodeAffinity") or {}).get("required"), node)


def suits(claim: Raw, volume: Raw) -> bool:
    """Whether a volume is what a claim asks for, whoever has it."""
    asked, given = claim["spec"], volume["spec"]
    return (
        given["storageClassName"] == asked["storageClassName"] and "deletionTimestamp" not in volume["metadata"]
        and set(asked["accessModes"]) <= set(given["accessModes"])
        and amount(given["capacity"]["storage"]) >= amount(asked["resources"]["requests"]["storage"])
    )  # fmt: skip


def is_free(volume: Raw) -> bool:
    return (volume.get("status") or {}).get("phase") == "Available" and holder(volume) == ("", "")


def allowed(storage_class: Raw, node: Raw) -> bool:
    """Whether a class lets volumes be made for a node."""
    labels = node["metadata"].get("labels") or {}
    terms = storage_class.get("allowedTopologies")
    return not terms or any(
        all(labels.get(each["key"]) in each["values"] for each in term["matchLabelExpressions"]) for term in terms
    )


def users(store: Store, key: str) -> list[Item]:
    """Pods that use a claim and have not ended."""
    return [each for each in store.objects["Pod"].values() if not done(each.raw) and key in volume_claims(each.raw)]


def in_use(store: Store, key: str) -> bool:
    """Whether a pod on a node uses a claim."""
    return any(each.spec.get("nodeName") for each in users(store, key))


def serve(store: Store, pod: Item, node: Raw) -> bool:
    """Whether all claims of a pod have, or can be given, volumes that a node reaches."""
    free = [each.raw for each in store.objects["PersistentVolume"].values() if is_free(each.raw)]
    wanted: list[Raw] = []
    for key in volume_claims(pod.raw):
        claim = store.find("PersistentVolumeClaim", key)
        if claim is None or claim.deleting or not _may_use(store, pod, claim):
            return False
        if complete(claim.raw):
            volume = store.find("PersistentVolume", claim.spec["volumeName"])
            if volume is None or not reaches(volume.raw, node):
                return False
        else:
            wanted.append(claim.raw)
    return _given(store, wanted, node, free)


def _may_use(store: Store, pod: Item, claim: Item) -> bool:
    owners = claim.raw["metadata"].get("ownerReferences") or ()
    if claim.key in made_for(pod.raw) and not any(each["uid"] == pod.uid for each in owners):
        return False
    others = [each for each in users(store, claim.key) if each.uid != pod.uid]
    if ONE_POD in claim.spec["accessModes"]:
        return not any(each.spec.get("nodeName") for each in others)
    return True


def _given(store: Store, wanted: list[Raw], node: Raw, free: Iterable[Raw]) -> bool:
    """Whether a volume can be had for each of these claims, each its own."""
    if not wanted:
        return True
    claim, *rest = wanted
    found = store.find("StorageClass", claim["spec"]["storageClassName"])
    if found is None or found.raw["volumeBindingMode"] != DELAYED or claim["spec"].get("volumeName"):
        return False
    chosen = annotations(claim).get(SELECTED_NODE)
    if chosen not in {None, node["metadata"]["name"]}:
        return False
    if found.raw["provisioner"] != NO_PROVISIONER and allowed(found.raw, node) and _given(store, rest, node, free):
        return True
    return chosen is None and any(
        _given(store, rest, node, [other for other in free if other is not each])
        for each in free if suits(claim, each) and reaches(each, node)
    )  # fmt: skip
