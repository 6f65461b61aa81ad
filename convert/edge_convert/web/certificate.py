"""A certificate that a machine signs for itself, so that phones in the local network may use their camera.

Browsers offer the camera over HTTPS alone. They warn of such a certificate once, and register no service worker under
it. Needs the extra `phone`.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_core.files import written_whole
from edge_device.sinks.web.server import CertificateFiles

DAYS: Final = 397
"""Safari refuses certificates that are valid for longer (CA/Browser Forum, ballot SC31: 398 days)."""

RENEW_DAYS: Final = 7


@dataclass(frozen=True)
class _Subject:
    """Whom a certificate is for: names and IP addresses."""

    hosts: tuple[str, ...]

    def alternatives(self) -> x509.SubjectAlternativeName:
        return x509.SubjectAlternativeName([_general_name(host) for host in self.hosts])


def certificate_for(hosts: tuple[str, ...], folder: Path) -> CertificateFiles:
    """The certificate of this machine, kept in a folder so that a phone has to accept it only once.

    Args:
        hosts: Names and IP addresses that the machine is called by.
        folder: Where certificate and key are kept, the key for its owner alone.

    Raises:
        OutputError: They cannot be written.
    """
    files = CertificateFiles(folder / "certificate.pem", folder / "key.pem")
    if not _is_good(files, _Subject(hosts)):
        _write(files, _Subject(hosts))
    return files


def _is_good(files: CertificateFiles, subject: _Subject) -> bool:
    now = datetime.now(UTC)
    try:
        kept = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        found = kept.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        # A machine that went down between the two writes has a new key beside an old certificate.
        key = load_pem_private_key(files.key.read_bytes(), None)
        return (
            bool(key.public_key() == kept.public_key())
            and found == subject.alternatives()
            and kept.not_valid_before_utc <= now  # it was made by a clock that was ahead
            and now + timedelta(days=RENEW_DAYS) < kept.not_valid_after_utc
        )
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False


def _write(files: CertificateFiles, subject: _Subject) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge-run web")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a Raspberry Pi's clock may be behind until it has a network
        .not_valid_after(now + timedelta(days=DAYS - 1))
        .add_extension(subject.alternatives(), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    with written_whole(files.key) as beside:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with written_whole(files.certificate) as beside:
        beside.write_bytes(certificate.public_bytes(Encoding.PEM))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)
