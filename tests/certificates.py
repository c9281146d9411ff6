"""Certificates of a test's own, made with openssl: an authority, and one for this machine that it signed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needed = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def certificates(folder: Path) -> dict[str, str]:
    """Paths of ca.pem, and of own.pem with own.key for localhost and 127.0.0.1; for both sides, for two days."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    # Python 3.13 takes no authority that does not say it signs.
    openssl("req", "-x509", *CURVE, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2",
            "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    openssl("req", *CURVE, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "own.pem",
            "-days", "2", "-extfile", "names")  # fmt: skip
    return {name: str(folder / name) for name in ("ca.pem", "own.pem", "own.key")}
