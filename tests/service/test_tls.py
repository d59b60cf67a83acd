import asyncio
import contextlib
import logging
import os
import shutil
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from scheduler.core.errors import ConfigError
from scheduler.service.settings import TlsConfig
from scheduler.service.tls import Certificates, server_context, stranger

PLACE = "extender.http.tls"


def date(days):
    return datetime.now(UTC) + timedelta(days=days)


@dataclass
class Files:
    """What an admin has: a pair for the server, and the authority of the clients."""

    folder: Path
    authority: trustme.CA

    @property
    def tls(self):
        folder = self.folder
        return TlsConfig(
            certFile=str(folder / "tls.crt"), keyFile=str(folder / "tls.key"), clientCAFile=str(folder / "ca.crt")
        )

    def issue(self, *names, **more):
        leaf = self.authority.issue_cert(*names, **more)
        self.put("tls.crt", leaf.cert_chain_pems[0].bytes())
        self.put("tls.key", leaf.private_key_pem.bytes())

    def put(self, name, data):
        """Written beside and moved in place, as a kubelet and every careful program does."""
        (self.folder / "new").write_bytes(data)
        os.replace(self.folder / "new", self.folder / name)

    def refusal(self, tls=None):
        with pytest.raises(ConfigError) as caught:
            Certificates(tls or self.tls, PLACE)
        return str(caught.value)


@pytest.fixture
def files(tmp_path):
    found = Files(tmp_path, trustme.CA())
    found.issue("localhost")
    found.put("ca.crt", found.authority.cert_pem.bytes())
    return found


def client_of(authority, leaf=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    if version is not None:
        context.maximum_version = version
    return context


@contextlib.asynccontextmanager
async def serving(certificates):
    """A server that says hello; yields a function that asks it, and returns what it said and its certificate."""

    async def greet(reader, writer):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await reader.readline()
            writer.write(b"hello\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server_context(certificates))
    port = server.sockets[0].getsockname()[1]

    async def ask(context, name="localhost"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        try:
            writer.write(b"who\n")
            said = await reader.readline()
            return said, writer.get_extra_info("ssl_object").getpeercert()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async with server:
        yield ask


async def refused(asked):
    """Whether nothing was said. In TLS 1.3 the client is done with its greeting before the server has judged it."""
    try:
        said, _ = await asked
    except (ssl.SSLError, ConnectionError):
        return True
    return said == b""


# ---------------------------------------------------------------- who is served


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_with_a_certificate_is_served(files, version):
    leaf = files.authority.issue_cert("kube-scheduler")

    async with serving(Certificates(files.tls, PLACE)) as ask:
        said, _ = await ask(client_of(files.authority, leaf, version))

    assert said == b"hello\n"


def no_certificate(authority):
    return client_of(authority)


def other_authority(authority):
    return client_of(authority, trustme.CA().issue_cert("kube-scheduler"))


def expired(authority):
    return client_of(authority, authority.issue_cert("kube-scheduler", not_before=date(-9), not_after=date(-1)))


def not_yet(authority):
    return client_of(authority, authority.issue_cert("kube-scheduler", not_before=date(1), not_after=date(9)))


def distrusting(_):
    return client_of(trustme.CA())


@pytest.mark.parametrize("client", [no_certificate, other_authority, expired, not_yet, distrusting])
async def test_without_a_good_certificate_on_both_sides_nothing_is_said(files, client):
    async with serving(Certificates(files.tls, PLACE)) as ask:
        assert await refused(ask(client(files.authority)))


async def test_a_client_that_expects_another_server_goes(files):
    async with serving(Certificates(files.tls, PLACE)) as ask:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await ask(client_of(files.authority), "other.example")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
async def test_old_versions_are_not_spoken(files):
    context = client_of(files.authority, files.authority.issue_cert("a"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")

    async with serving(Certificates(files.tls, PLACE)) as ask:
        assert await refused(ask(context))


async def test_where_no_authority_is_named_nobody_is_asked_for_a_certificate(files):
    tls = TlsConfig(certFile=files.tls.cert_file, keyFile=files.tls.key_file)

    async with serving(Certificates(tls, PLACE)) as ask:
        said, _ = await ask(client_of(files.authority))

    assert said == b"hello\n"


NOW = time.time()
SUBJECT = {"subject": ((("organizationName", "x"),), (("commonName", "kube-scheduler"),))}
LATER = {"notAfter": "Jan  1 00:00:00 2100 GMT"}


@pytest.mark.parametrize(
    ("certificate", "names", "expected"),
    [
        ({**LATER, **SUBJECT}, [], ""),
        ({**LATER, **SUBJECT}, ["kube-scheduler"], ""),
        ({**LATER, "subjectAltName": (("DNS", "a"), ("DNS", "kube-scheduler"))}, ["b", "kube-scheduler"], ""),
        ({**LATER, **SUBJECT}, ["x"], "names ['kube-scheduler'], and none of clientNames"),
        ({**LATER, "subjectAltName": (("URI", "x"),)}, ["x"], "names [], and none of clientNames"),
        ({"notAfter": "Jan  1 00:00:00 2020 GMT", **SUBJECT}, [], "has ended on Jan  1 00:00:00 2020 GMT"),
        (None, [], "no client certificate"),
        ({}, [], "no client certificate"),
    ],
)
def test_who_was_signed_may_still_be_a_stranger(certificate, names, expected):
    found = stranger(certificate, names, NOW)

    assert (expected in found) if expected else found == ""


# ---------------------------------------------------------------- renewal


async def test_a_new_pair_serves_the_next_connection(files):
    leaf = files.authority.issue_cert("kube-scheduler")
    certificates = Certificates(files.tls, PLACE)
    async with serving(certificates) as ask:
        _, before = await ask(client_of(files.authority, leaf))

        files.issue("localhost", not_after=date(77))
        _, after = await ask(client_of(files.authority, leaf))

    assert before["serialNumber"] != after["serialNumber"]
    assert certificates.expires == pytest.approx(date(77).timestamp(), abs=60)


async def test_a_new_authority_takes_the_place_of_the_old_one(files):
    mine, theirs = files.authority, trustme.CA()
    async with serving(Certificates(files.tls, PLACE)) as ask:
        files.put("ca.crt", theirs.cert_pem.bytes())

        said, _ = await ask(client_of(mine, theirs.issue_cert("a")))
        assert await refused(ask(client_of(mine, mine.issue_cert("a"))))

    assert said == b"hello\n"


async def test_an_address_instead_of_a_name_gets_the_new_pair_too(files):
    """Then the client's greeting carries no server name."""
    leaf = files.authority.issue_cert("kube-scheduler")
    async with serving(Certificates(files.tls, PLACE)) as ask:
        files.issue("127.0.0.1")

        said, _ = await ask(client_of(files.authority, leaf), "127.0.0.1")

    assert said == b"hello\n"


async def test_a_broken_renewal_is_told_once_and_the_last_good_pair_goes_on(files, caplog):
    leaf = files.authority.issue_cert("kube-scheduler")
    async with serving(Certificates(files.tls, PLACE)) as ask:
        files.put("tls.key", files.authority.issue_cert("other").private_key_pem.bytes())  # half of a renewal
        for _ in range(3):
            said, _ = await ask(client_of(files.authority, leaf))
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]

        files.issue("localhost", not_after=date(77))
        _, renewed = await ask(client_of(files.authority, leaf))

    assert said == b"hello\n"
    assert len(errors) == 1
    assert ssl.cert_time_to_seconds(renewed["notAfter"]) == pytest.approx(date(77).timestamp(), abs=60)


async def test_files_that_vanish_stop_nobody(files):
    leaf = files.authority.issue_cert("kube-scheduler")
    async with serving(Certificates(files.tls, PLACE)) as ask:
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (files.folder / name).unlink()

        said, _ = await ask(client_of(files.authority, leaf))

    assert said == b"hello\n"


def test_what_did_not_change_is_not_loaded_again(files):
    certificates = Certificates(files.tls, PLACE)

    assert not certificates.renewed()

    files.issue("localhost")

    assert certificates.renewed()
    assert not certificates.renewed()


def test_other_libraries_get_the_texts(files):
    certificate, key, authorities = Certificates(files.tls, PLACE).pem()

    assert certificate == Path(files.tls.cert_file).read_bytes()
    assert b"PRIVATE KEY" in key
    assert authorities == files.authority.cert_pem.bytes()


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(("name", "key"), [("tls.crt", "certFile"), ("tls.key", "keyFile"), ("ca.crt", "clientCAFile")])
@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: path.write_bytes(b""), "holds no"),
        (lambda path: path.write_bytes(b"\xff\x00" * 99), "holds no"),
        (lambda path: path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "holds no"),
        (lambda path: path.write_bytes(b"x" * (2**20 + 1)), "is not a file of at most"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file of at most"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is not a file of at most"),
    ],
)
def test_a_bad_file_is_named_by_key_and_path(files, name, key, spoil, expected):
    path = files.folder / name
    spoil(path)

    message = files.refusal()

    assert message.startswith(f"{PLACE}.{key} {path}: ")
    assert expected in message


def test_a_path_that_is_none_is_named(files):
    assert "cannot be read" in files.refusal(files.tls.model_copy(update={"cert_file": "a\0b"}))


def test_a_key_of_another_certificate_is_named(files):
    files.put("tls.key", files.authority.issue_cert("other").private_key_pem.bytes())

    assert "keyFile" in files.refusal()
    assert f"is not the key of {files.tls.cert_file}; give the pair" in files.refusal()


def test_an_encrypted_key_asks_nobody(files):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((files.folder / "tls.key").read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    files.put("tls.key", key.private_bytes(serialization.Encoding.PEM, form, secret))

    assert "keyFile" in files.refusal()
    assert "is encrypted" in files.refusal()


@pytest.mark.parametrize(("first", "last", "why"), [(-9, -1, "certificate has expired"), (1, 9, "not yet valid")])
def test_a_pair_that_no_client_would_accept_is_refused(files, first, last, why):
    files.issue("localhost", not_before=date(first), not_after=date(last))

    message = files.refusal()

    assert f"certFile {files.tls.cert_file}: would be refused by every client" in message
    assert why in message


def test_a_pair_that_is_not_for_servers_is_refused(files):
    """Issued for something else by its extended key usage."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(date(-1)).not_valid_after(date(1))
    pem = serialization.Encoding.PEM
    files.put("tls.crt", builder.add_extension(usage, critical=False).sign(key, hashes.SHA256()).public_bytes(pem))
    files.put("tls.key", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    assert "would be refused by every client" in files.refusal()


def test_an_authority_that_has_ended_is_refused(files):
    certificates = [2_000_000_000_000.0]

    with pytest.raises(ConfigError, match=r"clientCAFile .* has ended on .*: no client could connect"):
        Certificates(files.tls, PLACE, wall=certificates.pop)


def test_a_certificate_that_is_no_authority_is_refused(files):
    shutil.copy(files.folder / "tls.crt", files.folder / "ca.crt")

    assert "clientCAFile" in files.refusal()
    assert "holds no certificate of an authority" in files.refusal()


def test_an_end_that_is_near_is_told(files, caplog):
    files.issue("localhost", not_after=date(3))

    Certificates(files.tls, PLACE)

    assert any("days; renew it" in record.getMessage() for record in caplog.records)
