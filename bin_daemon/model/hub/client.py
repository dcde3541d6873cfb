"""The hub's three read endpoints: a model's files, its revisions, and one file's bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode, urlsplit

import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bin_daemon.errors import ModelError, UnreachableError
from bin_daemon.model.hub.session import CONNECT_S, HubSession, auth_headers, explained, patience

DEFAULT_ENDPOINT = "https://www.modelscope.cn"
STALL_S = 30.0
"""This long without a byte is a dead connection."""
LISTING_BYTES_MAX = 16 << 20
"""Fifty thousand files; the model's own listing has 3 kB."""
FILE_BYTES_MAX = 16 << 30
"""The largest ConvNeXt has 1.6 GB; more is a mistake or an attack on the disk."""

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
HTTP_OK, HTTP_PARTIAL, HTTP_UNAUTHORISED, HTTP_FORBIDDEN, HTTP_NOT_FOUND, HTTP_NOTHING_THERE = (
    200,
    206,
    401,
    403,
    404,
    416,
)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Entry(_Answer):
    path: str = Field(alias="Path", min_length=1, max_length=1000)
    type: str = Field("blob", alias="Type")
    size: int = Field(0, alias="Size", ge=0, le=FILE_BYTES_MAX, strict=True)
    sha256: str | None = Field(None, alias="Sha256", pattern=r"^([0-9a-fA-F]{64})?$")


class _Files(_Answer):
    files: tuple[_Entry, ...] = Field(alias="Files")


class _Listing(_Answer):
    data: _Files = Field(alias="Data")


class _Named(_Answer):
    revision: str = Field(alias="Revision")


class _RevisionMap(_Answer):
    tags: tuple[_Named, ...] = Field((), alias="Tags")
    branches: tuple[_Named, ...] = Field((), alias="Branches")


class _RevisionData(_Answer):
    map: _RevisionMap = Field(alias="RevisionMap")


class _Revisions(_Answer):
    data: _RevisionData = Field(alias="Data")


class _Failure(_Answer):
    """What comes where something is wrong; the hub also says it with status 200."""

    success: Literal[False] = Field(alias="Success")
    message: str = Field("", alias="Message")


_Model = TypeVar("_Model", bound=_Answer)


class _RefusedError(Exception):
    """The hub answered, and the answer is no."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file as the listing tells it."""

    path: str
    size_bytes: int
    sha256: str
    """Lower-case hex; empty where the listing has none."""


class Hub:
    """One model at one revision on one hub. ``stall_s`` without a byte, and ``backoff_s`` as the first pause, are for tests."""

    def __init__(
        self,
        model_id: str,
        revision: str,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        stall_s: float = STALL_S,
        backoff_s: float = 0.5,
    ) -> None:
        if not _MODEL_ID.fullmatch(model_id):
            raise ModelError(f"{model_id!r} is no model of a hub", hint="write OWNER/NAME")
        if not _REVISION.fullmatch(revision) or ".." in revision:
            raise ModelError(f"{revision!r} is no revision", hint="write a tag or branch, such as v1.0.2 or master")
        if urlsplit(endpoint).scheme not in {"http", "https"} or not urlsplit(endpoint).hostname:
            raise ModelError(f"{endpoint!r} is no address of a hub", hint=f"write it as {DEFAULT_ENDPOINT}")
        self.model_id, self.revision, self.endpoint = model_id, revision, endpoint.rstrip("/")
        self.retry = patience(backoff_s)
        self._stall_s = stall_s
        self._auth = auth_headers(self.endpoint)
        self._session = HubSession(self.retry)

    @property
    def page(self) -> str:
        """Where people read about the model."""
        return f"{self.endpoint}/models/{self.model_id}"

    def files(self) -> tuple[HubFile, ...]:
        """All files of the revision. ModelError when there is no such model or revision, or the listing makes no sense."""
        try:
            listing = self._ask("repo/files", {"Revision": self.revision, "Recursive": "True"}, _Listing)
        except _RefusedError as refused:
            raise self._why(str(refused)) from None
        entries = [x for x in listing.data.files if x.type != "tree"]
        for entry in entries:
            path = PurePosixPath(entry.path)
            if path.is_absolute() or ".." in path.parts or "\\" in entry.path or not entry.path.isprintable():
                raise ModelError(f"{self.page}: the listing names {entry.path!r}, outside the model", hint=_NOT_A_HUB)
        return tuple(HubFile(x.path, x.size, (x.sha256 or "").lower()) for x in entries)

    def revisions(self) -> tuple[str, ...]:
        """Tags, then branches; ModelError when there is no such model."""
        try:
            found = self._ask("revisions", {}, _Revisions).data.map
        except _RefusedError as refused:
            raise ModelError(
                f"{self.endpoint} has no model {self.model_id}: {refused}", hint="check its spelling: OWNER/NAME"
            ) from None
        return tuple(x.revision for x in (*found.tags, *found.branches))

    def open(self, file: HubFile, offset: int) -> requests.Response:
        """The file's bytes from ``offset`` on, as a stream: status 206, or 200 where the server starts at 0 all the same.

        Also 416, where there is nothing at ``offset``. Any other answer is a ModelError or UnreachableError;
        errors of `requests` come through, for the caller may go on from where it stopped.
        """
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        query = {"Revision": self.revision, "FilePath": file.path}
        answer = self._get("repo", query, headers)
        if answer.status_code in {HTTP_OK, HTTP_PARTIAL} or (answer.status_code == HTTP_NOTHING_THERE and offset):
            return answer
        answer.close()
        self._check_allowed(answer)
        if answer.status_code == HTTP_NOT_FOUND:
            raise ModelError(f"{self.page}: {file.path} is listed, but not there", hint="try another --revision")
        raise UnreachableError(
            f"{self.page}: {file.path}: the hub answers {answer.status_code} {answer.reason}", hint="try again later"
        )

    def explained(self, error: requests.RequestException) -> Exception:
        """Our error for one that `open` or its stream let through."""
        return explained(error, str(getattr(error.request, "url", None) or self.endpoint), self._stall_s)

    def _get(self, path: str, query: dict[str, str], headers: dict[str, str]) -> requests.Response:
        url = f"{self.endpoint}/api/v1/models/{self.model_id}/{path}" + (f"?{urlencode(query)}" if query else "")
        return self._session.get(url, headers=self._auth | headers, stream=True, timeout=(CONNECT_S, self._stall_s))

    def _ask(self, path: str, query: dict[str, str], model: type[_Model]) -> _Model:
        """One JSON answer; _RefusedError when the hub says no."""
        try:
            with self._get(path, query, {"Accept": "application/json"}) as answer:
                body = _capped(answer)
        except requests.RequestException as error:
            raise self.explained(error) from None
        self._check_allowed(answer)
        said = _failure(body)
        if said is not None or answer.status_code == HTTP_NOT_FOUND:
            raise _RefusedError(said or "not found")
        if answer.status_code != HTTP_OK:
            raise UnreachableError(
                f"{self.endpoint}: the hub answers {answer.status_code} {answer.reason}", hint="try again later"
            )
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            kind = answer.headers.get("Content-Type", "no type")
            raise ModelError(
                f"{self.endpoint}: not a hub's answer ({kind}): {_first(error)}", hint=_NOT_A_HUB
            ) from None

    def _check_allowed(self, answer: requests.Response) -> None:
        if answer.status_code not in {HTTP_UNAUTHORISED, HTTP_FORBIDDEN}:
            return
        if self._auth:
            message, hint = (
                "refuses the token of MODELSCOPE_API_TOKEN",
                "may its account read this model? Is it outdated?",
            )
        else:
            message, hint = "asks for a token", "make one on the hub's page and set MODELSCOPE_API_TOKEN"
        raise ModelError(f"{self.page}: the hub {message} ({answer.status_code})", hint=hint)

    def _why(self, said: str) -> ModelError:
        """The hub has no such files: is it the model or the revision?"""
        known = self.revisions()
        if known and self.revision not in known:
            return ModelError(
                f"{self.page} has no revision {self.revision}", hint=f"there are {', '.join(known[:10])}: --revision"
            )
        return ModelError(f"{self.page} at {self.revision}: {said}", hint="try another --revision")


_NOT_A_HUB = "is --endpoint a ModelScope hub? A proxy's or hotel's login page may stand in between"


def _capped(answer: requests.Response) -> bytes:
    """The body, of a size that an answer may have."""
    body = b""
    for chunk in answer.iter_content(1 << 16):
        body += chunk
        if len(body) > LISTING_BYTES_MAX:
            raise ModelError(f"the hub's answer is larger than {LISTING_BYTES_MAX} bytes", hint=_NOT_A_HUB)
    return body


def _failure(body: bytes) -> str | None:
    """The hub's own words where it says that it failed."""
    try:
        return _Failure.model_validate_json(body).message[:200] or "refused"
    except ValidationError:
        return None


def _first(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False)[0]
    place = ".".join(str(x) for x in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
