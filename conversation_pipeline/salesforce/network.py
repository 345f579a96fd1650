"""
What really sends: directly, or through the proxy that the environment names for a host.

httpx reads ``HTTPS_PROXY`` and its like only where it makes the transport itself, and every client here wraps one of
its own. Certificates are read once a process, not once a client: ten execution users would read them ten times.
"""

from __future__ import annotations

import ipaddress
import threading
from contextlib import suppress
from functools import cache
from ssl import SSLContext
from urllib.request import getproxies, proxy_bypass

import httpx

from conversation_pipeline.salesforce.errors import ConfigurationError

LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=16)
_PORTS = {"http": 80, "https": 443}
_PROXY_WANTS_A_LOGIN = 407


class ProxyRefused(httpx.ProxyError):
    """The proxy wants a login that it was not given, or other than it was given: trying again would not help."""


class NetworkTransport(httpx.BaseTransport):
    """
    Sends to each host as ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` (or the system's own settings,
    where it has some) say; to this machine always directly.

    What a proxy's URL holds besides host and port, such as a password, is in no error.
    """

    def __init__(self) -> None:
        self._proxies = getproxies()
        self._lock = threading.Lock()
        self._lines: dict[str, httpx.HTTPTransport] = {}  # by variable; "" is the direct one

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        variable = self._variable_for(request.url)
        line = self._line(variable)
        if not variable:
            return line.handle_request(request)
        try:
            response = line.handle_request(request)
        except (httpx.ConnectError, httpx.ProxyError) as error:
            status = str(error).partition(" ")[0] if isinstance(error, httpx.ProxyError) else ""
            raise self._refused(variable, request, status) from error
        if response.status_code == _PROXY_WANTS_A_LOGIN:
            response.close()
            raise self._refused(variable, request, str(_PROXY_WANTS_A_LOGIN))
        return response

    def close(self) -> None:
        with self._lock:
            for line in self._lines.values():
                line.close()

    def _variable_for(self, url: httpx.URL) -> str:
        if _is_this_machine(url.host) or proxy_bypass(f"{url.host}:{url.port or _PORTS.get(url.scheme, '')}"):
            return ""
        kind = next((kind for kind in (url.scheme, "all") if self._proxies.get(kind)), "")
        return f"{kind.upper()}_PROXY" if kind else ""

    def _line(self, variable: str) -> httpx.HTTPTransport:
        with self._lock:
            if variable not in self._lines:
                self._lines[variable] = self._opened(variable)
            return self._lines[variable]

    def _opened(self, variable: str) -> httpx.HTTPTransport:
        if not variable:
            return httpx.HTTPTransport(verify=certificates(), limits=LIMITS)
        try:
            url = httpx.URL(self._url(variable))
            proxy = httpx.Proxy(url, ssl_context=certificates() if url.scheme == "https" else None)
            return httpx.HTTPTransport(verify=certificates(), limits=LIMITS, proxy=proxy)
        except (ValueError, ImportError, httpx.InvalidURL):
            # Without the cause: it may quote the URL, and that its password.
            raise ConfigurationError(
                f"{variable} names no proxy that can be used: give it as http://host:port (SOCKS needs httpx[socks])"
            ) from None

    def _url(self, variable: str) -> str:
        url = self._proxies[variable.removesuffix("_PROXY").lower()]
        return url if "://" in url else f"http://{url}"

    def _refused(self, variable: str, request: httpx.Request, status: str) -> httpx.ProxyError:
        proxy = httpx.URL(self._url(variable))
        where = f"{proxy.host}:{proxy.port}" if proxy.port else proxy.host
        what = f"could not reach {request.url.host} through the proxy {where} of {variable}"
        if status == str(_PROXY_WANTS_A_LOGIN):
            return ProxyRefused(f"{what}: it wants a user and a password ({status}); give them in {variable}")
        told = f"{what} ({status})" if status.isdigit() else what
        return httpx.ProxyError(f"{told}: check the proxy, or name the host in NO_PROXY")


@cache
def certificates() -> SSLContext:
    """Whom to trust: ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` where they are set, else the certificates of certifi."""
    return httpx.create_ssl_context()


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
