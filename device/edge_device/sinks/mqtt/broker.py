"""Where an MQTT broker is, how to reach it, and what it means when it does not let one in."""

import hashlib
import re
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from edge_core.errors import SettingsError

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}

_FORM: Final = "--mqtt takes mqtt://USER@HOST:PORT/PREFIX, mqtts:// with TLS, or ws:// and wss:// through a web server"


@dataclass(frozen=True)
class Broker:
    """Where an MQTT broker is; as text without the password.

    Attributes:
        host, port: Address of the broker.
        prefix: Topics begin with it; no slash at either end.
        scheme: "mqtt", "mqtts", "ws" or "wss".
        path: Path of a WebSocket's address; brokers take /mqtt unless set up otherwise.
        user, password: None where there is none.
    """

    host: str
    port: int
    prefix: str
    scheme: str = "mqtt"
    path: str = "/mqtt"
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        return self.scheme in ("mqtts", "wss")

    @property
    def websockets(self) -> bool:
        return self.scheme in ("ws", "wss")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/{self.prefix}"


@dataclass(frozen=True)
class Certificates:
    """Files for TLS, PEM.

    Attributes:
        ca: Certificates that the broker's must be signed by; the system's where None.
        own, key: The client's certificate and its private key; the key may be in the file of the certificate.
    """

    ca: Path | None = None
    own: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The files, read.

        Raises:
            SettingsError: One cannot be read, or is not what it should be.
        """
        if self.key and not self.own:
            raise SettingsError(f"--mqtt-key {self.key} is the key of a certificate: name that with --mqtt-cert")
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise SettingsError(f"--mqtt-ca {self.ca} holds no certificates: {_reason(error)}") from error
        if self.own:
            try:
                context.load_cert_chain(self.own, self.key, password=_no_passphrase)
            except OSError as error:
                files = f"--mqtt-cert {self.own}" + (f" with --mqtt-key {self.key}" if self.key else "")
                raise SettingsError(f"{files} is no certificate with its key: {_reason(error)}") from error
        return context


NO_CERTIFICATES: Final = Certificates()
"""The system's authorities, and none of one's own."""


def parse_broker(text: str, password: str | None = None, *, about: str = "", camera: str = "") -> Broker:
    """Takes `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][/PREFIX][?path=/mqtt]` apart.

    Args:
        text: The address. Without a prefix it is `edge-mobilenet/HOST-ID`, where ID stands for this machine and
            `about`: two machines may have one host name, and one machine two cameras.
        password: Password from a file or the environment, in place of one in the address.
        about: The source, for the prefix.
        camera: Name of the camera, where it has one: the last level of the prefix, which an address that cameras have
            in common is given for each.

    Raises:
        SettingsError: It is no such address; the message does not repeat it, for there may be a password in it.
    """
    parts, host, port = _endpoint(text)
    prefix = unquote(parts.path).strip("/")
    path = re.fullmatch(r"path=(/[^?&#]*)", parts.query) if parts.scheme in ("ws", "wss") else None
    # A mark that is left over most likely belongs to a password, which then would have ended too early.
    stray = "@" in prefix or "#" in text or (not path and "?" in text)
    if stray:
        raise SettingsError(f"{_FORM}; in a password / @ ? and # are written %2F %40 %3F and %23")
    return Broker(
        host=host,
        port=port,
        prefix=_topic_prefix(prefix, about, camera),
        scheme=parts.scheme,
        path=unquote(path[1]) if path else Broker.path,
        user=_unquoted(parts.username),
        password=_unquoted(parts.password) if password is None else password,
    )


def _endpoint(text: str) -> tuple[SplitResult, str, int]:
    """The parts of a broker's address, its host, and its port: the usual one of the scheme where none is given."""
    try:
        # The port is read here, since it is the property that raises for one out of range.
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise SettingsError(f"{_FORM}; this has no such port or host") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise SettingsError(_FORM)
    return parts, parts.hostname, port or _PORTS[parts.scheme]


def _topic_prefix(given: str, about: str, camera: str) -> str:
    """The prefix that an address gives, or one that no other machine and no other source has."""
    if re.search(r"[+\0]|//", given):
        raise SettingsError(f"the topic prefix {given!r} has a +, or two / in a row")
    source = "" if camera else about  # cameras of one process share what stands in front of their names
    host = segment(socket.gethostname())
    # Six digits of a hash: enough to tell machines of one home apart, and nothing of the machine's id.
    prefix = given or f"edge-mobilenet/{host}-{digest(f'{machine()} {source}', 6)}"
    return f"{prefix}/{camera}" if camera and prefix.rpartition("/")[2] != camera else prefix


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def segment(name: str) -> str:
    """A name as one level of a topic."""
    return re.sub(r"[+#/\0]", "_", name)


def digest(text: str, digits: int) -> str:
    """So many hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def machine() -> str:
    """What tells this machine from others; the same after a restart. Never sent as it is: machine-id(5) forbids it."""
    try:
        return Path("/etc/machine-id").read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


def why_no_connection(broker: Broker, error: BaseException | None) -> str:
    """What it means that no connection came about, and what to do, as one line.

    Args:
        broker: That was tried.
        error: What was raised; None where nothing is known.
    """
    if isinstance(error, ssl.SSLError):
        return _why_no_tls(broker, error)
    if isinstance(error, socket.gaierror):
        return f"the name {broker.host} is not known: {_reason(error)}"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at port {broker.port}: is the broker running, and the port right?"
    if isinstance(error, TimeoutError):
        return "no answer: is the broker's machine on, and does a firewall let port " + f"{broker.port} through?"
    if isinstance(error, ConnectionResetError):
        return hung_up(broker)
    if broker.websockets and error is not None and "ebsocket" in type(error).__name__:
        return f"no WebSocket at {broker.path}: name the broker's path with ?path=/…, or its port for WebSockets"
    return f"no connection: {_reason(error)}" if error else "no connection"


def _why_no_tls(broker: Broker, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _distrusted(broker, error)
    # Names of OpenSSL's errors. These four are what the first bytes of a server without TLS look like to it.
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return f"port {broker.port} does not speak TLS: the TLS port is usually 8883, and mqtt:// or ws:// is without"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return "the broker ended the TLS handshake; it may want a client certificate: --mqtt-cert and --mqtt-key"
    return f"TLS failed: {_reason(error)}"


def hung_up(broker: Broker) -> str:
    """What it may mean that a connection ended before the broker has answered."""
    if broker.tls:
        ask = f"does port {broker.port} speak TLS, and does the broker want a client certificate (--mqtt-cert)?"
    else:
        ask = f"does port {broker.port} want TLS (mqtts://) or WebSockets (ws://)?"
    return f"the broker hung up before it answered: {ask}"


def why_refused(reason: object) -> str:
    """What the broker's answer means, and what to do, as one line."""
    text = str(reason)
    advice = {
        "bad user name or password": "check the user in --mqtt and the password in EDGE_RUN_MQTT_PASSWORD",
        "not authorized": "check the user in --mqtt, the password in EDGE_RUN_MQTT_PASSWORD and what the broker "
        "permits",
        "client identifier not valid": "the broker permits only certain client ids",
        "unsupported protocol version": "the broker must speak MQTT 3.1.1",
        "server unavailable": "it is starting, or full",
    }.get(text.lower())
    return f"the broker says: {text}" + (f"; {advice}" if advice else "")


def _distrusted(broker: Broker, error: ssl.SSLCertVerificationError) -> str:
    told = error.verify_message
    if error.verify_code == 62:  # X509_V_ERR_HOSTNAME_MISMATCH
        return f"the broker's certificate is not for {broker.host}: use the name that is in it"
    if error.verify_code in (9, 10):  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
        return f"the broker's certificate is not valid now ({told}): is this machine's clock right?"
    if error.verify_code in (18, 19, 20, 21):  # self-signed, unknown issuer
        return f"the broker's certificate is of an authority unknown here ({told}): name its certificate with --mqtt-ca"
    return f"the broker's certificate is not accepted: {told}"


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    strerror = error.strerror if isinstance(error, OSError) else None
    return " ".join(str(strerror or error).split()) or type(error).__name__


def _no_passphrase() -> str:
    """OpenSSL would ask for one on the terminal, and wait."""
    return ""
