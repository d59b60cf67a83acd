"""Pods that come and go, for two schedulers."""

import asyncio
import json
import random
import time
from collections import Counter
from typing import Final

import aiohttp

from e2e.api import Access, Raw, collection
from e2e.siege.auditor import OURS, Auditor
from e2e.workload import pod

THEIRS: Final = "default-scheduler"
_LIVES_S: Final = (2.0, 8.0)  # from when a pod is seen bound to when it is deleted
_TRIES: Final = 200


class Churn:
    """So many pods a second, each deleted some time after it was bound.

    templates : by schedulerName the claim templates that its pods use. most : pods at once; no more are made beyond it.
    """

    def __init__(
        self,
        access: Access,
        namespace: str,
        auditor: Auditor,
        templates: dict[str, list[str]],
        rate: float,
        most: int,
        seed: int,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.made: dict[str, float] = {}  # by name, when
        self.going = True
        self._access = access
        self._namespace = namespace
        self._auditor = auditor
        self._templates = templates
        self._rate = rate
        self._most = most
        self._random = random.Random(seed)
        self._ends: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled; once `going` is False nothing more is made or deleted."""
        async with self._access.session(64) as session:
            await asyncio.gather(self._make(session), self._end(session))

    async def _make(self, session: aiohttp.ClientSession) -> None:
        due, number = time.monotonic(), 0
        tasks: set[asyncio.Task[None]] = set()
        while True:
            due += 1.0 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not self.going:
                continue
            if len(self._auditor.pods) + len(tasks) >= self._most:
                self.counts["held back"] += 1
                continue
            number += 1
            scheduler = self._random.choice(list(self._templates))
            name = f"{'o' if scheduler == OURS else 't'}-{number:06d}"
            chosen = self._random.choice(self._templates[scheduler])
            self.counts[f"made for {scheduler}"] += 1
            self.made[name] = time.monotonic()
            made = pod(self._namespace, name, templates=[chosen], scheduler=scheduler, cpu="10m")
            task = asyncio.create_task(self._send(session, "POST", collection("Pod", self._namespace), made))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _end(self, session: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(0.1)
            if not self.going:
                continue
            now = time.monotonic()
            for uid, item in list(self._auditor.pods.items()):
                if item["spec"].get("nodeName") and uid not in self._ends:
                    self._ends[uid] = now + self._random.uniform(*_LIVES_S)
            due = [uid for uid, at in self._ends.items() if at <= now and uid in self._auditor.pods]
            for uid in due:
                self._ends[uid] = float("inf")
            paths = [
                f"{collection('Pod', self._namespace)}/{self._auditor.pods[uid]['metadata']['name']}" for uid in due
            ]
            await asyncio.gather(*(self._send(session, "DELETE", path, {"gracePeriodSeconds": 0}) for path in paths))
            self.counts["deleted"] += len(paths)

    async def _send(self, session: aiohttp.ClientSession, method: str, path: str, body: Raw) -> None:
        """Until it is done, through restarts of the API server."""
        for _ in range(_TRIES):
            try:
                data = json.dumps(body).encode()
                timeout = aiohttp.ClientTimeout(total=10)
                kind = {"Content-Type": "application/json"}
                async with session.request(method, path, data=data, headers=kind, timeout=timeout) as answer:
                    await answer.read()
                    if answer.status < 400 or answer.status in {404, 409}:
                        return
                    self.counts[f"answers {answer.status}"] += 1
            except (OSError, aiohttp.ClientError, TimeoutError):
                self.counts["lost connections"] += 1
            await asyncio.sleep(0.3)
        raise RuntimeError(f"{method} {path}: the API server does not come back")
