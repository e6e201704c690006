"""A certificate authority for one run: made at start, trusted by whoever is told to.

The `openssl` program makes the keys; it is there wherever a system has certificates at all.
The authority's private key is deleted as soon as the server's certificate is signed.
"""

from __future__ import annotations

import asyncio
import shutil
import ssl
import tempfile
from pathlib import Path

from fastbook.errors import ConfigError

DEADLINE_S = 30.0
_NEW_KEY = ("-newkey", "rsa:2048", "-nodes")  # what every openssl and LibreSSL can make
_CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
_DAYS = "30"


class LocalAuthority:
    """Files of one authority and of the server's certificate, in a private folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca_file = folder / "ca.pem"

    @classmethod
    async def make(cls, host: str) -> LocalAuthority:
        """For this address and localhost. ConfigError without a working `openssl`."""
        if shutil.which("openssl") is None:
            raise ConfigError("TLS needs the openssl program, which is not installed")
        made = cls(Path(tempfile.mkdtemp(prefix="fastbook-tls-")))  # mode 0700
        try:
            await made._make_certificates(host)
        except BaseException:
            made.remove()
            raise
        return made

    async def _make_certificates(self, host: str) -> None:
        folder = self._folder
        config = folder / "openssl.cnf"
        config.write_text(
            f"[req]\ndistinguished_name=dn\nx509_extensions=ca\n[dn]\n[ca]\n{_CA_EXTENSIONS}"
        )
        names = {f"IP:{host}" if host != "localhost" else "", "DNS:localhost", "IP:127.0.0.1"}
        extensions = folder / "server.ext"
        extensions.write_text(
            f"subjectAltName={','.join(sorted(names - {''}))}\n"
            "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
            "authorityKeyIdentifier=keyid\n"
        )
        await _openssl(
            "req", "-x509", "-config", str(config), *_NEW_KEY, "-days", _DAYS,
            "-subj", "/CN=fastbook bundled exchange, for one run",
            "-keyout", str(folder / "ca.key"), "-out", str(self.ca_file),
        )  # fmt: skip
        await _openssl(
            "req", "-new", "-config", str(config), *_NEW_KEY, "-subj", "/CN=localhost",
            "-keyout", str(folder / "server.key"), "-out", str(folder / "server.csr"),
        )  # fmt: skip
        await _openssl(
            "x509", "-req", "-in", str(folder / "server.csr"), "-CA", str(self.ca_file),
            "-CAkey", str(folder / "ca.key"), "-set_serial", "2", "-days", _DAYS,
            "-extfile", str(extensions), "-out", str(folder / "server.pem"),
        )  # fmt: skip
        (folder / "ca.key").unlink()

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
        return context

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


async def _openssl(*args: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "openssl",
        *args,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, said = await process.communicate()
    except TimeoutError:
        raise ConfigError(f"openssl did not finish in {DEADLINE_S:g} s") from None
    finally:
        if process.returncode is None:  # late, or nobody waits for it any more
            process.kill()
            await process.wait()
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise ConfigError(f"openssl cannot make a certificate: {' '.join(last)}")
