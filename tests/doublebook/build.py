"""API objects in small, as a server gives them: what the tests of doublebook speak of."""

DRA = "resource.k8s.io/v1"
DRIVER = "gpu.nvidia.com"


def device(name, *, memory=None, shared=False, draws=None, **fields):
    """`draws` is what it takes of counter set `set`, by counter."""
    found = {"name": name, **fields}
    if memory is not None:
        found["capacity"] = {"memory": {"value": memory}}
    if shared:
        found["allowMultipleAllocations"] = True
    if draws:
        counters = {key: {"value": value} for key, value in draws.items()}
        found["consumesCounters"] = [{"counterSet": "set", "counters": counters}]
    return found


def slice_of(*devices, node="n1", driver=DRIVER, pool=None, generation=1, count=1, part="", counters=None):
    """One slice of a pool; with `counters` it has counter set `set` and no devices."""
    pool = pool or node
    spec = {"driver": driver, "pool": {"name": pool, "generation": generation, "resourceSliceCount": count}}
    spec |= {"nodeName": node}
    if counters:
        sets = [{"name": "set", "counters": {key: {"value": value} for key, value in counters.items()}}]
        spec["sharedCounters"] = sets
    else:
        spec["devices"] = list(devices)
    return {
        "apiVersion": DRA,
        "kind": "ResourceSlice",
        "metadata": {"name": f"{pool}-{driver}-{generation}{part}"},
        "spec": spec,
    }


def result(name, *, pool="n1", driver=DRIVER, share=None, takes=None, admin=False):
    found = {"request": "r", "driver": driver, "pool": pool, "device": name}
    if share:
        found["shareID"] = share
    if takes:
        found["consumedCapacity"] = takes
    if admin:
        found["adminAccess"] = True
    return found


def claim(name, *results, users=("p",)):
    status = {"allocation": {"devices": {"results": list(results)}}} if results else {}
    if users:
        status["reservedFor"] = [{"resource": "pods", "name": user, "uid": f"u-{user}"} for user in users]
    requests = [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]
    return {
        "apiVersion": DRA,
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default", "uid": f"c-{name}"},
        "spec": {"devices": {"requests": requests}},
        "status": status,
    }


def node(name="n1", **allocatable):
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110", **allocatable}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": f"n-{name}"},
        "status": {"allocatable": amounts},
    }  # fmt: skip


def pod(name, *, on="n1", phase="Running", claims=(), backed=(), **requests):
    container = {"name": "main", "image": "x", "resources": {"requests": requests, "limits": requests}}
    container["resources"]["claims"] = [{"name": each} for each in claims]
    status = {"phase": phase}
    if backed:
        mappings = [{"containerName": "main", "resourceName": each, "requestName": "r"} for each in backed]
        status["extendedResourceClaimStatus"] = {"resourceClaimName": f"{name}-x", "requestMappings": mappings}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": f"p-{name}"},
        "spec": {
            "nodeName": on, "containers": [container],
            "resourceClaims": [{"name": each, "resourceClaimName": each} for each in claims],
        },
        "status": status,
    }  # fmt: skip
