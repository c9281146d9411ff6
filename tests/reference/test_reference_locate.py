"""Where references are looked for: files, folders, URLs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.errors import CorruptError, RetryableError, UnusableReferenceError
from agent.reference import file, locate
from tests.reference.references import small_reference


def _folder(root: Path, *versions: str, model: str = "credit") -> Path:
    for number, version in enumerate(versions):
        path = locate.path_in(root, model, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        file.write(small_reference(model, version, made_at_ns=10 - number), path)
    return root


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/busy.sidelight": 503, "/secret.sidelight": 403}.get(self.path)
        if status is not None:
            self.send_error(status)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server over `tmp_path`; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(tmp_path))) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_folder_gives_the_version_that_was_asked_for(tmp_path: Path) -> None:
    """model/version.sidelight, and None for what is not there."""
    _folder(tmp_path, "1", "2")
    found = locate.find(str(tmp_path), "credit", "2")
    assert found is not None
    assert (found.model, found.version) == ("credit", "2")
    assert locate.find(str(tmp_path), "credit", "3") is None
    assert locate.find(str(tmp_path), "other", "1") is None
    assert locate.find(str(tmp_path / "nowhere"), "credit", "1") is None


def test_a_new_version_may_borrow_the_newest(tmp_path: Path) -> None:
    """Newest by when it was made, not by the name of its version; None where the model has none."""
    _folder(tmp_path, "9", "10")
    found = locate.newest(str(tmp_path), "credit")
    assert found is not None
    assert found.version == "9"
    assert locate.newest(str(tmp_path), "other") is None


def test_a_file_serves_every_version_of_its_model(tmp_path: Path) -> None:
    """And no other model."""
    path = _folder(tmp_path, "1") / "credit" / "1.sidelight"
    found = locate.find(str(path), "credit", "7")
    assert found is not None
    assert found.version == "1"
    assert locate.find(str(path), "other", "1") is None


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", ".", "a/b", "", "a\0b", "…" * 200])
def test_names_from_senders_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    """Whatever a model or version is called, the path lies in the folder, and a missing one is just missing."""
    root = tmp_path / "references"
    for path in (locate.path_in(root, name, "1"), locate.path_in(root, "credit", name)):
        assert path.resolve().is_relative_to(root)
        assert len(path.relative_to(root).parts) == 2
    if len(name) < 100:
        _folder(root, name, model="credit")
        found = locate.find(str(root), "credit", name)
        assert found is not None
        assert found.version == name


def test_a_url_is_a_file_or_a_folder(tmp_path: Path, server: str) -> None:
    """Both forms over http, names with spaces and slashes included; 404 is None."""
    _folder(tmp_path, "1", "a/b c")
    for version in ("1", "a/b c"):
        found = locate.find(server, "credit", version)
        assert found is not None
        assert found.version == version
    assert locate.find(server, "credit", "2") is None
    assert locate.read(f"{server}/credit/1.sidelight").version == "1"
    with pytest.raises(UnusableReferenceError, match="no such file"):
        locate.read(f"{server}/credit/2.sidelight")


def test_network_trouble_says_whether_to_try_again(server: str) -> None:
    """503 and a closed port are worth another try, 403 is not."""
    with pytest.raises(RetryableError, match="503"):
        locate.read(f"{server}/busy.sidelight")
    with pytest.raises(UnusableReferenceError, match="403"):
        locate.read(f"{server}/secret.sidelight")
    with pytest.raises(RetryableError):
        locate.read("http://127.0.0.1:1/x.sidelight", timeout_seconds=2.0)


def test_size_is_bounded_and_damage_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large a file is not read on; a damaged one is named in the error."""
    path = _folder(tmp_path, "1") / "credit" / "1.sidelight"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CorruptError, match=r"1\.sidelight"):
        locate.read(path)
    monkeypatch.setattr(file, "LIMIT_BYTES", 10)
    with pytest.raises(UnusableReferenceError, match="MiB"):
        locate.read(path)
    with pytest.raises(UnusableReferenceError, match=r"(?i)directory"):
        locate.read(tmp_path)
