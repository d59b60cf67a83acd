"""An extender on loopback over an engine that tests feed, and requests as kube-scheduler makes them."""

import asyncio
import io
import json
from typing import Any

import aiohttp

from scheduler.core.config import Ownership
from scheduler.core.messages import Slow
from scheduler.core.slow import answer
from scheduler.service.extender import Extender
from scheduler.service.settings import HttpExtenderSettings
from tests.driving import Hands


def pod_json(name: str = "p", *, claims: tuple[str, ...] = ("c",)) -> dict[str, Any]:
    """A v1.Pod as the API has it, with what no scheduler needs too."""
    return {
        "metadata": {
            "name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {
            "schedulerName": "default-scheduler",
            "resourceClaims": [{"name": each, "resourceClaimName": each} for each in claims],
            "containers": [
                {
                    "name": "main", "image": "x", "env": [{"name": "TOKEN", "value": "s3cret-canary"}],
                    "resources": {"requests": {"cpu": "100m"}, "claims": [{"name": each} for each in claims]},
                }
            ],
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    }  # fmt: skip


def node_json(name: str) -> dict[str, Any]:
    """A v1.Node as the API has it."""
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"a": "b"}},
        "spec": {},
        "status": {"capacity": {"cpu": "64"}, "images": [{"names": ["x"], "sizeBytes": 12345678901}]},
    }


class Server:
    """`hands` feeds the engine; `unready` is what the caches are said to lack."""

    def __init__(self, hands: Hands, port: int, **settings: Any) -> None:
        self.hands = hands
        self.unready = ""
        self.calls = 0
        self.answers = True  # whether what is asked beside the loop gets an answer
        self._taken_in = asyncio.Event()
        self.url = f"http://127.0.0.1:{port}/extender"
        self.extender = Extender(
            HttpExtenderSettings(enabled=True, port=port, **settings),
            lambda: self,
            lambda: self.unready,
            self._heard,
            self._submit,
        )

    def catch_up(self):
        return self.hands.engine.catch_up()

    def advise(self, pod, now, budget):
        self.calls += 1
        return self.hands.engine.advise(pod, now, budget)

    async def _heard(self) -> None:
        await self._taken_in.wait()

    def see(self, *objects: Any) -> None:
        self.hands.see(*objects)
        self._wake()

    def _submit(self, instruction: Any) -> None:
        assert isinstance(instruction, Slow)
        if self.answers:
            asyncio.get_running_loop().call_soon(self._answer, instruction)

    def _answer(self, instruction: Slow) -> None:
        self.hands.tell(answer(instruction))
        self._wake()

    def _wake(self) -> None:
        self._taken_in.set()
        self._taken_in = asyncio.Event()

    async def post(self, verb: str, body: Any, **options: Any) -> tuple[int, Any]:
        """Status and JSON of the answer; `body` is text already, or becomes JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **options.pop("headers", {})}
        method = options.pop("method", "POST")
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.url}/{verb}", data=io.BytesIO(data), headers=headers) as reply,
        ):
            text = await reply.text()
            assert reply.content_type == "application/json"
            return reply.status, json.loads(text)

    async def ask(self, verb: str, *names: str, **pod: Any) -> Any:
        """The result for names of nodes."""
        status, found = await self.post(verb, {"Pod": pod_json(**pod), "Nodes": None, "NodeNames": list(names)})
        assert status == 200, found
        return found


def cluster(*objects: Any) -> Hands:
    """Nothing in it is Dovetail's but nodes that say so."""
    return Hands(*objects, ownership=Ownership())
