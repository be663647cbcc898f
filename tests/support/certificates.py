"""A certificate for one host name, made on the spot, and who trusts it."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def certificate(directory: Path, host: str) -> tuple[Path, Path]:
    """(certificate, key), self-signed, for the host and 127.0.0.1, in PEM."""
    cert, key = directory / f"{host}.crt", directory / f"{host}.key"
    subprocess.run(  # noqa: S603 - our own arguments, no shell
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={host}", "-out", str(cert)),
            *("-addext", f"subjectAltName=DNS:{host},IP:127.0.0.1", "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def contexts(directory: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(the server's, that of a client that trusts it)."""
    cert, key = certificate(directory, host)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))
