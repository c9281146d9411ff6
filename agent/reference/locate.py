"""Where references lie: a file, a folder of `model/version.sidelight`, or either of them behind an http(s) URL.

All of it blocks: call it in a thread with a deadline.
"""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from agent.errors import RetryableError, UnusableReferenceError
from agent.reference import file
from agent.reference.profile import Reference

TIMEOUT_SECONDS = 10.0


def read(location: str | Path, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Reference:
    """The reference at a path or URL.

    Raises UnusableReferenceError (not there, too large, a newer version's), CorruptError, RetryableError (network).
    """
    text = str(location)
    data = _fetch(text, timeout_seconds) if is_url(text) else _load(Path(text))
    if data is None:
        raise UnusableReferenceError(f"{text}: there is no such file")
    return file.decode(data, _shown(text))


def find(location: str | Path, model: str, version: str) -> Reference | None:
    """The reference of one model and version, or None where the location has none.

    A folder (or a URL that does not end in `.sidelight`) is asked for that very version. A file is taken for every
    version of its model: compare `version` with what was asked and say so where they differ. Raises as `read`.
    """
    text = str(location)
    if text.endswith(file.SUFFIX) or (not is_url(text) and Path(text).is_file()):
        found = read(text)
        return found if found.model in ("", model) else None
    if is_url(text):
        address = f"{text.rstrip('/')}/{urllib.parse.quote(_relative(model, version))}"
        data = _fetch(address, TIMEOUT_SECONDS)
        return None if data is None else file.decode(data, _shown(address))
    path = Path(text) / _relative(model, version)
    data = _load(path)
    return None if data is None else file.decode(data, str(path))


def newest(location: str | Path, model: str) -> Reference | None:
    """The reference a new version may borrow: the last one made for this model in a folder. Elsewhere as `find`."""
    text = str(location)
    folder = Path(text) / quoted(model)
    if is_url(text) or not folder.is_dir():
        return find(text, model, "")
    found = [read(path) for path in sorted(folder.glob(f"*{file.SUFFIX}"))]
    return max(found, key=lambda reference: reference.made_at_ns, default=None)


def path_in(folder: str | Path, model: str, version: str) -> Path:
    """Where `find` looks in a folder. Names come from senders: what could leave the folder is percent-encoded."""
    return Path(folder) / _relative(model, version)


def is_url(location: str) -> bool:
    return location.startswith(("http://", "https://"))


def _relative(model: str, version: str) -> str:
    return f"{quoted(model)}/{quoted(version)}{file.SUFFIX}"


def quoted(name: str) -> str:
    """A model's name as a file's: what could leave the folder is percent-encoded.

    >>> quoted("risk/eu"), quoted(".."), quoted("")
    ('risk%2Feu', '%2E%2E', 'default')
    """
    found = urllib.parse.quote(name or "default", safe="")
    return found.replace(".", "%2E") if not found.strip(".") else found


def _shown(location: str) -> str:
    """The location without a password or token a URL may carry."""
    if not is_url(location):
        return location
    parts = urllib.parse.urlsplit(location)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _load(path: Path) -> bytes | None:
    try:
        with path.open("rb") as source:
            data = source.read(file.LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a folder, no permission, a name too long
        raise UnusableReferenceError(f"{path}: {error.strerror}") from error
    return _within_limit(data, str(path))


def _fetch(url: str, timeout_seconds: float) -> bytes | None:
    # Imported here: TLS and HTTP cost 8 MB, and most agents read a file.
    import http.client
    import urllib.error
    import urllib.request

    shown = _shown(url)
    request = urllib.request.Request(url, headers={"Accept": "application/octet-stream"})  # noqa: S310 - is_url was asked
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:  # noqa: S310
            return _within_limit(answer.read(file.LIMIT_BYTES + 1), shown)
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (404, 410):
                return None
            if error.code in (408, 429) or error.code >= 500:
                raise RetryableError(f"{shown}: HTTP {error.code}") from error
            raise UnusableReferenceError(f"{shown}: HTTP {error.code}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        raise RetryableError(f"{shown}: {getattr(error, 'reason', error)}") from error


def _within_limit(data: bytes, name: str) -> bytes:
    if len(data) > file.LIMIT_BYTES:
        raise UnusableReferenceError(f"{name}: more than {file.LIMIT_BYTES >> 20} MiB")
    return data
