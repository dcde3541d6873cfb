"""HTTP as a bin's network needs it: patient with what passes, clear about what does not, and careful with the token."""

from __future__ import annotations

import importlib.metadata
import ipaddress
import os
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.util.retry import Retry

from bin_daemon.errors import BinError, ConfigError, ModelError, UnreachableError

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

CONNECT_S = 10.0
RETRY_AFTER_MAX_S = 60.0
"""A server may ask for more; a technician would rather be told."""
TRIES, CONNECT_TRIES = 6, 2
PASSING = (429, 500, 502, 503, 504)
"""Answers worth another try."""
OFFLINE = (
    "is there a network? A proxy is named by HTTPS_PROXY. Without any: run bin-daemon model pull --download-only --out DIR "
    "on another machine, bring DIR here, and bin-daemon model import DIR"
)
GO_ON = "start it again: it goes on where it stopped"
_TLS = "is the clock right? A company's own certificate authority is named by REQUESTS_CA_BUNDLE"


class Patience(Retry):
    """How often and after which pause to try again; a server's own wish counts, within bounds."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds, or None where the server says nothing."""
        seconds = super().get_retry_after(response)
        return None if seconds is None else min(seconds, RETRY_AFTER_MAX_S)


def patience(backoff_s: float) -> Patience:
    """Six tries with pauses of ``backoff_s`` * 0, 2, 4, 8 ... seconds; fewer while no connection comes about at all."""
    return Patience(
        TRIES, connect=CONNECT_TRIES, backoff_factor=backoff_s, status_forcelist=PASSING, raise_on_status=False
    )


class HubSession(requests.Session):
    """A session of `requests` that obeys HTTP(S)_PROXY, retries, and never goes from https to anything less."""

    def __init__(self, retry: Patience) -> None:
        super().__init__()
        self.headers["User-Agent"] = f"bin-daemon/{importlib.metadata.version('bin-daemon')}"
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(max_retries=retry))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """As `requests` has it; ModelError where it would leave encryption."""
        target = super().get_redirect_target(resp)
        if target and urlsplit(resp.url).scheme == "https" and urlsplit(urljoin(resp.url, target)).scheme != "https":
            raise ModelError(
                f"{_host(resp.url)} sends us on to {_host(target)} without encryption; not followed",
                hint="somebody may be listening in on this network; try another one",
            )
        return target


def auth_headers(endpoint: str) -> dict[str, str]:
    """The token of MODELSCOPE_API_TOKEN as the hub's client sends it; neither header follows a redirect to another host."""
    token = os.environ.get("MODELSCOPE_API_TOKEN", "").strip()
    if not token:
        return {}
    if urlsplit(endpoint).scheme != "https" and not _is_loopback(endpoint):
        raise ConfigError(
            f"MODELSCOPE_API_TOKEN would travel unencrypted to {endpoint}",
            hint="use an https address, or unset the token",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("MODELSCOPE_API_TOKEN holds characters that no token has", hint="copy it again")
    return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"}


def explained(error: requests.RequestException, url: str, stall_s: float) -> BinError:
    """Our error for one of `requests`: what failed, at which host, and what mends it."""
    host, reason = _host(url), _root(error)
    kinds = requests.exceptions
    if isinstance(error, (kinds.InvalidURL, kinds.InvalidSchema)):
        return ModelError(f"{host}: no address that can be used: {reason}", hint="write it as https://HOST")
    if isinstance(error, kinds.TooManyRedirects):
        return ModelError(f"{host} sends us round in circles", hint="check --endpoint")
    if isinstance(error, kinds.ProxyError):
        message, hint = f"the proxy on the way to {host} failed: {_system(reason)}", _proxy_hint()
    elif isinstance(error, kinds.SSLError):
        message, hint = f"{host}: TLS failed: {reason}", _TLS
    elif isinstance(reason, NameResolutionError):
        message, hint = f"{host}: no such name, or no DNS here", OFFLINE
    elif isinstance(error, kinds.ConnectTimeout):
        message, hint = f"{host}: no connection within {CONNECT_S:g} s", OFFLINE
    elif isinstance(error, kinds.ReadTimeout) or isinstance(reason, ReadTimeoutError):
        message, hint = f"{host}: nothing came for {stall_s:g} s", GO_ON
    else:
        message, hint = f"{host}: {_system(reason)}", OFFLINE if isinstance(reason, NewConnectionError) else GO_ON
    return UnreachableError(message, hint=hint)


def _root(error: BaseException) -> BaseException:
    """What lies under the wrappers of `requests` and urllib3."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _root(reason)
    first = error.args[0] if error.args else None
    return _root(first) if isinstance(first, BaseException) else error


def _system(reason: BaseException) -> str:
    """The system's own words where it was the system, such as 'Connection refused'."""
    return str(getattr(reason.__cause__, "strerror", None) or reason)


def _proxy_hint() -> str:
    names = [x for x in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY") if os.environ.get(x)]
    return f"check {' and '.join(names) or 'the proxy settings'}; NO_PROXY names hosts to reach without it"


def _host(url: str) -> str:
    """Host and port alone: a presigned address carries a secret, a proxy's may carry a password."""
    parts = urlsplit(url)
    return (parts.hostname or url) + (f":{parts.port}" if parts.port else "")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
