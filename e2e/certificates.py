"""Certificates of a test: an authority, and pairs that it or another one signed, as files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its key."""

    certificate: str
    key: str


class Authority:
    """Signs into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self._number = iter(range(1000))
        folder.mkdir(parents=True, exist_ok=True)
        self.file = str(folder / "ca.crt")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *hosts: str, name: str | None = None, days: float = 30) -> Pair:
        """A pair for these hosts, or of a client of this common name, that ends in so many days, which may be over."""
        now = datetime.now(UTC)
        since = min(now, now + timedelta(days=days)) - timedelta(days=1)
        until = now + timedelta(days=days)
        leaf = self._ca.issue_cert(*hosts, common_name=name, not_before=since, not_after=until)
        at = self._folder / f"pair-{next(self._number)}"
        leaf.cert_chain_pems[0].write_to_path(f"{at}.crt")
        leaf.private_key_pem.write_to_path(f"{at}.key")
        return Pair(f"{at}.crt", f"{at}.key")
