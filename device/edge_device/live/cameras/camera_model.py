"""The model of a camera: opened on the device that was asked for, and opened anew when the file is replaced."""

from collections.abc import Callable
from pathlib import Path

from edge_core.errors import CheckFailedError, ModelFormatError
from edge_core.preprocess import InputSpec
from edge_device.command_line.console import extra_needed
from edge_device.inference.accelerator import Supervision, open_classifier, parse_device
from edge_device.inference.classifier import Classifier
from edge_device.inference.threads import choose_threads, parse_threads
from edge_device.inference.verify import verify
from edge_device.live.cameras.run_host import RunHost
from edge_device.live.options import LiveOptions, ModelOptions
from edge_device.notices import Notifier


class Models:
    """Opens the model file, and what takes its place, on the device that was asked for.

    Attributes:
        file: Path of the model; may be replaced at any time, as the model may.
    """

    def __init__(self, options: LiveOptions, notify: Notifier, host: RunHost) -> None:
        """Chooses the number of threads.

        Args:
            options: What is run, and on what.
            notify: Gets that an accelerator is lost, and that it is back.
            host: The process, with what its cameras share.

        Raises:
            SettingsError: A device or a number of threads is not a valid one.
        """
        self.file, self._options, self._notify, self._host = options.file, options.model, notify, host
        self._familiar = options.decisions.familiar
        self._coral = parse_device(options.model.device)
        measured = ("threads", options.file, options.model.fallback, options.model.runtime)
        # Measured once for all cameras with this model: it would show the same, and delays the start.
        self._threads = parse_threads(options.model.threads) or host.shared.once(
            measured, lambda: choose_threads(self._on_cpu)
        )

    def open(self, at_once: bool = True) -> Classifier:
        """Opens the file as it is now.

        Args:
            at_once: Whether the accelerator is opened before this returns; see `open_classifier`.

        Raises:
            EdgeError: See `open_classifier`.
        """
        return open_classifier(
            self.file,
            self._coral,
            fallback=self._options.fallback,
            runtime=self._options.runtime,
            threads=self._threads,
            supervision=Supervision(self._notify, at_once, self._host.asked),
            familiar=self._familiar,
            pool=self._host.pool,
        )

    def replacement(self, fits: Callable[[InputSpec], bool]) -> Classifier:
        """Opens the file that has taken the place of the one before.

        Args:
            fits: Whether frames, as the source decodes them now, are large enough for an input.

        Raises:
            ModelFormatError: They are not.
        """
        # The accelerator still belongs to the model that is being replaced, which is closed after this one is open.
        newer = self.open(at_once=False)
        if not fits(newer.card.input):
            newer.close()
            raise ModelFormatError(f"{self.file} takes larger pictures than the one before; start edge-run anew for it")
        return newer

    def _on_cpu(self, threads: int) -> Classifier:
        return Classifier(self._options.fallback or self.file, runtime=self._options.runtime, threads=threads)


def signing_key(model: Path, options: ModelOptions) -> bytes | None:
    """The public key that is asked for, once it has been found to have signed the model.

    Raises:
        CheckFailedError: It has not.
    """
    if options.key is None:
        return None
    with extra_needed("sign", "cryptography"):
        from edge_device.inference.signature import read_public_key
    public_key = read_public_key(options.key)
    found = verify(model, key=public_key, runtime=options.runtime)
    if found.divergence:
        raise CheckFailedError(f"{model} diverges at {found.divergence.stage}: {found.divergence.reason}")
    return public_key
