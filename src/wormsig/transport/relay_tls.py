"""A relay's certificate: read from files, checked before anybody connects, read again when it was renewed.

Only the server's side. What a client makes of a relay's certificate stands in `trust`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no annotations

from wormsig.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@implementer(IOpenSSLServerConnectionCreator)
class RelayCertificate:
    """What a TLS listener takes to begin connections with; always the newest certificate.

    Args:
        certificate: File with the certificate, and after it those that lead to a root.
        key: File with its private key, without a passphrase.

    Raises:
        InputError: They cannot be read, do not belong together, or are not valid now.

    Attributes:
        name: The first name that it is made out to, for the relay's URL; None when it names nobody.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.name: str | None = None
        self._seen = self._stamp()
        self._context = self._load()

    def serverConnectionForTLS(self, _: object) -> SSL.Connection:  # noqa: N802  Twisted's name
        """The next connection."""
        return SSL.Connection(self._context, None)

    def renew(self, tell: Callable[[str], None]) -> None:
        """Read the files again if they were changed; what cannot be used changes nothing.

        Args:
            tell: Gets a line for the operator.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._context = self._load()
        except InputError as error:
            tell(f"warning: {error.message}; the certificate from before is still in use")
        else:
            tell("the certificate was renewed")

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        stamps = []
        for path in self._files:
            try:
                found = path.stat()
            except OSError:
                stamps.append((0, 0))
            else:
                stamps.append((found.st_mtime_ns, found.st_ino))
        return tuple(stamps)

    def _load(self) -> SSL.Context:
        path, key_path = self._files
        chain = _certificates(path)
        leaf = chain[0]
        key = _key(key_path)
        if _public(key.public_key()) != _public(leaf.public_key()):
            raise InputError(f"the key {key_path} does not belong to the certificate {path}")
        now = dt.datetime.now(dt.UTC)
        if leaf.not_valid_after_utc < now:
            raise InputError(f"the certificate {path} expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
        if leaf.not_valid_before_utc > now:
            raise InputError(f"the certificate {path} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        try:
            context.use_certificate_chain_file(str(path))
            context.use_privatekey_file(str(key_path))
        except SSL.Error as error:
            raise InputError(f"OpenSSL does not take the certificate {path}: {error}") from None
        self.name = _first_name(leaf)
        return context


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the {what} {path} cannot be read: {error.strerror}") from None


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path, "certificate"))
    except ValueError:
        hint = "it begins with -----BEGIN CERTIFICATE-----"
        raise InputError(f"{path} holds no certificate in PEM form", hint=hint) from None


def _key(path: Path) -> Any:  # noqa: ANN401  one of several types without a common base
    try:
        return load_pem_private_key(_read(path, "key"), password=None)
    except TypeError:
        hint = "a server starts without anybody there to type one"
        raise InputError(f"the key {path} is protected by a passphrase", hint=hint) from None
    except (ValueError, UnsupportedAlgorithm):
        hint = "it begins with -----BEGIN PRIVATE KEY-----"
        raise InputError(f"{path} holds no private key in PEM form", hint=hint) from None


def _public(key: Any) -> bytes:  # noqa: ANN401  one of several types without a common base
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _first_name(certificate: x509.Certificate) -> str | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    plain = [name for name in names.get_values_for_type(x509.DNSName) if not name.startswith("*")]
    addresses = [_in_url(str(address)) for address in names.get_values_for_type(x509.IPAddress)]
    return next(iter([*plain, *addresses]), None)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
