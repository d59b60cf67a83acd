"""Pages for whoever looks for a fault: what is in force, who waits for what, and why a pod is where it is.

They tell names of pods and nodes, so they are guarded as metrics are. Each is JSON, and no longer than it must be.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from scheduler.core.engine import Engine
from scheduler.core.explain import to_dict
from scheduler.core.plan import Decision
from scheduler.service.http import Page

DECISIONS: Final = 1_000
WAITING: Final = 1_000


class Debug:
    """Remembers the newest decisions, and shows them with what the engine knows now.

    engine : None while there is none. config : hash and content of the configuration in force.
    """

    def __init__(self, engine: Callable[[], Engine | None], config: Callable[[], Mapping[str, Any]]) -> None:
        self._engine = engine
        self._config = config
        self._decisions: OrderedDict[str, Decision] = OrderedDict()

    def record(self, decision: Decision) -> None:
        """Keep a decision, the newest of each pod."""
        self._decisions.pop(decision.pod, None)
        self._decisions[decision.pod] = decision
        if len(self._decisions) > DECISIONS:
            self._decisions.popitem(last=False)

    def pages(self) -> dict[str, Page]:
        """By path."""
        return {
            "/debug/config": self._show_config,
            "/debug/queue": self._show_queue,
            "/debug/pods/{namespace}/{name}": self._show_pod,
        }

    async def _show_config(self, request: web.Request) -> web.Response:
        return _json(self._config())

    async def _show_queue(self, request: web.Request) -> web.Response:
        """`?namespace=` leaves out the pods of others."""
        engine = self._engine()
        if engine is None:
            return _json({"problem": "the cluster was not reached yet"}, 503)
        wanted = request.query.get("namespace")
        found: list[dict[str, str]] = []
        for uid, token in engine.backlog.tokens():
            pod = engine.state.pods.current.get(uid)
            if pod is None or (wanted is not None and pod.namespace != wanted):
                continue
            if len(found) >= WAITING:
                break
            said = engine.why_pending(pod.key)
            found.append({"pod": pod.key, "reason": token or "Due", "message": said[1] if said else ""})
        return _json({"waiting": len(engine.backlog), "inFlight": engine.in_flight, "pods": found})

    async def _show_pod(self, request: web.Request) -> web.Response:
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        engine = self._engine()
        decision = self._decisions.get(key)
        said = engine.why_pending(key) if engine is not None else None
        if decision is None and said is None:
            return _json({"problem": f"nothing is known of pod {key}: it is not one of the last {DECISIONS}"}, 404)
        found: dict[str, Any] = {"pod": key}
        if decision is not None:
            found["decision"] = to_dict(decision)
        if said is not None:
            found["waits"] = {"reason": said[0], "message": said[1]}
        return _json(found)


def _json(content: Mapping[str, Any], status: int = 200) -> web.Response:
    """Pure ASCII: what tenants wrote steers no terminal."""
    return web.Response(text=json.dumps(content) + "\n", content_type="application/json", status=status)
