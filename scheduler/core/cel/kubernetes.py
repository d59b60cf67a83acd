"""Kubernetes' own functions: quantity, semver, url, ip, cidr, named formats, regular expressions, authorization."""

import ipaddress
import re
from typing import Any, Final

from scheduler.core.cel import times
from scheduler.core.cel.amount import Amount, parse_amount, whole
from scheduler.core.cel.registry import declare
from scheduler.core.cel.semver import Semver, normalise_semver, parse_semver
from scheduler.core.cel.standard import pattern
from scheduler.core.cel.types import (
    BOOL,
    CIDR,
    DOUBLE,
    FORMAT,
    INT,
    IP,
    QUANTITY,
    SEMVER,
    STRING,
    URL,
    Type,
    list_of,
    map_of,
    optional_of,
)  # fmt: skip
from scheduler.core.cel.values import INT_MAX, NONE, Cidr, Failure, Format, Ip, Map, Optional, Url

_TEXTS: Final = list_of(STRING)

# ---------------------------------------------------------------- regular expressions


def _find(text: str, regex: str) -> str:
    found = pattern(regex).search(text)
    return "" if found is None else str(found[0])


def find_all(text: str, regex: str, limit: int = -1) -> tuple[str, ...]:
    """Matches from left to right, at most `limit` of them if that is not negative. Raises Failure."""
    compiled = pattern(regex)
    found: list[str] = []
    position, previous = 0, -1
    while (limit < 0 or len(found) < limit) and position <= len(text):
        match = compiled.search(text, position)
        if match is None:
            break
        start, end = match.span()
        # An empty match right behind the one before does not count.
        if end > start or start != previous:
            found.append(match[0])
            previous = end
        position = end if end > position else position + 1
    return tuple(found)


declare("find", "string_find_string", (STRING, STRING), STRING, _find, member=True)
declare("findAll", "string_find_all_string", (STRING, STRING), _TEXTS, find_all, member=True)
declare("findAll", "string_find_all_string_int", (STRING, STRING, INT), _TEXTS, find_all, member=True)

# ---------------------------------------------------------------- quantities


def _quantity(text: str) -> Amount:
    found = parse_amount(text)
    if found is None:
        raise Failure(f"{text[:80]!r} is not a quantity")
    return found


def _as_integer(amount: Amount) -> int:
    found = amount.integer()
    if found is None:
        raise Failure("cannot convert value to integer")
    return found


declare("quantity", "string_to_quantity", (STRING,), QUANTITY, _quantity)
declare("isQuantity", "is_quantity_string", (STRING,), BOOL, lambda text: parse_amount(text) is not None)
declare("sign", "quantity_sign", (QUANTITY,), INT, Amount.sign)
declare("isGreaterThan", "quantity_is_greater_than", (QUANTITY, QUANTITY), BOOL, lambda a, b: a.compare(b) == 1,
        member=True)  # fmt: skip
declare("isLessThan", "quantity_is_less_than", (QUANTITY, QUANTITY), BOOL, lambda a, b: a.compare(b) == -1,
        member=True)  # fmt: skip
declare("compareTo", "quantity_compare_to", (QUANTITY, QUANTITY), INT, Amount.compare, member=True)
declare("asApproximateFloat", "quantity_get_float", (QUANTITY,), DOUBLE, Amount.approximate, member=True)
declare("asInteger", "quantity_get_int", (QUANTITY,), INT, _as_integer, member=True)
declare("isInteger", "quantity_is_integer", (QUANTITY,), BOOL, lambda a: a.integer() is not None, member=True)
declare("add", "quantity_add", (QUANTITY, QUANTITY), QUANTITY, Amount.plus, member=True)
declare("add", "quantity_add_int", (QUANTITY, INT), QUANTITY, lambda a, b: a.plus(whole(b)), member=True)
declare("sub", "quantity_sub", (QUANTITY, QUANTITY), QUANTITY, Amount.minus, member=True)
declare("sub", "quantity_sub_int", (QUANTITY, INT), QUANTITY, lambda a, b: a.minus(whole(b)), member=True)

# ---------------------------------------------------------------- versions


def _read(text: str, loose: bool) -> Semver | None:
    return normalise_semver(text) if loose else parse_semver(text)


def _semver(text: str, loose: bool = False) -> Semver:
    found = _read(text, loose)
    if found is None:
        raise Failure(f"{text[:80]!r} is not a semantic version (major.minor.patch)")
    return found


def _signed(value: int) -> int:
    # Unsigned 64-bit numbers wrap when Kubernetes hands them to CEL as int.
    return value if value <= INT_MAX else value - 2**64


declare("semver", "string_to_semver", (STRING,), SEMVER, _semver)
declare("semver", "string_bool_to_semver", (STRING, BOOL), SEMVER, _semver)
declare("isSemver", "is_semver_string", (STRING,), BOOL, lambda text: _read(text, False) is not None)
declare("isSemver", "is_semver_string_bool", (STRING, BOOL), BOOL, lambda text, loose: _read(text, loose) is not None)
declare("isGreaterThan", "semver_is_greater_than", (SEMVER, SEMVER), BOOL, lambda a, b: a > b, member=True)
declare("isLessThan", "semver_is_less_than", (SEMVER, SEMVER), BOOL, lambda a, b: a < b, member=True)
declare("compareTo", "semver_compare_to", (SEMVER, SEMVER), INT, lambda a, b: int(a > b) - int(a < b), member=True)
declare("major", "semver_major", (SEMVER,), INT, lambda a: _signed(a.major), member=True)
declare("minor", "semver_minor", (SEMVER,), INT, lambda a: _signed(a.minor), member=True)
declare("patch", "semver_patch", (SEMVER,), INT, lambda a: _signed(a.patch), member=True)

# ---------------------------------------------------------------- addresses


def _address(text: str) -> Ip | None:
    if "%" in text or not text.isascii():
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return Ip(int(found), found.max_prefixlen)


def _mapped(ip: Ip) -> bool:
    return ip.bits == 128 and ip.number >> 32 == 0xFFFF


def parse_ip(text: str) -> Ip | None:
    """An address without a zone, not an IPv4 one in IPv6 dress."""
    found = _address(text)
    return None if found is None or _mapped(found) else found


_BITS: Final = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)


def parse_cidr(text: str) -> Cidr | None:
    """An address and the length of its prefix."""
    address, slash, bits = text.rpartition("/")
    found = _address(address) if slash and _BITS.fullmatch(bits) else None
    if found is None or int(bits) > found.bits or _mapped(found):
        return None
    return Cidr(found, int(bits))


def _ip(text: str) -> Ip:
    found = parse_ip(text)
    if found is None:
        raise Failure(f"IP Address {text[:80]!r} parse error during conversion from string")
    return found


def _cidr(text: str) -> Cidr:
    found = parse_cidr(text)
    if found is None:
        raise Failure(f"network address {text[:80]!r} parse error during conversion from string")
    return found


def _ip_text(ip: Ip) -> str:
    return str(_python_ip(ip))


def _python_ip(ip: Ip) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(ip.number) if ip.bits == 32 else ipaddress.IPv6Address(ip.number)


def _within(cidr: Cidr, ip: Ip) -> bool:
    return ip.bits == cidr.ip.bits and (ip.number ^ cidr.ip.number) >> (ip.bits - cidr.length) == 0


def _contains_cidr(cidr: Cidr, other: Cidr) -> bool:
    return cidr.length <= other.length and _within(cidr, other.ip)


def _in_network(ip: Ip, *networks: str) -> bool:
    return any(_within(_cidr(network), ip) for network in networks)


def _global_unicast(ip: Ip) -> bool:
    unspecified = ip.number == 0
    broadcast = ip.bits == 32 and ip.number == 0xFFFFFFFF
    return not (
        unspecified or broadcast or _in_network(ip, "127.0.0.0/8", "::1/128", "224.0.0.0/4", "ff00::/8",
                                                "169.254.0.0/16", "fe80::/10")
    )  # fmt: skip


def _link_local_multicast(ip: Ip) -> bool:
    if ip.bits == 32:
        return _in_network(ip, "224.0.0.0/24")
    return ip.number >> 120 == 0xFF and ip.number >> 112 & 0x0F == 0x02


def _masked(cidr: Cidr) -> Cidr:
    rest = cidr.ip.bits - cidr.length
    return Cidr(Ip(cidr.ip.number >> rest << rest, cidr.ip.bits), cidr.length)


declare("ip", "string_to_ip", (STRING,), IP, _ip)
declare("ip", "cidr_ip", (CIDR,), IP, lambda cidr: cidr.ip, member=True)
declare("family", "ip_family", (IP,), INT, lambda ip: 4 if ip.bits == 32 else 6, member=True)
declare("ip.isCanonical", "ip_is_canonical", (STRING,), BOOL, lambda text: _ip_text(_ip(text)) == text)
declare("isUnspecified", "ip_is_unspecified", (IP,), BOOL, lambda ip: ip.number == 0, member=True)
declare("isLoopback", "ip_is_loopback", (IP,), BOOL, lambda ip: _in_network(ip, "127.0.0.0/8", "::1/128"), member=True)
declare("isLinkLocalMulticast", "ip_is_link_local_multicast", (IP,), BOOL, _link_local_multicast,
        member=True)  # fmt: skip
declare("isLinkLocalUnicast", "ip_is_link_local_unicast", (IP,), BOOL,
        lambda ip: _in_network(ip, "169.254.0.0/16", "fe80::/10"), member=True)  # fmt: skip
declare("isGlobalUnicast", "ip_is_global_unicast", (IP,), BOOL, _global_unicast, member=True)
declare("isIP", "is_ip", (STRING,), BOOL, lambda text: parse_ip(text) is not None)
declare("string", "ip_to_string", (IP,), STRING, _ip_text)
declare("cidr", "string_to_cidr", (STRING,), CIDR, _cidr)
declare("containsIP", "cidr_contains_ip_string", (CIDR, STRING), BOOL, lambda a, b: _within(a, _ip(b)), member=True)
declare("containsIP", "cidr_contains_ip_ip", (CIDR, IP), BOOL, _within, member=True)
declare("containsCIDR", "cidr_contains_cidr_string", (CIDR, STRING), BOOL, lambda a, b: _contains_cidr(a, _cidr(b)),
        member=True)  # fmt: skip
declare("containsCIDR", "cidr_contains_cidr", (CIDR, CIDR), BOOL, _contains_cidr, member=True)
declare("prefixLength", "cidr_prefix_length", (CIDR,), INT, lambda cidr: cidr.length, member=True)
declare("masked", "cidr_masked", (CIDR,), CIDR, _masked, member=True)
declare("isCIDR", "is_cidr", (STRING,), BOOL, lambda text: parse_cidr(text) is not None)
declare("string", "cidr_to_string", (CIDR,), STRING, lambda cidr: f"{_ip_text(cidr.ip)}/{cidr.length}")

# ---------------------------------------------------------------- URLs

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST_SAFE: Final = re.compile(r"[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\x80-\U0010ffff]*")
_HOST_ESCAPES: Final = re.compile(r"%(?!25)[0-7][0-9a-fA-F]")
_USER: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", re.ASCII)
_PORT: Final = re.compile(r"(?::[0-9]*)?", re.ASCII)
_PATH_SAFE: Final = "$&+,-./:;=@_~"
_ENCODED: Final = re.compile(r"[A-Za-z0-9\-_.~$&+,/:;=@!'()*\[\]%]*", re.ASCII)


def parse_url(text: str, *, request: bool) -> Url | None:
    """A URL as Go's net/url reads it (`ParseRequestURI` if for a request, else `Parse`)."""
    fragment = ""
    if not request:
        text, _, fragment = text.partition("#")
        if _BAD_ESCAPE.search(fragment):
            return None
    if any(c < " " or c == "\x7f" for c in text) or (request and not text):
        return None
    if text == "*":
        return Url("", "", "*", "", "*")
    scheme, rest = "", text
    found = _SCHEME.match(text)
    if found is not None:
        scheme, rest = found[1].lower(), text[found.end() :]
    elif text.startswith(":"):
        return None
    force = rest.endswith("?") and rest.count("?") == 1
    rest, _, query = rest.partition("?")
    tail = ("?" + query if force or query else "") + ("#" + _fragment(fragment) if fragment else "")
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme, "", "", query, f"{scheme}:{rest}{tail}")
        if request or ":" in rest.partition("/")[0]:
            return None
    host = user = None
    if rest.startswith("//") and (scheme or (not request and not rest.startswith("///"))):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        user, at, host_text = authority.rpartition("@")
        if at and (not _USER.fullmatch(user) or _BAD_ESCAPE.search(user)):
            return None
        user = user if at else None
        host = _host(scheme, host_text)
        if host is None:
            return None
    if _BAD_ESCAPE.search(rest):
        return None
    path = _escaped_path(rest)
    return Url(scheme, host or "", path, query, _url_text(scheme, host, user, path) + tail)


def _url_text(scheme: str, host: str | None, user: str | None, path: str) -> str:
    text = scheme + ":" if scheme else ""
    if (scheme or host or user is not None) and host is not None and (host or path or user is not None):
        text += "//" + ("" if user is None else _user_text(user) + "@") + _escaped(host, _HOST_KEEP)
    if path and not path.startswith("/") and host:
        text += "/"
    if not text and ":" in path.partition("/")[0]:
        text = "./"
    return text + path


_HOST_KEEP: Final = "!$&'()*+,;=:[]<>\"-_.~"


def _user_text(user: str) -> str:
    name, colon, password = user.partition(":")
    keep = "$&+,;=-_.~"
    return _escaped(_unescaped(name), keep) + (":" + _escaped(_unescaped(password), keep) if colon else "")


def _fragment(text: str) -> str:
    return text if _ENCODED.fullmatch(text.replace("?", "")) else _escaped(_unescaped(text), _PATH_SAFE + "?!()*")


def _unescaped(text: str) -> str:
    raw = text.encode(errors="surrogateescape")
    found = re.sub(rb"%([0-9a-fA-F]{2})", lambda each: bytes([int(each[1], 16)]), raw)
    return found.decode(errors="surrogateescape")


def _escaped(text: str, keep: str) -> str:
    """The text with every byte escaped that is not a letter, a digit or one of these."""
    return "".join(
        [
            chr(byte) if (byte < 0x80 and chr(byte).isalnum()) or chr(byte) in keep else f"%{byte:02X}"
            for byte in text.encode(errors="surrogateescape")
        ]
    )


def _escaped_path(raw: str) -> str:
    path = _unescaped(raw)
    default = _escaped(path, _PATH_SAFE)
    if raw != default and raw and _ENCODED.fullmatch(raw):
        return raw
    return "*" if path == "*" else default


def _host(scheme: str, host: str) -> str | None:
    opening = host.rfind("[")
    if opening > 0:
        return None
    if opening == 0:
        closing = host.rfind("]")
        if closing < 0 or not _PORT.fullmatch(host[closing + 1 :]):
            return None
        name, percent, zone = host[1:closing].partition("%25")
        address = _address(_unescaped(name)) if not _HOST_ESCAPES.search(name) else None
        if address is None or address.bits == 32 or (percent and not zone):
            return None
        return f"[{_unescaped(name)}{'%' + _unescaped(zone) if percent else ''}]{host[closing + 1 :]}"
    first, last = host.find(":"), host.rfind(":")
    if first >= 0:
        start = first if scheme in {"http", "https"} else last
        if not _PORT.fullmatch(host[start:]):
            return None
    if _BAD_ESCAPE.search(host) or _HOST_ESCAPES.search(host) or not _HOST_SAFE.fullmatch(host):
        return None
    return _unescaped(host)


def _url(text: str) -> Url:
    found = parse_url(text, request=True) and parse_url(text, request=False)
    if not found:
        raise Failure(f"URL parse error during conversion from string: {text[:80]!r}")
    return found


def _split_host(host: str) -> tuple[str, str]:
    name, port = host, ""
    colon = host.rfind(":")
    if colon >= 0 and _PORT.fullmatch(host[colon:]):
        name, port = host[:colon], host[colon + 1 :]
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    return name, port


def _query(url: Url) -> Map:
    found: dict[str, list[str]] = {}
    pieces = url.query.split("&")
    for piece in pieces if len(pieces) <= 10_000 else ():
        if not piece or ";" in piece:
            continue
        name, _, value = piece.partition("=")
        if _BAD_ESCAPE.search(name) or _BAD_ESCAPE.search(value):
            continue
        found.setdefault(_unescaped(name.replace("+", " ")), []).append(_unescaped(value.replace("+", " ")))
    result = Map()
    for name, values in found.items():
        result.put(name, tuple(values))
    return result


declare("url", "string_to_url", (STRING,), URL, _url)
declare("getScheme", "url_get_scheme", (URL,), STRING, lambda url: url.scheme, member=True)
declare("getHost", "url_get_host", (URL,), STRING, lambda url: url.host, member=True)
declare("getHostname", "url_get_hostname", (URL,), STRING, lambda url: _split_host(url.host)[0], member=True)
declare("getPort", "url_get_port", (URL,), STRING, lambda url: _split_host(url.host)[1], member=True)
declare("getEscapedPath", "url_get_escaped_path", (URL,), STRING, lambda url: url.path, member=True)
declare("getQuery", "url_get_query", (URL,), map_of(STRING, _TEXTS), _query, member=True)
declare("isURL", "is_url_string", (STRING,), BOOL, lambda text: parse_url(text, request=True) is not None)

# ---------------------------------------------------------------- named formats

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_DNS_LABEL: Final = re.compile(_LABEL, re.ASCII)
_DNS_1035: Final = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_LABEL_NAME: Final = re.compile("([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_UUID: Final = re.compile("[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})", re.ASCII)
_DATE: Final = re.compile("([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_CLOCK: Final = re.compile("([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))", re.ASCII)


def _too_long(text: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} characters"] if len(text.encode(errors="surrogatepass")) > limit else []


def _dns_label(text: str) -> list[str]:
    found = _too_long(text, 63)
    if not _DNS_LABEL.fullmatch(text):
        found.append("must not contain dots" if _SUBDOMAIN.fullmatch(text) else "must be a DNS-1123 label")
    return found


def _dns_subdomain(text: str) -> list[str]:
    return _too_long(text, 253) + ([] if _SUBDOMAIN.fullmatch(text) else ["must be a DNS-1123 subdomain"])


def _dns_1035(text: str) -> list[str]:
    return _too_long(text, 63) + ([] if _DNS_1035.fullmatch(text) else ["must be a DNS-1035 label"])


def _prefix(check: Any) -> Any:
    """The check of a name that something is appended to: a dash at its end is fine."""
    return lambda text: check(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)


def _qualified_name(text: str) -> list[str]:
    parts = text.split("/")
    if len(parts) > 2:
        return ["a qualified name must be an optional DNS subdomain prefix and a name"]
    found = []
    if len(parts) == 2:
        found = _dns_subdomain(parts[0]) if parts[0] else ["prefix part must be non-empty"]
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    found += _too_long(name, 63)
    return found if _LABEL_NAME.fullmatch(name) else [*found, "name part is wrong"]


def _label_value(text: str) -> list[str]:
    return _too_long(text, 63) + ([] if not text or _LABEL_NAME.fullmatch(text) else ["not a label value"])


def _is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    return found is not None and times.valid_date(int(found[1]), int(found[2]), int(found[3]))


def _is_datetime(text: str) -> bool:
    parts = text.lower().split("t")
    if len(text.encode(errors="surrogatepass")) < 4 or len(parts) < 2 or not _is_date(parts[0]):
        return False
    found = _CLOCK.fullmatch(parts[1])
    return found is not None and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


def _simple(test: Any, problem: str) -> Any:
    return lambda text: [] if test(text) else [problem]


_URI: Final = _simple(lambda text: parse_url(text, request=True) is not None, "not a URI")
FORMATS: Final[dict[str, Format]] = {
    "dns1123Label": Format("DNS1123Label", _dns_label, 30),
    "dns1123Subdomain": Format("DNS1123Subdomain", _dns_subdomain, 60),
    "dns1035Label": Format("DNS1035Label", _dns_1035, 30),
    "qualifiedName": Format("QualifiedName", _qualified_name, 60),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", _prefix(_dns_label), 30),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", _prefix(_dns_subdomain), 60),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", _prefix(_dns_1035), 30),
    "labelValue": Format("LabelValue", _label_value, 40),
    "uri": Format("URI", _URI, 1103),
    "uuid": Format("uuid", _simple(_UUID.fullmatch, "does not match the UUID format"), 70),
    "byte": Format("byte", _simple(_BASE64.fullmatch, "invalid base64"), 84),
    "date": Format("date", _simple(_is_date, "invalid date"), 71),
    "datetime": Format("datetime", _simple(_is_datetime, "invalid datetime"), 71),
}


def _named(name: str) -> Optional:
    found = FORMATS.get(name)
    return NONE if found is None else Optional(True, found)


def _validate(found: Format, text: str) -> Optional:
    problems = found.problems(text)
    return Optional(True, tuple(problems)) if problems else NONE


declare("validate", "format-validate", (FORMAT, STRING), optional_of(_TEXTS), _validate, member=True)
declare("format.named", "format-named", (STRING,), optional_of(FORMAT), _named)
for _name, _format in FORMATS.items():
    declare(f"format.{_name}", f"format.{_name}", (), FORMAT, lambda found=_format: found)

# ---------------------------------------------------------------- authorization: declared, never applicable here

_AUTHORIZER, _PATH, _GROUP, _RESOURCE, _DECISION = (
    Type("struct", f"kubernetes.authorization.{name}")
    for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision")
)
for _name, _id, _parameters, _result in (
    ("path", "authorizer_path", (_AUTHORIZER, STRING), _PATH),
    ("group", "authorizer_group", (_AUTHORIZER, STRING), _GROUP),
    ("serviceAccount", "authorizer_serviceaccount", (_AUTHORIZER, STRING, STRING), _AUTHORIZER),
    ("resource", "groupcheck_resource", (_GROUP, STRING), _RESOURCE),
    ("subresource", "resourcecheck_subresource", (_RESOURCE, STRING), _RESOURCE),
    ("namespace", "resourcecheck_namespace", (_RESOURCE, STRING), _RESOURCE),
    ("name", "resourcecheck_name", (_RESOURCE, STRING), _RESOURCE),
    ("check", "pathcheck_check", (_PATH, STRING), _DECISION),
    ("check", "resourcecheck_check", (_RESOURCE, STRING), _DECISION),
    ("errored", "decision_errored", (_DECISION,), BOOL), ("error", "decision_error", (_DECISION,), STRING),
    ("allowed", "decision_allowed", (_DECISION,), BOOL), ("reason", "decision_reason", (_DECISION,), STRING),
    ("fieldSelector", "authorizer_fieldselector", (_RESOURCE, STRING), _RESOURCE),
    ("labelSelector", "authorizer_labelselector", (_RESOURCE, STRING), _RESOURCE),
):  # fmt: skip
    declare(_name, _id, _parameters, _result, lambda *arguments: NONE, member=True)
