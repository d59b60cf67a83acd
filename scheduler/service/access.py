"""Who may read metrics and debug pages: the API server is asked, as Kubernetes' own components ask it.

TokenReview tells who shows a token, SubjectAccessReview whether that somebody may `get` the path (nonResourceURLs).
Nothing is open while the API server does not answer.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from scheduler.cluster.client import ApiError, Client

log = logging.getLogger(__name__)

TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_REMEMBERED_S: Final = 10.0  # what kube-apiserver's delegating authenticators use
_REMEMBERED: Final = 256
_REVIEWS_AT_ONCE: Final = 4
_REVIEW_S: Final = 5.0
_LONGEST_TOKEN: Final = 8_192


@dataclass(frozen=True, slots=True)
class Verdict:
    """An HTTP status, 200 if the page may be read, and a sentence that tells nothing of the cluster."""

    status: int
    words: str = ""


ALLOWED: Final = Verdict(200)
UNKNOWN: Final = Verdict(401, "show a token of this cluster: Authorization: Bearer TOKEN")
FORBIDDEN: Final = Verdict(403, "this account may not get this path; grant it as a nonResourceURL")
UNDECIDED: Final = Verdict(503, "the API server did not review the token; try again")


class _User(msgspec.Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] = []


class _AccessStatus(msgspec.Struct):
    allowed: bool = False
    denied: bool = False


class _TokenReview(msgspec.Struct):
    status: _TokenStatus = msgspec.field(default_factory=_TokenStatus)


class _AccessReview(msgspec.Struct):
    status: _AccessStatus = msgspec.field(default_factory=_AccessStatus)


class Access:
    """Judges requests, and remembers each verdict for ten seconds under a digest of the token.

    audiences : whom tokens have to be meant for; none: the API server.
    """

    def __init__(
        self, client: Client, audiences: Sequence[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._audiences = list(audiences)
        self._clock = clock
        self._slots = asyncio.Semaphore(_REVIEWS_AT_ONCE)
        self._known: OrderedDict[tuple[bytes, str], tuple[float, Verdict]] = OrderedDict()

    async def judge(self, authorization: str | None, path: str) -> Verdict:
        """Whether whoever sent this Authorization header may get this path."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
            return UNKNOWN
        key = (hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), path)
        until, verdict = self._known.get(key, (0.0, UNDECIDED))
        if self._clock() < until:
            return verdict
        try:
            async with asyncio.timeout(_REVIEW_S), self._slots:
                verdict = await self._review(token, path)
        except (ApiError, TimeoutError, msgspec.MsgspecError, ValueError) as error:
            log.warning("a request for %s is refused, since its token was not reviewed: %s", path, error or "too late")
            return UNDECIDED
        self._known[key] = (self._clock() + _REMEMBERED_S, verdict)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return verdict

    async def _review(self, token: str, path: str) -> Verdict:
        asked: dict[str, Any] = {"token": token} | ({"audiences": self._audiences} if self._audiences else {})
        status = (await self._ask(TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", asked, _TokenReview)).status
        meant = not self._audiences or bool(set(self._audiences) & set(status.audiences))
        if not status.authenticated or not meant or not status.user.username:
            return UNKNOWN
        user = status.user
        asked = {"user": user.username, "nonResourceAttributes": {"path": path, "verb": "get"}}
        asked |= {
            key: value for key, value in (("uid", user.uid), ("groups", user.groups), ("extra", user.extra)) if value
        }
        kind = "SubjectAccessReview"
        found = (await self._ask(ACCESS_REVIEWS, "authorization.k8s.io/v1", kind, asked, _AccessReview)).status
        return ALLOWED if found.allowed and not found.denied else FORBIDDEN

    async def _ask(self, path: str, version: str, kind: str, spec: dict[str, Any], answer: type[Any]) -> Any:
        body = msgspec.json.encode({"apiVersion": version, "kind": kind, "spec": spec})
        return msgspec.json.decode(await self._client.request("POST", path, body, timeout=_REVIEW_S), type=answer)
