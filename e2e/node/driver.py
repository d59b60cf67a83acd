"""A DRA driver for one node: publishes ResourceSlices, and prepares claims by telling containers what they were given.

    python -m e2e.node.driver --name gpu.nvidia.com --node node-a --slices FILE --kubelet FOLDER --cdi FOLDER
        --kubeconfig FILE

FILE has the ResourceSlices to publish, as JSON. There is no hardware: a container learns of each device by a variable
DRA_<first 8 digits of the claim's UID>_<number> that holds JSON with claim, request, driver, pool and device, and with
shareID and consumedCapacity where the device is shared. What is prepared is known by its CDI file alone, so that a
driver which was killed goes on where it was.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from e2e.api import Api, Raw, collection
from e2e.node.ledger import overused
from e2e.node.protocol import dra_pb2, dra_pb2_grpc, registration_pb2, registration_pb2_grpc

log = logging.getLogger("driver")
_KEEP_S = 2.0  # between looks at what is published
_FIELDS = ("request", "driver", "pool", "device", "shareID", "consumedCapacity")


class Publisher:
    """Keeps the ResourceSlices of one driver and node as they should be."""

    def __init__(self, api: Api, name: str, node: str, slices: list[Raw]) -> None:
        self._api = api
        self._name = name
        self._node = node
        self._slices = slices

    def publish(self) -> None:
        """Nothing, where the same is published; else all slices in a newer generation, and no others afterwards."""
        listed = self._api.list("ResourceSlice", fieldSelector=f"spec.driver={self._name},spec.nodeName={self._node}")
        if self._same(listed):
            return
        newest = max((each["spec"]["pool"]["generation"] for each in listed), default=0)
        there = {each["metadata"]["name"]: each for each in listed}
        for each in self._slices:
            name = each["metadata"]["name"]
            spec = {**each["spec"], "pool": {**each["spec"]["pool"], "generation": newest + 1}}
            body = {**each, "spec": spec}
            if name in there:
                body["metadata"] = {**each["metadata"], "resourceVersion": there[name]["metadata"]["resourceVersion"]}
                self._api.call("PUT", f"{collection('ResourceSlice')}/{name}", body)
            else:
                self._api.create(body)
        for name in there.keys() - {each["metadata"]["name"] for each in self._slices}:
            self._api.delete("ResourceSlice", name)
        log.info("published %d slices in generation %d", len(self._slices), newest + 1)

    def _same(self, listed: list[Raw]) -> bool:
        return _contents(listed) == _contents(self._slices)


def _contents(slices: Iterable[Raw]) -> list[Raw]:
    """Devices and counters, whatever generation and slice they are in."""
    found = []
    for each in slices:
        spec = {name: each["spec"].get(name) for name in ("devices", "sharedCounters")}
        found.append({"name": each["metadata"]["name"], "count": each["spec"]["pool"]["resourceSliceCount"], **spec})
    return sorted(found, key=lambda item: item["name"])


class Prepared:
    """Claims that are prepared on this node: one CDI file each."""

    def __init__(self, folder: Path, name: str, slices: list[Raw]) -> None:
        self._folder = folder
        self._name = name
        self._slices = slices
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, uid: str, claim: Raw) -> list[dra_pb2.Device]:
        """Prepare a claim, again where it is prepared. Raises ValueError when that would use something twice."""
        allocation = claim["status"]["allocation"]["devices"]
        results = [each for each in allocation["results"] if each["driver"] == self._name]
        key = f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"
        others = {text["claim"]: text["results"] for text in self._all() if text["uid"] != uid}
        faults = overused(self._slices, {**others, key: results})
        if faults:
            raise ValueError("; ".join(faults))
        devices = []
        for number, result in enumerate(results):
            told = {"claim": key, **{field: result[field] for field in _FIELDS if field in result}}
            variable = f"DRA_{uid[:8]}_{number}={json.dumps(told, sort_keys=True)}"
            devices.append({"name": f"{uid}-{number}", "containerEdits": {"env": [variable]}})
        kept = {"uid": uid, "claim": key, "results": json.dumps(results)}
        spec = {"cdiVersion": "0.6.0", "kind": self._kind, "annotations": kept, "devices": devices}
        fresh = self._file(uid).with_suffix(".new")
        fresh.write_text(json.dumps(spec))
        fresh.rename(self._file(uid))
        return [
            dra_pb2.Device(
                request_names=[result["request"]],
                pool_name=result["pool"],
                device_name=result["device"],
                cdi_device_ids=[f"{self._kind}={uid}-{number}"],
                share_id=result.get("shareID"),
            )
            for number, result in enumerate(results)
        ]

    def remove(self, uid: str) -> None:
        """Forget a claim; nothing, where it is not prepared."""
        self._file(uid).unlink(missing_ok=True)

    @property
    def _kind(self) -> str:
        return f"{self._name}/claim"

    def _file(self, uid: str) -> Path:
        return self._folder / f"{self._name}-{uid}.json"

    def _all(self) -> list[dict[str, Any]]:
        kept = [json.loads(path.read_text())["annotations"] for path in self._folder.glob(f"{self._name}-*.json")]
        return [{**each, "results": json.loads(each["results"])} for each in kept]


class Plugin(dra_pb2_grpc.DRAPluginServicer, registration_pb2_grpc.RegistrationServicer):
    """Both services that a kubelet asks for."""

    def __init__(self, name: str, endpoint: Path, api: Api, publisher: Publisher, prepared: Prepared) -> None:
        self._name = name
        self._endpoint = endpoint
        self._api = api
        self._publisher = publisher
        self._prepared = prepared
        self._registered = False

    def keep(self) -> None:
        """Publish again what somebody deleted, such as a kubelet that gave up waiting for this driver."""
        if not self._registered:
            return
        try:
            self._publisher.publish()
        except Exception:  # the API server is away, say; the next time will tell
            log.exception("not published")

    def GetInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return registration_pb2.PluginInfo(
            type="DRAPlugin", name=self._name, endpoint=str(self._endpoint), supported_versions=["v1.DRAPlugin"]
        )

    def NotifyRegistrationStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """A kubelet that starts deletes the slices of drivers that it does not know yet, so publish afterwards."""
        log.info("registered: %s %s", request.plugin_registered, request.error)
        self._registered = request.plugin_registered
        if self._registered:
            self._publisher.publish()
        return registration_pb2.RegistrationStatusResponse()

    def NodePrepareResources(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Each claim by itself."""
        answers = {
            each.uid: _answer(dra_pb2.NodePrepareResourceResponse, self._prepare, each) for each in request.claims
        }
        return dra_pb2.NodePrepareResourcesResponse(claims=answers)

    def NodeUnprepareResources(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Each claim by itself."""
        kind = dra_pb2.NodeUnprepareResourceResponse
        answers = {each.uid: _answer(kind, self._unprepare, each) for each in request.claims}
        return dra_pb2.NodeUnprepareResourcesResponse(claims=answers)

    def _prepare(self, asked: Any) -> dict[str, Any]:
        claim = self._api.get("ResourceClaim", asked.name, asked.namespace)
        if claim["metadata"]["uid"] != asked.uid:
            raise ValueError(f"claim {asked.namespace}/{asked.name} is another one by now: {claim['metadata']['uid']}")
        devices = self._prepared.add(asked.uid, claim)
        log.info("prepared %s/%s: %s", asked.namespace, asked.name, [each.device_name for each in devices])
        return {"devices": devices}

    def _unprepare(self, asked: Any) -> dict[str, Any]:
        self._prepared.remove(asked.uid)
        log.info("unprepared %s/%s", asked.namespace, asked.name)
        return {}


def _answer(kind: Any, act: Callable[[Any], dict[str, Any]], asked: Any) -> Any:
    try:
        return kind(**act(asked))
    except Exception as error:  # any failure is this claim's alone, and the kubelet asks again
        log.exception("claim %s/%s", asked.namespace, asked.name)
        return kind(error=f"{type(error).__name__}: {error}")


def _serve(pool: ThreadPoolExecutor, socket: Path, add: Callable[[grpc.Server], None]) -> grpc.Server:
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = grpc.server(pool)
    add(server)
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--node", required=True)
    for path in ("slices", "kubelet", "cdi", "kubeconfig"):
        parser.add_argument(f"--{path}", required=True, type=Path)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    slices = json.loads(given.slices.read_text())
    api = Api.of(given.kubeconfig)
    endpoint = given.kubelet / "plugins" / given.name / "dra.sock"
    publisher = Publisher(api, given.name, given.node, slices)
    plugin = Plugin(given.name, endpoint, api, publisher, Prepared(given.cdi, given.name, slices))
    # One at a time: what is prepared is looked at before anything is added to it.
    with ThreadPoolExecutor(1) as pool:
        servers = [  # a server that is not held ends
            _serve(pool, endpoint, lambda server: dra_pb2_grpc.add_DRAPluginServicer_to_server(plugin, server)),
            _serve(
                pool,
                given.kubelet / "plugins_registry" / f"{given.name}-reg.sock",
                lambda server: registration_pb2_grpc.add_RegistrationServicer_to_server(plugin, server),
            ),
        ]
        log.info("%d services of %s are open", len(servers), given.name)
        while True:
            time.sleep(_KEEP_S)
            pool.submit(plugin.keep).result()


if __name__ == "__main__":
    main()
