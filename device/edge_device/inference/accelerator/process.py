"""The parent's side of `worker`: the face of an interpreter, and an error for whatever may become of it."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Final

from edge_core.artifact.familiarity import Features
from edge_core.artifact.golden import ACCELERATED
from edge_core.codec import JsonObject
from edge_core.errors import AcceleratorError
from edge_core.preprocess import Frame, InputSpec, preprocess
from edge_device.inference.accelerator import shared_memory as shared
from edge_device.inference.accelerator.edgetpu import Coral
from edge_device.inference.interpreter import RuntimeName, Scores
from edge_device.system.interrupts import signal_name

START_S: Final = 30.0
"""For Python, the runtime, the firmware of a USB Accelerator (a few seconds) and the first inferences on a Pi."""

WATCHDOG_S: Final = 2.0
WATCHDOG_TIMES: Final = 20
"""An answer is late after so many times the usual time of an inference, and after `WATCHDOG_S` at the earliest."""

_SLICE_S: Final = 0.1
"""A wait for an answer is cut into slices of it, so that the end of the run is noticed."""

_END_S: Final = 0.3
"""To end by itself when it is closed: SIGTERM leaves a second in all."""

_KILL_S: Final = 0.3
_LONGEST: Final = 1 << 16


class AcceleratorProcess:
    """A compiled file on an Edge TPU, in a process of its own. For one thread.

    Attributes:
        device: `coral usb:0`, say.
        fallback_reason: Always empty, because nothing fell back.
        runtime: Name and version of the interpreter, and that libedgetpu is in it.
        input_shape, outputs, quantized: What `Interpreter` says of the model.
        watchdog_s: Seconds after which a missing answer is an error.
        pixels: The input of the next inference, uint8 of `input_shape`; still there when the process is not.
    """

    def __init__(
        self,
        file: BinaryIO,
        coral: Coral,
        *,
        runtime: RuntimeName = "auto",
        watchdog_s: float | None = None,
        start_s: float = START_S,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Starts it and runs the model a few times.

        Args:
            file: A .tflite for the Edge TPU, open; not needed after this call.
            coral: Edge TPU to run the model on.
            runtime: Which interpreter, see `Interpreter`.
            watchdog_s: How long an inference may take; `WATCHDOG_TIMES` what it took here unless told otherwise.
            start_s: How long all of this may take.
            stopped: Whether the run is to end: an answer that is late then is not waited for.

        Raises:
            AcceleratorError: No library, no accelerator, or it died or hung over it; nothing is left behind.
        """
        self.device, self.fallback_reason = str(coral), ""
        self._said = b""
        self._number = 0
        self._stopped = stopped
        model = file.fileno()
        # SEQPACKET keeps messages apart, and gives an empty one when the other end is closed.
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Neither side waits for the other over a message that nobody reads.
        self._log, log = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        asked = {"channel": theirs.fileno(), "model": model, "name": file.name, "runtime": runtime}
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "edge_device.inference.accelerator.edgetpu_worker",
                    json.dumps(asked | {"port": coral.port}),
                ],
                # The lifeline: this end closes with this process, however that ends.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(), model),
                # The same packages as here, wherever they were found; -P keeps the working folder out.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                process_group=0,  # the terminal's Ctrl-C is for the parent
            )
        except OSError as error:
            self._channel.close()
            os.close(self._log)
            raise AcceleratorError(f"{self.device}: its process cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(log)
        self._open = True
        self._channel.settimeout(_SLICE_S)
        try:
            opened = self._opened(start_s)
        except BaseException:  # Ctrl-C, too
            self.close()
            raise
        self.runtime = f"{opened['runtime']} {ACCELERATED}"
        self.input_shape: tuple[int, ...] = tuple(opened["input_shape"])
        self.outputs: int = opened["outputs"]
        self.quantized: bool = opened["quantized"]
        self.watchdog_s = watchdog_s or max(WATCHDOG_S, WATCHDOG_TIMES * opened["usual_s"])

    def write_frame(self, frame: Frame, spec: InputSpec) -> None:
        """Preprocesses a frame straight into the shared memory."""
        preprocess(frame, spec, out=self.pixels)

    def write_pixels(self, pixels: Frame) -> None:
        """Writes preprocessed pixels, uint8 of shape `input_shape`, into the shared memory."""
        self.pixels[:] = pixels

    def invoke(self) -> None:
        """Runs the model on what was written.

        Raises:
            AcceleratorError: It died, hung, or says that the accelerator is gone. The process is gone then, too.
        """
        self._number += 1
        # A number for each inference, by which a late answer to an earlier one is told from this one's.
        message = struct.pack("Q", self._number)
        try:
            self._channel.send(message)
            answer = self._answer(self.watchdog_s)[0]
            while answer and not answer.startswith(message):  # one that nobody waited for, after Ctrl-C
                answer = self._answer(self.watchdog_s)[0]
        except TimeoutError:
            waited = "yet" if self._stopped() else f"for {self.watchdog_s:.1f} s"
            raise self._failed(f"has not answered {waited}") from None
        except OSError:  # its end of the channel is closed
            answer = b""
        if not answer:
            raise self._died("over an inference")
        self._read_log()
        if reason := answer[len(message) :].decode("utf-8", "replace"):
            raise self._failed(f"gave no scores: {reason}")

    def read_scores(self) -> Scores:
        """The scores of the last run."""
        return self._scores.copy()

    def read_features(self) -> tuple[Features, ...]:
        """Those of the last run that the compiled file has among its outputs."""
        return tuple(layer.copy() for layer in self._features)

    def scores(self, pixels: Frame) -> Scores:
        """Scores for preprocessed pixels, uint8 of shape `input_shape`.

        Raises:
            AcceleratorError: See `invoke`.
        """
        self.write_pixels(pixels)
        self.invoke()
        return self.read_scores()

    def close(self) -> None:
        """Ends the process, by SIGKILL if it does not end by itself."""
        if self._open:
            self._channel.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
            self._kill()

    def _answer(self, within_s: float) -> tuple[bytes, list[int]]:
        """The next message and the descriptors that came with it; empty if the process is gone.

        Raises:
            TimeoutError: There is none for so long, or none yet and the run is to end.
        """
        until_s = time.monotonic() + within_s
        while True:
            try:
                answer, descriptors, _, _ = socket.recv_fds(self._channel, _LONGEST, 1)
                return answer, descriptors
            except TimeoutError:
                if self._stopped() or time.monotonic() >= until_s:
                    raise

    def _opened(self, start_s: float) -> JsonObject:
        descriptors: list[int] = []
        try:
            answer, descriptors = self._answer(start_s)
            if not answer:
                raise self._died(
                    "while it was opened; is libedgetpu made for this runtime? See github.com/feranick/libedgetpu"
                )
            opened: JsonObject = json.loads(answer)
            if "error" in opened:
                raise AcceleratorError(opened["error"])
            self.pixels, self._scores, self._features = shared.arrays(
                descriptors[0], opened["input_shape"], opened["outputs"], opened["widths"]
            )
        except TimeoutError:
            raise self._failed(f"was not ready within {start_s:.0f} s") from None
        finally:
            # The mapping stays when its descriptor is closed.
            for descriptor in descriptors:
                os.close(descriptor)
        return opened

    def _died(self, when: str) -> AcceleratorError:
        """Tells how it ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)
        self._kill()
        status = self._process.returncode
        if status is not None and status < 0:
            return self._failed(f"died by {signal_name(-status)} {when}")
        return self._failed(f"ended with status {status} {when}")

    def _failed(self, what: str) -> AcceleratorError:
        """Ends the process and tells why, with what it said last."""
        self._kill()
        return AcceleratorError(f"{self.device} {what}" + (f": {self._last_line}" if self._last_line else ""))

    def _kill(self) -> None:
        if not self._open:
            return
        # First, so that a second failure on the way does not begin it anew.
        self._open = False
        self._process.kill()
        try:
            self._process.wait(_KILL_S)
        except subprocess.TimeoutExpired:  # the driver holds it; the kernel ends it when that lets go
            threading.Thread(target=self._process.wait, name="reaper", daemon=True).start()
        self._read_log()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._channel.close()
        os.close(self._log)

    def _read_log(self) -> None:
        with suppress(BlockingIOError):
            while said := os.read(self._log, _LONGEST):
                self._said = (self._said + said)[-_LONGEST:]

    @property
    def _last_line(self) -> str:
        lines = (line.strip() for line in reversed(self._said.decode("utf-8", "replace").splitlines()))
        return next((line for line in lines if line and not line.startswith("INFO")), "")
