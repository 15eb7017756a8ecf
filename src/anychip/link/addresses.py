"""Where servers listen and how they are reached: loopback unless told otherwise, and never in the open
without a token and TLS. Flows in: hosts, files, tokens. Flows out: addresses and contexts of TLS, or
LinkError."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from .errors import LinkError

LOOPBACK = "127.0.0.1"
TOKEN_VARIABLE = "ANYCHIP_LINK_TOKEN"
SHORTEST_TOKEN = 16
SCHEMES = ("ws", "wss", "zenoh")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(file: Path | None) -> bytes:
    """The shared token: the content of a file, or of the environment's variable; empty where there is none. A
    token on a command line would be seen by everybody on the machine."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip().encode()
    try:
        token = file.read_bytes().strip()
    except OSError as error:
        raise LinkError(f"the token cannot be read: {error}") from None
    if not token:
        raise LinkError(f"{file} is empty", "Write a token into it, such as of `openssl rand -hex 32`.")
    return token


def require_safe(host: str, token: bytes, encrypted: bool, *, plain: bool) -> None:
    """Raise LinkError for a server or a client that would be open to others. `plain`: the user says that the
    network is safe without TLS; a token is needed all the same."""
    if token and len(token) < SHORTEST_TOKEN:
        raise LinkError(
            f"a token of {len(token)} bytes can be guessed", f"Use {SHORTEST_TOKEN} bytes or more."
        )
    if is_loopback(host):
        return
    if not token:
        raise LinkError(
            f"{host} can be reached by others, and there is no token",
            f"Give --token-file, or set {TOKEN_VARIABLE}.",
        )
    if not encrypted and not plain:
        raise LinkError(
            f"{host} can be reached by others, and frames would travel in the open",
            "Give a certificate for TLS, or say --plain where the network itself is safe.",
        )


def host_of(url: str) -> tuple[str, bool]:
    """The host of ws://host:port, wss://host:port or zenoh://host:port, and whether it is encrypted. Raises
    LinkError."""
    scheme, host, port = "", None, None
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    if host is None or port is None or scheme not in SCHEMES:
        raise LinkError(
            f"{url} is no address of a server",
            "Write ws://HOST:PORT, wss://HOST:PORT or zenoh://HOST:PORT.",
        )
    return host, scheme == "wss"


def server_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS 1.3 with a certificate; None without one."""
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise LinkError(f"{certificate} cannot be used: {error}") from None
    return context


def client_tls(url: str, authority: Path | None) -> ssl.SSLContext | None:
    """What the server's certificate is checked by: the system's authorities, or those of a file."""
    if not host_of(url)[1]:
        return None
    try:
        context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    except (OSError, ssl.SSLError) as error:
        raise LinkError(f"{authority} cannot be used: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
