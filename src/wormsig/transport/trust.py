"""Which relays' certificates are believed, and what to say of the others. A relay's own certificate is in `relay_tls`.

What travels is encrypted between the two sides in any case; a certificate keeps whoever stands on the line from
learning what a relay learns, and from playing the relay (THREATS T8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import ssl as trust_roots
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import Certificate, optionsForClientTLS
from zope.interface import implementer  # type: ignore[import-untyped]  # it has no annotations

from wormsig.errors import InputError
from wormsig.transport.errors import RelayCertificateError

if TYPE_CHECKING:
    from pathlib import Path

TRUST_HINT = "a certificate of your own needs --relay-ca FILE, or SSL_CERT_FILE"


class Trust:
    """What a relay's certificate has to be signed by.

    Args:
        authority: A file with the certificates to believe, in place of the system's. None: the system's, where
            OpenSSL also reads SSL_CERT_FILE and SSL_CERT_DIR.

    Raises:
        InputError: The file cannot be read, or holds no certificate.
    """

    def __init__(self, authority: Path | None = None) -> None:
        roots: Any = trust_roots  # Twisted has not annotated it
        self._roots = roots.platformTrust() if authority is None else roots.trustRootFromCertificates(_read(authority))

    def check(self, host: str) -> Check:
        """For the connections to one host: Twisted's checks, and words for what they find."""
        return Check(host, optionsForClientTLS(host, trustRoot=self._roots))


def _read(path: Path) -> list[Certificate]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise InputError(f"the certificates {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path} holds no certificate in PEM form") from None
    return [Certificate.loadPEM(each.public_bytes(Encoding.PEM)) for each in found]


@implementer(IOpenSSLClientConnectionCreator)
class Check:
    """Makes the TLS side of one route's connections.

    Args:
        host: Whom the certificate has to name.
        options: Twisted's, which refuse what does not fit.
    """

    def __init__(self, host: str, options: Any) -> None:  # noqa: ANN401  Twisted's, of a private class
        self._host = host
        self._options = options

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:  # noqa: N802, ANN401  Twisted's name and types
        """The next connection."""
        connection: SSL.Connection = self._options.clientConnectionForTLS(protocol)
        return connection

    def explain(self, error: BaseException) -> RelayCertificateError | None:
        """Why a connection ended before it began, if TLS was the reason."""
        if isinstance(error, VerificationError):
            words = f"the certificate that the relay {self._host} shows is made out to somebody else"
            return RelayCertificateError(words, hint="check --relay-url; somebody may stand on the line")
        if not isinstance(error, SSL.Error):
            return None
        said = error.args[0] if error.args else ()
        reasons = [str(part[-1]) for part in said if part] if isinstance(said, list) else []
        if "certificate verify failed" in reasons:
            why = "it has expired, or nobody trusted here signed it"
            words = f"the certificate of the relay {self._host} is refused: {why}"
            return RelayCertificateError(words, hint=TRUST_HINT)
        words = f"no TLS with the relay {self._host}{f': {reasons[0][:100]}' if reasons else ''}"
        return RelayCertificateError(words, hint="a relay without a certificate is reached with ws://, not wss://")
