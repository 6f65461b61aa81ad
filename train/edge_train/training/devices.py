"""What fine-tuning runs on: one processor, every GPU of a machine, or those of several machines.

With one processor nothing stands between the model and its training. Else a copy of the model is trained, on all
devices and in the precision that suits them, and its weights come back to the model after each epoch: what is
validated, saved and converted is float32 and knows of no devices.

On GPUs of compute capability 7.0 and later the copy computes in float16 with float32 weights and a scaled loss
(Micikevicius et al., "Mixed Precision Training", 2018), and with a single GPU its step is compiled by XLA. Not on a
processor: measured on two x86-64 cores, a photo took 18 ms with XLA and 1.4 ms without, and bfloat16 by oneDNN 1.5
times as long as float32. From the same seed XLA draws another dropout: a training that moves to a GPU half-way is as
good, but not the same to the digit.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_core.errors import SettingsError, WorkerLostError
from edge_device.system.packages import installed, pip
from edge_keras.models.backbone import SCORES
from edge_keras.tf import keras, tf
from edge_train.doctor.gpu import LIBRARIES
from edge_train.doctor.nvidia import find_driver
from edge_train.doctor.workstation import usable_cores
from edge_train.training.workers import Worker, ended_at_once, restart

TENSOR_CORES: Final = (7, 0)
"""Compute capability from which on float16 is faster than float32 on NVIDIA's GPUs."""

JOIN_S: Final = 120.0
"""All workers have just met, so this is long; a worker that is killed at this very moment would be waited for for
ever."""


@dataclass(frozen=True)
class Devices:
    """Where a model is trained.

    Attributes:
        strategy: `tf.distribute.Strategy` over several devices; None for one.
        worker: Which of several processes this is, if there are several.
        mixed: Whether the copy computes in float16.
        jit: Whether a step is compiled by XLA.
    """

    strategy: Any = None
    worker: Worker | None = None
    mixed: bool = False
    jit: bool = False

    @property
    def copies(self) -> bool:
        """Whether a copy of the model is trained rather than the model."""
        return self.strategy is not None or self.mixed

    @property
    def replicas(self) -> int:
        """Copies of the model in all."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    @property
    def chief(self) -> bool:
        """Whether this process is the one that decides and writes."""
        return self.worker is None or self.worker.number == 0

    def scope(self) -> contextlib.AbstractContextManager[object]:
        """What variables are made in."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def copy(self, model: "keras.Model") -> "keras.Model":
        """A copy of a model that can be trained here, with the chief's weights, which `model` gets, too."""

        def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
            config = layer.get_config()
            if self.mixed and "dtype" in config:  # scores stay float32
                config["dtype"] = "float32" if layer.name == SCORES else "mixed_float16"
            return type(layer).from_config(config)

        with self.scope():
            copy = keras.models.clone_model(model, clone_function=clone)
        weights = model.get_weights()
        sizes = np.cumsum([weight.size for weight in weights])[:-1]
        # As one array, since each call waits for all workers.
        flat = self.agreed(np.concatenate([weight.ravel() for weight in weights]))
        model.set_weights([part.reshape(old.shape) for part, old in zip(np.split(flat, sizes), weights, strict=True)])
        copy.set_weights(model.get_weights())
        return copy

    def optimizer(
        self, make: Callable[[], keras.optimizers.Optimizer], variables: list[tf.Variable]
    ) -> keras.optimizers.Optimizer:
        """An optimizer of the copy's variables; with float16 it scales the loss."""
        with self.scope():
            made = keras.mixed_precision.LossScaleOptimizer(make()) if self.mixed else make()
            made.build(variables)
        return made

    def compiled(self, step: Callable[..., tf.Tensor], batch: int) -> Callable[..., tf.Tensor]:
        """A training step as a graph on all devices.

        Args:
            step: Function from the parts of a batch, the seeds of the step and the rows that it gets (None for all)
                to the loss: its rows' share in the mean over the batch, so that the sum over devices is that of one
                device.
            batch: Rows of a whole batch. Each replica is given all of it and takes its rows; what does not divide
                evenly is filled up with rows of weight zero.

        Returns:
            From the parts, the last of which is the weight of each row, and the seeds to the loss of the batch.
        """
        if self.strategy is None:
            return tf.function(  # type: ignore[no-any-return]
                lambda *parts: step(*parts, rows=None), reduce_retracing=True, jit_compile=True if self.jit else None
            )
        # Rounded up: the last replica may have less to do.
        count = -(-batch // self.replicas)

        def replica(*given: tf.Tensor) -> tf.Tensor:
            *parts, seeds = given
            # Replica r takes the rows from r * count on; beyond the end the last row stands in, with a weight of zero.
            rows = tf.distribute.get_replica_context().replica_id_in_sync_group * count + tf.range(count)
            taken = tf.minimum(rows, batch - 1)
            *parts, weights = (tf.gather(part, taken) for part in parts)
            return step(*parts, weights * tf.cast(rows < batch, weights.dtype), seeds, rows=taken)

        def whole(*given: tf.Tensor) -> tf.Tensor:
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(replica, given), axis=None)

        return tf.function(whole, reduce_retracing=True)  # type: ignore[no-any-return]

    def agreed(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The chief's values, on every worker; all must call it with the same shape and dtype."""
        if self.worker is None:
            return values

        def replica(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # All replicas but the first add zeros, so that the sum is the first one's value.
            first = tf.equal(context.replica_id_in_sync_group, 0)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, values, tf.zeros_like(values)))

        found = tf.function(lambda values: self.strategy.run(replica, (values,)))(tf.constant(values))
        return self.strategy.experimental_local_results(found)[0].numpy()  # type: ignore[no-any-return]

    def told(self, text: str) -> str:
        """The chief's text, on every worker, which waits for it."""
        raw = np.frombuffer(text.encode() if self.chief else b"", np.uint8).astype(np.int32)
        size = int(self.agreed(np.array([raw.size], np.int32))[0])
        found = self.agreed(raw if self.chief else np.zeros(size, np.int32))
        return found.astype(np.uint8).tobytes().decode()


ONE: Final = Devices()
"""One device, and the model itself: what the phases after fine-tuning run on."""


def gpus() -> tuple[int, bool]:
    """How many are visible, and whether all are faster in float16."""
    found = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in found]
    return len(found), bool(found) and all(capability and capability >= TENSOR_CORES for capability in details)


def in_words(devices: Devices) -> str:
    """What a training runs on, as `fit` says it at its start: `on NVIDIA GeForce RTX 4070, float16, XLA`."""
    found = tf.config.list_physical_devices("GPU")
    if not found:
        cores = usable_cores()
        parts = [f"{cores} processor core{'s' * (cores != 1)}"]
    else:
        details = tf.config.experimental.get_device_details
        names = [str(details(gpu).get("device_name", gpu.name)) for gpu in found]
        counts = ((name, names.count(name)) for name in dict.fromkeys(names))
        parts = [" and ".join(f"{count} x {name}" if count > 1 else name for name, count in counts)]
        parts += ["float16" if devices.mixed else "float32", *(["XLA"] if devices.jit else [])]
    if devices.worker is not None:
        parts.append(f"worker {devices.worker.number + 1} of {len(devices.worker.addresses)}")
    return "on " + ", ".join(parts)


def unused_gpu() -> str:
    """What is wrong and what mends it if NVIDIA's driver is there and TensorFlow sees no GPU; else empty."""
    if gpus()[0] or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return ""
    driver = find_driver()
    if driver is None:
        return ""
    told = f"NVIDIA's driver {driver.version} is there, but TensorFlow sees no GPU"
    if any(installed(name) is None for name in LIBRARIES):
        return f"{told}, since its CUDA libraries are not installed: {pip('install', 'edge-mobilenet[gpu]')}"
    return f"{told}: edge-train doctor says why"


def find_devices(worker: Worker | None = None, float16: bool = True) -> Devices:
    """Every visible GPU, or the processor.

    Args:
        worker: Which of several this process is; all must have met, see `workers.meet`.
        float16: Whether the model's activations fit into it. Those of random weights behind frozen batch normalization
            become so small that nothing is learned.

    Raises:
        SettingsError: Too late: TensorFlow is at work in this process.
    """
    count, fast = gpus()
    mixed = fast and float16
    if worker is not None:
        # TensorFlow waits for the others without an end.
        watch = threading.Timer(JOIN_S, restart)
        watch.daemon = True
        watch.start()
        try:
            with ended_at_once():
                return Devices(tf.distribute.MultiWorkerMirroredStrategy(), worker, mixed)
        except RuntimeError as error:
            raise SettingsError(f"with TF_CONFIG, training must come first in a process: {error}") from error
        finally:
            watch.cancel()
    logical = tf.config.list_logical_devices("GPU" if count else "CPU")
    if len(logical) > 1:
        return Devices(tf.distribute.MirroredStrategy([device.name for device in logical]), None, mixed)
    return Devices(None, None, mixed, jit=bool(count))


@contextlib.contextmanager
def lost_workers() -> Iterator[None]:
    """Turns what TensorFlow raises when another worker is gone into one line.

    Raises:
        WorkerLostError: One is gone.
    """
    gone = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError
    others = tf.errors.InternalError, tf.errors.FailedPreconditionError, tf.errors.UnknownError
    try:
        yield
    except (*gone, *others) as error:
        raise WorkerLostError("another worker was lost", comes_back=True) from error
