"""An API server in memory, on loopback: objects with resourceVersions, patches as the real one merges them, and scripts
that make it misbehave."""

import asyncio
import json
from collections import defaultdict, deque

import pytest
from aiohttp import web

from scheduler.cluster.client import Address, Client

DRA = "/apis/resource.k8s.io/v1"
STORAGE = {
    "resources": [
        {"kind": kind} for kind in ("StorageClass", "CSINode", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment")
    ]
}
MERGE_KEYS = {"reservedFor": "uid", "conditions": "type"}


class FakeApi:
    """`objects`: path -> object. `lists`: path -> objects that a watch begins with.

    `script(method, path, step, ...)`: each such request takes the next step instead of the default; a step is a
    coroutine function of (api, request) that returns a response.
    `denied` : (verb, resource) pairs of which a review says that the client lacks them.
    """

    def __init__(self):
        self.objects = {"/apis/storage.k8s.io/v1": STORAGE}
        self.lists = {}
        self.denied = set()
        self.version = 100
        self.requests = []
        self.scripts = defaultdict(deque)
        self.url = ""
        self.changed = asyncio.Event()

    def script(self, method, path, *steps):
        self.scripts[method, path].extend(steps)

    def put(self, path, item):
        self.version += 1
        item.setdefault("metadata", {})["resourceVersion"] = str(self.version)
        self.objects[path] = item
        return item

    def sent(self, method, part=""):
        return [request for request in self.requests if request["method"] == method and part in request["path"]]

    async def until(self, condition, seconds=30.0):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def handle(self, request):
        body = await request.read()
        entry = {"method": request.method, "path": request.path, "query": dict(request.query)}
        text = body and request.content_type.endswith("json")
        entry |= {"body": json.loads(body) if text else body or None}
        entry |= {"type": request.content_type, "headers": request.headers}
        self.requests.append(entry)
        self.changed.set()
        steps = self.scripts[request.method, request.path]
        step = steps.popleft() if steps else FakeApi.default
        return await step(self, request)

    async def default(self, request):
        if "watch" in request.query:
            version = {"resourceVersion": str(self.version), "annotations": {"k8s.io/initial-events-end": "true"}}
            found = [{"type": "ADDED", "object": item} for item in self.lists.get(request.path, ())]
            end = {"type": "BOOKMARK", "object": {"metadata": version}}
            return await Steps.stream(*found, end, then="hang")(self, request)
        entry = next(each for each in reversed(self.requests) if each["path"] == request.path)
        answer, code = self.apply(request.method, request.path, entry["body"], entry["type"])
        return web.json_response(answer, status=code)

    def apply(self, method, path, body, content_type):
        if method == "GET":
            found = self.objects.get(path)
            return (found, 200) if found else failure(404, "NotFound")
        if method == "POST" and path.endswith("/selfsubjectaccessreviews"):
            return self.review(body["spec"]["resourceAttributes"]), 201
        if method == "POST" and path.endswith("/selfsubjectreviews"):
            return {"status": {"userInfo": {"username": "system:serviceaccount:dovetail-system:dovetail"}}}, 201
        if method == "POST" and path.endswith("/binding"):
            return self.bind(path.removesuffix("/binding"), body)
        if method == "POST":
            path = f"{path}/{body['metadata'].get('name') or body['metadata'].get('generateName')}"
            if path in self.objects:
                return failure(409, "AlreadyExists")
            body["metadata"].setdefault("uid", f"uid-{self.version}")
            return self.put(path, body), 201
        status = path.endswith("/status")
        found = self.objects.get(path.removesuffix("/status"))
        if found is None:
            return failure(404, "NotFound")
        given = body.get("preconditions", {}) if method == "DELETE" else body.get("metadata", {})
        for key in ("uid", "resourceVersion"):
            if given.get(key) not in {None, found["metadata"].get(key)}:
                return failure(409, "Conflict")
        if method == "DELETE":
            return self.delete(path)
        if method == "PUT":
            return self.put(path, body), 200
        merged = merge(found, body, content_type)
        if status:
            merged = {**found, "status": merged.get("status", {})}
        else:
            merged = {**merged, "status": found.get("status", {})}
        merged["metadata"] = {**merged["metadata"]}
        if merged["metadata"].get("deletionTimestamp") and not merged["metadata"].get("finalizers"):
            return self.objects.pop(path), 200
        return self.put(path.removesuffix("/status"), merged), 200

    def review(self, asked):
        resource = asked["resource"] + (f"/{asked['subresource']}" if asked["subresource"] else "")
        return {"status": {"allowed": (asked["verb"], resource) not in self.denied}}

    def delete(self, path):
        found = self.objects[path]
        if found["metadata"].get("finalizers"):
            return self.put(path, {**found, "metadata": {**found["metadata"], "deletionTimestamp": "now"}}), 200
        return self.objects.pop(path), 200

    def bind(self, path, body):
        found = self.objects.get(path)
        if found is None:
            return failure(404, "NotFound")
        if found["spec"].get("nodeName") or body["metadata"].get("uid") not in {None, found["metadata"]["uid"]}:
            return failure(409, "Conflict")
        found["spec"]["nodeName"] = body["target"]["name"]
        annotations = body["metadata"].get("annotations") or {}
        found["metadata"].setdefault("annotations", {}).update(annotations)
        self.put(path, found)
        return {"kind": "Status", "status": "Success"}, 201


def failure(code, reason, **more):
    return {"kind": "Status", "code": code, "reason": reason, "message": reason, **more}, code


def merge(old, patch, content_type):
    """JSON merge patch, or the parts of a strategic one that the scheduler uses: merge keys and what it takes out."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [each for each in result.get(name, ()) if each not in value]
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list) and "strategic" in content_type and isinstance(value[0], str):
            result[key] = list(dict.fromkeys([*(result.get(key) or ()), *value]))
        elif isinstance(value, list) and "strategic" in content_type and key in MERGE_KEYS:
            by = MERGE_KEYS[key]
            kept = {entry[by]: entry for entry in result.get(key) or ()}
            for entry in value:
                if entry.get("$patch") == "delete":
                    kept.pop(entry[by], None)
                else:
                    kept[entry[by]] = entry
            result[key] = list(kept.values())
        else:
            result[key] = merge(result.get(key), value, content_type)
    return result


class Steps:
    """What a script may do with a request."""

    @staticmethod
    def refuse(code, reason="Failure", headers=None, **more):
        async def step(api, request):
            body, _ = failure(code, reason, **more)
            return web.json_response(body, status=code, headers=headers)

        return step

    @staticmethod
    def answer(body):
        async def step(api, request):
            return web.json_response(body)

        return step

    @staticmethod
    def send(data):
        async def step(api, request):
            return web.Response(body=data, content_type="application/vnd.kubernetes.protobuf")

        return step

    @staticmethod
    def become(path, change, drop=False):
        """What the server makes of a body that is not read here; `drop` loses the answer."""

        async def step(api, request):
            found = api.put(path, merge(api.objects[path], change, "strategic"))
            if drop:
                request.transport.abort()
            return web.json_response(found)

        return step

    @staticmethod
    async def apply_and_drop(api, request):
        await FakeApi.default(api, request)
        request.transport.abort()
        return web.Response()

    @staticmethod
    async def drop(api, request):
        request.transport.abort()
        return web.Response()

    @staticmethod
    async def hang(api, request):
        await asyncio.sleep(60)

    @staticmethod
    def apply_then(code):
        async def step(api, request):
            await FakeApi.default(api, request)
            body, _ = failure(code, "Timeout")
            return web.json_response(body, status=code)

        return step

    @staticmethod
    def stream(*events, then="close", raw=()):
        """A watch that sends these events, cut into odd chunks; then it ends, hangs or breaks."""

        async def step(api, request):
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            text = b"".join(json.dumps(event).encode() + b"\n" for event in events) + b"".join(raw)
            for start in range(0, len(text), 701):
                await response.write(text[start : start + 701])
            if then == "hang":
                await asyncio.sleep(60)
            if then == "break":
                request.transport.abort()
            return response

        return step


@pytest.fixture
def steps():
    return Steps


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def api():
    fake = FakeApi()
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", fake.handle)
    runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def client(api):
    made = Client(Address(api.url, None, None, None, None))
    yield made
    await made.close()
