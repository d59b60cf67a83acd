"""TLS of our listeners: certificates that are checked when they are loaded, and loaded anew when their files change.

A file that changed is noticed when the next connection begins. What cannot be used then is told once, and the last
good one goes on: whoever renews certificates writes one file after the other.
"""

import logging
import ssl
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scheduler.core.errors import ConfigError
from scheduler.service.settings import TlsConfig

log = logging.getLogger("dovetail.tls")

_LARGEST_FILE: Final = 2**20
_WARN_S: Final = 14 * 86_400.0
_DAY_S: Final = 86_400.0

Signature = tuple[tuple[int, int, int], ...]


class Certificates:
    """The files of one listener, as they are now.

    `place` : the key of the configuration that errors name, such as `extender.http.tls`.
    """

    def __init__(self, tls: TlsConfig, place: str, wall: Callable[[], float] = time.time) -> None:
        self._tls = tls
        self._place = place
        self._wall = wall
        self._signature = self._look()
        self.expires = self._check()
        """When the server's certificate ends, in seconds since 1970."""

    def renewed(self) -> bool:
        """Whether files changed since the last call, to something that can be used. Costs a look at each file."""
        signature = self._look()
        if signature == self._signature:
            return False
        self._signature = signature
        try:
            self.expires = self._check()
        except ConfigError as error:
            log.error("%s; what was loaded before stays in use", error)
            return False
        log.info("%s: certificates loaded anew", self._place)
        return True

    def context(self) -> ssl.SSLContext:
        """What the server's side of a connection needs. Raises ConfigError if files became unusable since the check."""
        context = _bare(ssl.PROTOCOL_TLS_SERVER)
        # A resumed session is not asked for its certificate again, which may have ended meanwhile.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        self._load(context)
        if self._tls.client_ca_file:
            context.verify_mode = ssl.CERT_REQUIRED
            self._load_authorities(context)
        return context

    def pem(self) -> tuple[bytes, bytes, bytes]:
        """Certificates, key and authorities of clients (empty: none are asked for), where TLS is another library's."""
        files = (self._tls.cert_file, self._tls.key_file, self._tls.client_ca_file)
        certificate, key, authorities = (Path(file).read_bytes() if file else b"" for file in files)
        return certificate, key, authorities

    # ------------------------------------------------------------ files

    def _keys(self) -> dict[str, str]:
        files = {"certFile": self._tls.cert_file, "keyFile": self._tls.key_file}
        return files | ({"clientCAFile": self._tls.client_ca_file} if self._tls.client_ca_file else {})

    def _wrong(self, key: str, problem: str, remedy: str = "") -> ConfigError:
        return ConfigError(f"{self._place}.{key} {self._keys()[key]}", problem, remedy)

    def _look(self) -> Signature:
        return tuple(_mark(file) for file in self._keys().values())

    # ------------------------------------------------------------ contents

    def _check(self) -> float:
        """When the server's certificate ends. Raises ConfigError if a client could not accept it, or any client."""
        for key, file in self._keys().items():
            self._check_file(key, Path(file))
        self._load(_bare(ssl.PROTOCOL_TLS_SERVER))
        if self._tls.client_ca_file:
            self._check_authorities()
        expires = float(ssl.cert_time_to_seconds(self._greeted()["notAfter"]))
        if (left_s := expires - self._wall()) < _WARN_S:
            log.warning(
                "%s.certFile %s: ends in %.1f days; renew it", self._place, self._tls.cert_file, left_s / _DAY_S
            )
        return expires

    def _check_file(self, key: str, path: Path) -> None:
        try:
            status = path.stat()
            # Anything else, such as a pipe, could be read for ever.
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE:
                raise self._wrong(key, f"is not a file of at most {_LARGEST_FILE} bytes", "give a PEM file")
            with path.open("rb") as opened:
                opened.read(1)
        except (OSError, ValueError) as error:
            words = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise self._wrong(key, f"cannot be read ({words})", "check path and permissions") from error

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._tls.cert_file, self._tls.key_file, password=self._encrypted)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise self._wrong("keyFile", f"is not the key of {self._tls.cert_file}", "give the pair") from error
            # OpenSSL does not tell which of the two files it was reading.
            key, kind = ("keyFile", "a private key") if self._certified() else ("certFile", "a certificate")
            raise self._wrong(key, f"holds no PEM text of {kind} ({error.reason or 'unreadable'})") from error
        except OSError as error:
            raise self._wrong("certFile", f"or the key beside it cannot be read ({error.strerror})") from error

    def _certified(self) -> bool:
        try:
            _bare(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=self._tls.cert_file)
        except (ssl.SSLError, OSError):
            return False
        return True

    def _encrypted(self) -> str:
        raise self._wrong("keyFile", "is encrypted, and nobody is there to be asked", "give a key without passphrase")

    def _load_authorities(self, context: ssl.SSLContext) -> None:
        try:
            context.load_verify_locations(cafile=self._tls.client_ca_file)
        except (ssl.SSLError, OSError) as error:
            words = getattr(error, "reason", None) or error.strerror
            raise self._wrong("clientCAFile", f"holds no PEM text of certificates ({words})") from error

    def _check_authorities(self) -> None:
        context = _bare(ssl.PROTOCOL_TLS_CLIENT)
        self._load_authorities(context)
        authorities: Sequence[Mapping[str, Any]] = context.get_ca_certs()
        if not authorities:
            raise self._wrong("clientCAFile", "holds no certificate of an authority (CA:TRUE)", "give the issuer's")
        if not any(ssl.cert_time_to_seconds(each["notAfter"]) > self._wall() for each in authorities):
            ended = max(authorities, key=lambda each: ssl.cert_time_to_seconds(each["notAfter"]))["notAfter"]
            raise self._wrong("clientCAFile", f"has ended on {ended}: no client could connect", "renew it")

    def _greeted(self) -> Mapping[str, Any]:
        """The server's certificate as a client sees it that trusts it, and nothing else. Talks to itself in memory."""
        server_context, client_context = _bare(ssl.PROTOCOL_TLS_SERVER), _bare(ssl.PROTOCOL_TLS_CLIENT)
        self._load(server_context)
        client_context.check_hostname = False
        client_context.load_verify_locations(cafile=self._tls.cert_file)
        client_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = server_context.wrap_bio(to_server, to_client, server_side=True)
        client = client_context.wrap_bio(to_client, to_server)
        for _ in range(4):
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                except ssl.SSLCertVerificationError as error:
                    said = error.verify_message
                    raise self._wrong("certFile", f"would be refused by every client: {said}", "renew it") from error
                except ssl.SSLError as error:
                    raise self._wrong("certFile", f"does not serve ({error.reason})", "make a new pair") from error
                if side is client:
                    return client.getpeercert() or {}
        raise self._wrong("certFile", "does not serve: a greeting with oneself came to no end", "make a new pair")


def _mark(file: str) -> tuple[int, int, int]:
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return (0, 0, -1)
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def _bare(side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """A context for asyncio servers under which each new connection gets the certificates as they are by then."""
    first = certificates.context()
    current = first

    def greeted(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        nonlocal current
        try:
            if certificates.renewed():
                current = certificates.context()
        except ConfigError as error:  # replaced again since they were checked: the next connection looks again
            log.error("%s; what was loaded before stays in use", error)
        if current is not first:
            connection.context = current

    first.sni_callback = greeted  # is called without a name too
    return first


def stranger(certificate: Mapping[str, Any] | None, names: Sequence[str], wall_s: float) -> str:
    """Why the client with this certificate (as `getpeercert` tells) is not served; empty: it is.

    The handshake has seen who signed it. A connection may outlive it.
    """
    if not certificate:
        return "no client certificate"
    if ssl.cert_time_to_seconds(certificate["notAfter"]) < wall_s:
        return f"the client certificate has ended on {certificate['notAfter']}"
    if not names:
        return ""
    subject = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    known = {*subject, *(value for key, value in certificate.get("subjectAltName", ()) if key == "DNS")}
    return "" if known & set(names) else f"the client certificate names {sorted(known)}, and none of clientNames"
