"""The way to the API server: credentials and TLS from the official client, requests on one aiohttp session.

The official client knows kubeconfig files, in-cluster accounts, exec plugins and their refresh; it is asked for the
address, the TLS files and the Authorization header, and for nothing else: its typed models cost forty times the
decoding that scheduling needs.
"""

import asyncio
import contextlib
import logging
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from scheduler.cluster.machine import Machine
from scheduler.core.errors import ConfigError, NotNowError
from scheduler.core.messages import Cause

log = logging.getLogger(__name__)

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"

NOT_SENT: Final = -1  # in place of an HTTP status

_USER_AGENT: Final = "dovetail"
_CONNECT_S: Final = 10.0
_CONNECTIONS: Final = 256
_CREDENTIAL_AGE_S: Final = 30.0  # how long an Authorization header is used before its hook is asked again
_TLS_RELOAD_S: Final = 10.0
_THROTTLED_TRIES: Final = 6
_THROTTLED_WAIT_S: Final = 30.0  # the longest single wait that a Retry-After may ask for
_TYPES: Final = (JSON, MERGE_PATCH, STRATEGIC_PATCH, PROTOBUF)
_CAUSES: Final[dict[int, Cause]] = {
    400: "invalid", 401: "forbidden", 403: "forbidden", 404: "gone", 405: "invalid", 406: "invalid", 409: "conflict",
    410: "gone", 413: "invalid", 415: "invalid", 422: "invalid",
}  # fmt: skip


class ApiError(NotNowError):
    """A request that did not succeed.

    status : HTTP status, 0 when no answer came, NOT_SENT when the request was held back for good.
    cause : what it means for the request; `unknown` when it may have been applied nevertheless (time-out, reset, 5xx)
    or was turned away for the server's load.
    """

    def __init__(self, cause: Cause, status: int, message: str, retry_after: float | None = None) -> None:
        self.cause = cause
        self.status = status
        self.message = message
        self.retry_after = retry_after
        super().__init__(message)

    @property
    def doubtful(self) -> bool:
        """Whether the write may have been applied."""
        return self.cause == "unknown" and self.status != NOT_SENT


class _Details(msgspec.Struct, gc=False):
    retry_after: float = msgspec.field(default=0, name="retryAfterSeconds")


class _Status(msgspec.Struct, gc=False):
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


class _Resource(msgspec.Struct, gc=False):
    kind: str = ""


class _Resources(msgspec.Struct):
    resources: list[_Resource] = []


class _Version(msgspec.Struct, rename="camel", gc=False):
    minor: str = ""
    emulation_minor: str = ""


_decode_status = msgspec.json.Decoder(_Status).decode
_decode_resources = msgspec.json.Decoder(_Resources).decode
_decode_version = msgspec.json.Decoder(_Version).decode


def error_of(status: int, body: bytes, where: str, retry_after: str = "") -> ApiError:
    """The ApiError for an HTTP status and the metav1.Status that came with it; `retry_after` is the header."""
    try:
        said = _decode_status(body)
    except msgspec.MsgspecError:
        said = _Status(message=body[:200].decode("utf-8", "replace").strip())
    wait: float | None = None
    with contextlib.suppress(ValueError):  # a date instead of seconds is legal, and not what API servers send
        wait = float(retry_after) if retry_after else (said.details.retry_after or None if said.details else None)
    text = f"{where.partition('?')[0]}: HTTP {status}" + (f" {said.reason}" if said.reason else "")
    return ApiError(_CAUSES.get(status, "unknown"), status, text + (f": {said.message}" if said.message else ""), wait)


@cache
def _limit(seconds: float) -> aiohttp.ClientTimeout:
    """Of a request; there are few different ones."""
    return aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_S)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API server is and how to trust it. `configuration` is a `kubernetes.client.Configuration`."""

    host: str
    tls: ssl.SSLContext | None
    server_name: str | None
    proxy: str | None
    configuration: Any


def load_address(kubeconfig: Path | None) -> Address:
    """Read a kubeconfig, or find one: $KUBECONFIG, the pod's service account, ~/.kube/config.

    Blocks (files, exec plugins). Raises ConfigError.
    """
    from kubernetes import config as loader  # noqa: PLC0415 (costs a third of a second)
    from kubernetes.client import Configuration  # noqa: PLC0415
    from kubernetes.client.rest import should_bypass_proxies  # noqa: PLC0415

    configuration = Configuration()
    named = kubeconfig is not None or bool(os.environ.get("KUBECONFIG"))
    where = str(kubeconfig or os.environ.get("KUBECONFIG") or "kubeconfig")
    if kubeconfig is not None and not kubeconfig.is_file():
        raise ConfigError(where, "is not a file", "name a readable kubeconfig")
    try:
        if not named and os.environ.get("KUBERNETES_SERVICE_HOST"):
            where = "in-cluster service account"
            loader.load_incluster_config(client_configuration=configuration)
        else:
            source = str(kubeconfig) if kubeconfig else None
            loader.load_kube_config(source, client_configuration=configuration, persist_config=False)
        tls = _tls(configuration) if configuration.host.startswith("https") else None
    except Exception as error:  # the loader lets whatever its YAML parser, a plugin or ssl raised pass through
        raise ConfigError(where, f"gives no access to a cluster ({error})", "name a readable kubeconfig") from error
    proxy = configuration.proxy
    if proxy and should_bypass_proxies(configuration.host, configuration.no_proxy or ""):
        proxy = None
    return Address(configuration.host.rstrip("/"), tls, configuration.tls_server_name or None, proxy, configuration)


def _tls(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    # Python 3.13 asks for extensions that the authorities of many clusters lack, and that Go does not ask for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


class Stream:
    """The open body of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self) -> bytes:
        """What has come, as soon as there is something; empty at the end."""
        return await self._response.content.readany()

    async def gather(self, seconds: float) -> None:
        """Leave what comes unread for so long: read together it costs one turn of everything that it passes through."""
        connection = self._response.connection
        transport: Any = connection.transport if connection is not None else None
        if transport is None:  # it is at its end
            return
        transport.pause_reading()
        try:
            await asyncio.sleep(seconds)
        finally:
            transport.resume_reading()


def _unheard(method: str, path: str, status: int, seconds: float) -> None:
    """Nobody wants to know."""


class Client:
    """One keep-alive session to the API server. Make it inside a running loop; close it.

    heard : told of each request that ended: method, path, HTTP status (0: no answer came) and seconds, which are
    negative for the beginning of a stream. session : in place of one that is made here.
    """

    def __init__(
        self,
        address: Address,
        kubeconfig: Path | None = None,
        connections: int = _CONNECTIONS,
        machine: Machine | None = None,
        session: Any = None,
    ) -> None:
        self._address = address
        self._kubeconfig = kubeconfig
        self._machine = machine or Machine()
        self._clock = self._machine.clock
        self._session = session or aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections, ssl=address.tls or True, ttl_dns_cache=60, keepalive_timeout=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": JSON, "Accept-Encoding": "identity", "User-Agent": _USER_AGENT},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
            read_bufsize=2**18,
        )
        self._options: dict[str, Any] = {"allow_redirects": False}
        if address.proxy:
            self._options["proxy"] = address.proxy
        if address.server_name:
            self._options["server_hostname"] = address.server_name
        self._headers: dict[str, dict[str, str]] = {}
        self._headers_until = 0.0
        self._refreshing = asyncio.Lock()
        self._tls_reloaded = 0.0
        self._hold_until = 0.0
        self.heard: Callable[[str, str, int, float], None] = _unheard

    @classmethod
    async def connect(cls, kubeconfig: Path | None) -> "Client":
        """A client with the credentials of `load_address`. Raises ConfigError."""
        return cls(await asyncio.to_thread(load_address, kubeconfig), kubeconfig)

    def sibling(self, connections: int) -> "Client":
        """A client with connections of its own, for what must not queue behind this one's requests."""
        return Client(self._address, self._kubeconfig, connections, self._machine)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = JSON,
        timeout: float = 30.0,
        permitted: Callable[[], bool] | None = None,
        accept: str = JSON,
    ) -> bytes:
        """The body of a successful answer, of the type `accept`.

        A 429 is waited out and repeated, a bounded number of times: the server has not begun such a request. A 401
        is repeated once with fresh credentials. `permitted` is asked before each send, and ends it with status
        NOT_SENT. Raises ApiError.
        """
        limit = _limit(timeout)
        url = URL(self._address.host + path, encoded=True)
        refreshed = False
        throttled = 0
        while True:
            if self._hold_until:
                await self._hold()
            headers = self._headers.get(content_type)
            if headers is None or self._clock() >= self._headers_until:
                headers = await self._authorize(content_type)
            if accept != JSON:
                headers = {**headers, "Accept": accept}
            if permitted is not None and not permitted():
                raise ApiError("unknown", NOT_SENT, "lease lost")
            begun = self._clock()
            try:
                async with self._session.request(
                    method, url, data=body, headers=headers, timeout=limit, **self._options
                ) as response:
                    data = await response.read()
                    status = response.status
                    self.heard(method, path, status, self._clock() - begun)
                    if status < 300:
                        return data
                    retry_after = response.headers.get("Retry-After", "")
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.heard(method, path, 0, self._clock() - begun)
                raise await self._unreachable(method, path, error) from error
            failure = error_of(status, data, f"{method} {path}", retry_after)
            if status == 429 and throttled < _THROTTLED_TRIES:
                throttled += 1
                # Everyone waits: one refusal for load says the same of the next request.
                wait = min(failure.retry_after or 0.05 * 2**throttled, _THROTTLED_WAIT_S)
                self._hold_until = max(self._hold_until, self._clock() + wait)
                continue
            if status == 401 and not refreshed:
                refreshed = True
                await self._reload()
                continue
            raise failure

    @contextlib.asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[Stream]:
        """The open body of a watch. No time limit of its own: the reader sets one. Raises ApiError."""
        if self._hold_until:
            await self._hold()
        headers = await self._authorize(JSON)
        url = URL(self._address.host + path, encoded=True)
        try:
            async with self._session.get(url, headers=headers, **self._options) as response:
                self.heard("GET", path, response.status, -1.0)
                if response.status != 200:
                    data = await response.read()
                    if response.status == 401:
                        await self._reload()
                    raise error_of(response.status, data, f"WATCH {path}", response.headers.get("Retry-After", ""))
                yield Stream(response)
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise await self._unreachable("WATCH", path, error) from error

    async def kinds(self, group_version: str) -> frozenset[str]:
        """The kinds that the server serves at `apis/GROUP/VERSION`; empty when it does not know it. Raises ApiError."""
        try:
            body = await self.request("GET", f"/apis/{group_version}")
        except ApiError as error:
            if error.status == 404:
                return frozenset()
            raise
        try:
            return frozenset(entry.kind for entry in _decode_resources(body).resources)
        except msgspec.MsgspecError as error:
            raise ApiError("unknown", 200, f"GET /apis/{group_version}: {error}") from error

    async def minor_version(self) -> int:
        """Of Kubernetes 1.x the x, as far as its APIs and gates go (an emulated version counts). Raises ApiError."""
        where = "GET /version"
        body = await self.request("GET", "/version")
        try:
            said = _decode_version(body)
        except msgspec.MsgspecError as error:
            raise ApiError("invalid", 200, f"{where}: {error}") from error
        text = said.emulation_minor or said.minor
        digits = re.match(r"\d+", text)  # providers append a plus
        if digits is None:
            raise ApiError("invalid", 200, f"{where}: minor version {text!r} is not a number")
        return int(digits[0])

    async def _hold(self) -> None:
        while (wait := self._hold_until - self._clock()) > 0:
            await asyncio.sleep(wait * (1 + 0.2 * self._machine.random.random()))
        self._hold_until = 0.0

    async def _authorize(self, content_type: str) -> dict[str, str]:
        async with self._refreshing:
            if self._clock() >= self._headers_until:
                configuration = self._address.configuration
                value: str | None = None
                if configuration is not None:
                    try:
                        value = await asyncio.to_thread(configuration.get_api_key_with_prefix, "BearerToken")
                    except Exception as error:  # a plugin or a file that fails is an outage of the credentials
                        raise ApiError("forbidden", 0, f"credentials cannot be refreshed: {error}") from error
                self._headers = {kind: {"Content-Type": kind} for kind in _TYPES}
                if value:
                    for headers in self._headers.values():
                        headers["Authorization"] = value
                self._headers_until = self._clock() + _CREDENTIAL_AGE_S
            return self._headers[content_type]

    async def _reload(self) -> None:
        """Read the credentials anew: a token file named by a kubeconfig is read once by its loader."""
        async with self._refreshing:
            if self._address.configuration is not None:
                try:
                    fresh = await asyncio.to_thread(load_address, self._kubeconfig)
                except ConfigError as error:
                    log.warning("credentials not reloaded: %s", error)
                    return
                self._address = Address(
                    self._address.host, self._address.tls, self._address.server_name, self._address.proxy,
                    fresh.configuration,
                )  # fmt: skip
            self._headers_until = 0.0

    async def _unreachable(self, method: str, path: str, error: Exception) -> ApiError:
        if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
            await asyncio.to_thread(self._reload_tls)
        words = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        return ApiError("unknown", 0, f"{method} {path.partition('?')[0]}: {words}")

    def _reload_tls(self) -> None:
        """Take rotated files into the context that new connections use."""
        tls, configuration = self._address.tls, self._address.configuration
        if tls is None or configuration is None or self._clock() < self._tls_reloaded + _TLS_RELOAD_S:
            return
        self._tls_reloaded = self._clock()
        try:
            if configuration.ssl_ca_cert:
                tls.load_verify_locations(cafile=configuration.ssl_ca_cert)
            if configuration.cert_file:
                tls.load_cert_chain(configuration.cert_file, configuration.key_file)
        except (OSError, ssl.SSLError) as failure:
            log.warning("TLS files not reloaded: %s", failure)
