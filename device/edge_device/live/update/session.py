"""Updates of one live run, from its options: the model that it starts with, and the sinks that bring in others."""

import hashlib
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from edge_core.artifact.seal import check_seal
from edge_core.errors import ModelFormatError, OutputError, SettingsError
from edge_device.command_line.console import extra_needed
from edge_device.frames.regions import Region
from edge_device.live.options import LiveOptions
from edge_device.live.update.shadow import ShadowLimits
from edge_device.live.update.update_state import UpdateFolder, UpdateState, begin, boot_id
from edge_device.notices import UPDATE, Notifier, notice
from edge_device.results import UpdateStatus
from edge_device.sinks.sink import Sink


class UpdateSession:
    """What a live run needs to know of updates.

    Attributes:
        file: Model that the run starts with.
        key: Public key that has signed it, 32 bytes.
        told: Tells how updates stand.
        end_in_order: To be called where a run ends for another reason than its model.
        follow: Swaps the model for the one in a file; to be set before frames come.
    """

    def __init__(self, options: LiveOptions, notify: Notifier) -> None:
        """Finds out what to run, with an open trial counted.

        Args:
            options: Options of the run; `options.updates.update_from` is given.
            notify: Gets what became of an update.

        Raises:
            SettingsError: An option is not a valid one, or `--key` is missing.
            ModelFormatError: The model file has no seal.
            RuntimeMissingError: The extra `update` is not installed.
        """
        asked = options.updates
        if options.model.key is None:
            raise SettingsError("--update-from needs --key KEY.pub: whose models this board believes in")
        with extra_needed("update", "tuf", "securesystemslib", "cryptography"):
            from edge_device.inference.signature import read_public_key
            from edge_device.live.update.model_updater import ModelUpdater, UpdateSettings
            from edge_device.live.update.tuf_client import UpdateClient
        vendor = read_public_key(options.model.key)
        seal = check_seal(options.file)
        if seal is None:
            raise ModelFormatError(
                f"{options.file} has no seal; edge-convert export makes files that boards can update"
            )
        folder = UpdateFolder(asked.update_folder)
        client = UpdateClient(str(asked.update_from), folder.metadata, vendor)
        try:
            state, writable = begin(folder, seal.digest, boot_id()), True
        except OutputError as error:  # a card that fails becomes read-only: there is still a model to run
            notify(notice("warning", UPDATE, f"there are no updates in this run: {error}"))
            state, writable = _as_it_is(folder), False
        # Where the disk cannot be written, it may say otherwise than what is to run.
        self._state, self._on_disk = state, writable
        self._folder, self._factory, self._vendor = folder, options.file, vendor
        self.file, self.key = _model(state, folder, options.file, vendor)
        self.follow: Callable[[Path, bytes], None] = lambda path, key: None
        settings = UpdateSettings(
            factory=options.file,
            key=vendor,
            device=asked.update_device or device_name(),
            group=asked.update_group,
            every_s=asked.update_every,
            trial_s=asked.update_trial,
            limits=ShadowLimits(frames=asked.update_frames, other_labels=asked.update_labels),
            runtime=options.model.runtime,
            familiar=options.decisions.familiar,
            in_shadow=options.model.device == "cpu",
        )
        updater = ModelUpdater(settings, folder, client, follow=lambda *new: self.follow(*new), notify=notify)
        self._updater = updater if writable else None
        self._restart = updater.restart
        self.told: Callable[[], UpdateStatus] = updater.told
        self.end_in_order: Callable[[], None] = updater.end_in_order if writable else lambda: None

    def sinks(self, camera: str, regions: Mapping[str, Region]) -> list[Sink]:
        """What brings in others on the frames of a camera, for its queues; none where nothing can be written.

        Args:
            camera: Name of the camera; empty where a process reads but one that has no name.
            regions: Zones of the camera by name.
        """
        return [self._updater.sink(camera, regions)] if self._updater else []

    def stop(self) -> None:
        """Has what runs beside the model end, and polls; to be called once the end of the run is asked for."""
        if self._updater:
            self._updater.stop()

    def close(self) -> None:
        """Ends what runs beside the model, and polls; to be called once the cameras have ended."""
        if self._updater:
            self._updater.close()

    def go_back(self, reason: str) -> bool:
        """Takes back a model that cannot be opened; returns whether there is another one, which `file` is then."""
        failed = self._state.current

        def without_it(there: UpdateState) -> UpdateState:
            # A state without a factory's model is what `read` gives of a file that cannot be read.
            known = there if self._on_disk and there.factory else self._state
            # `edge-run update` may have put another model in charge meanwhile, which has not failed.
            self._state = known.rolled_back(reason) if failed and known.current == failed else known
            return self._state

        try:
            self._folder.change(without_it)
            self._on_disk = True
        except OutputError:  # the next start finds the same; what is on the disk names this model again and again
            self._on_disk = False
        if self._state.current == failed:
            return False
        self.file, self.key = _model(self._state, self._folder, self._factory, self._vendor)
        self._restart()
        return True


def _as_it_is(folder: UpdateFolder) -> UpdateState:
    """The state to run by where it cannot be written: a trial could not be counted, so its model is not run."""
    state = folder.read()
    return state.rolled_back("its trial cannot be counted") if state.trial else state


def _model(state: UpdateState, folder: UpdateFolder, factory: Path, vendor: bytes) -> tuple[Path, bytes]:
    """The model that a state says to run, and whose it is."""
    if state.current is None or not folder.whole(state.current):
        return factory, vendor
    return folder.model(state.current.digest), bytes.fromhex(state.current.key)


def device_name(machine_id: Path = Path("/etc/machine-id")) -> str:
    """A name of this machine that stays and tells nothing of it: a digest of its id, see machine-id(5); else its host
    name."""
    with suppress(OSError):
        if text := machine_id.read_text("ascii", "replace").strip():
            # machine-id(5) asks for a hash with a word of the application's own in it.
            return hashlib.sha256(b"edge-mobilenet update " + text.encode()).hexdigest()[:16]
    return platform.node() or "unknown"
