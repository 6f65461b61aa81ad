"""Fine-tuning of the layers behind the seam, epoch by epoch, on maps that are on disk already."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_core.progress import Track, silently
from edge_train.backbone import DROPOUT_RATE, SCORES, Parts
from edge_train.features import Maps, compiled
from edge_train.history import Epoch
from edge_train.tf import keras, tf

EVALUATION_BATCH: Final = 128


@dataclass(frozen=True)
class Settings:
    """What can be turned; the defaults were chosen on flowers and on cats and dogs (train/README.md has the figures).

    Attributes:
        seed: of weights, views and order of photos; the split has its own.
        views: of each training photo, see `views.ViewMaker`.
        epochs: of fine-tuning, at most; 0 leaves the solved head as it is.
        patience: epochs in a row that are not kept, after which fine-tuning ends.
        batch: pictures per step.
        learning_rate: of Adam, after a warm-up over the first tenth of the steps and before a cosine decay to 0.
        label_smoothing: share of each target that is spread over all labels.
    """

    seed: int = 1
    views: int = 4
    epochs: int = 8
    patience: int = 8
    batch: int = 32
    learning_rate: float = 3e-4
    label_smoothing: float = 0.1


class FineTuner:
    """Trains the upper part of a model; can be stopped after any epoch and go on in another process.

    All that is random is drawn from the seed and the epoch or the step, so an interrupted and an uninterrupted training
    see the same; what differs is the order in which the processor's threads add.

    Attributes:
        history: of all epochs so far, the solved head's as number 0.
    """

    def __init__(self, parts: Parts, photos: int, val: Maps, settings: Settings) -> None:
        """Prepares training; nothing is trained yet.

        Args:
            parts: of the model, see `backbone.cut`.
            photos: how many there are to train on.
            val: maps to validate on; the first view counts.
            settings: of the recipe.
        """
        self.history: list[Epoch] = []
        self._parts, self._val, self._settings = parts, val, settings
        self._batch = min(settings.batch, photos)
        self._steps = photos // self._batch
        total = max(1, settings.epochs * self._steps)
        self._optimizer = keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                0.0,
                max(1, total * 9 // 10),
                warmup_target=settings.learning_rate,
                warmup_steps=max(1, total // 10),
            )
        )
        self._variables = parts.upper.trainable_variables
        self._optimizer.build(self._variables)
        self._checkpoint = tf.train.Checkpoint(upper=parts.upper, optimizer=self._optimizer)
        self._predict = compiled(parts.upper, tf.float16)
        self._step = self._compile_step()
        self._kept = parts.upper.get_weights()
        self._start = time.perf_counter()

    @property
    def done(self) -> bool:
        """Whether all epochs are through, or too many in a row were not kept."""
        unkept = next(number for number, epoch in enumerate(reversed(self.history)) if epoch.kept)
        return len(self.history) > self._settings.epochs or unkept >= self._settings.patience

    @property
    def seconds(self) -> float:
        """Since training began, in all processes that had a part in it."""
        return time.perf_counter() - self._start

    def start(self, began: float) -> None:
        """Notes the solved head as epoch 0 of a training that began when `time.perf_counter` said `began`."""
        self._start = began
        self._note("head", float("nan"))

    def train_epoch(self, train: Maps, track: Track = silently) -> None:
        """Trains for an epoch, which takes one view of each photo in `train`, and validates."""
        epoch, settings = len(self.history), self._settings
        rng = np.random.default_rng([settings.seed, epoch])
        photos, views = train.rows.shape
        order = rng.permutation(photos)[: self._steps * self._batch].reshape(self._steps, self._batch)
        chosen = rng.integers(0, views, order.shape)
        labels = self._parts.upper.output_shape[-1]
        losses = []
        numbers = track(range(self._steps), f"Fine-tuning, epoch {epoch} of {settings.epochs}", self._steps)
        for number in numbers:
            maps = train.read(order[number], chosen[number])
            targets = np.eye(labels, dtype=np.float32)[train.targets[order[number]]]
            losses.append(float(self._step(maps, targets, tf.constant((epoch - 1) * self._steps + number))))
        self._note("fine-tune", float(np.mean(losses)))

    def keep_best(self) -> None:
        """Puts the kept weights, the last good ones, into the model."""
        self._parts.upper.set_weights(self._kept)

    def validate(self) -> npt.NDArray[np.float32]:
        """Scores of the validation photos: shape (photos, labels)."""
        photos = np.arange(len(self._val.photos))
        parts = [photos[first : first + EVALUATION_BATCH] for first in range(0, len(photos), EVALUATION_BATCH)]
        return np.concatenate([self._predict(self._val.read(part)).numpy() for part in parts])

    def save(self, folder: Path) -> None:
        """Writes all that `restore` needs into an empty folder."""
        self._checkpoint.write(str(folder / "newest"))
        np.savez(folder / "kept.npz", *self._kept)
        (folder / "history.json").write_text(json.dumps([asdict(epoch) for epoch in self.history]))

    def restore(self, folder: Path) -> None:
        """Goes on from what `save` wrote."""
        self._checkpoint.read(str(folder / "newest")).assert_existing_objects_matched()
        with np.load(folder / "kept.npz", allow_pickle=False) as kept:
            self._kept = [kept[name] for name in kept.files]
        self.history = [Epoch(**epoch) for epoch in json.loads((folder / "history.json").read_text())]
        self._start = time.perf_counter() - self.history[-1].seconds

    def _compile_step(self) -> Callable[..., Any]:
        pooled, head = self._parts.pooled, self._parts.upper.get_layer(SCORES)
        smoothing, seed = self._settings.label_smoothing, self._settings.seed

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def step(maps: Any, targets: Any, number: Any) -> Any:
            with tf.GradientTape() as tape:
                features = pooled(tf.cast(maps, tf.float32), training=False)
                seeds = tf.stack([seed, tf.cast(number, tf.int32)])
                features = tf.nn.experimental.stateless_dropout(features, DROPOUT_RATE, seed=seeds)
                losses = keras.losses.categorical_crossentropy(targets, head(features), label_smoothing=smoothing)
                loss = tf.reduce_mean(losses)
            self._optimizer.apply_gradients(zip(tape.gradient(loss, self._variables), self._variables, strict=True))
            return loss

        return step  # type: ignore[no-any-return]

    def _note(self, phase: str, train_loss: float) -> None:
        """Validates. Kept is what is at most one standard error below the best accuracy so far.

        The learning rate falls to zero, so the later of two epochs that validation cannot tell apart is the better one:
        on test photos the last epoch beat that with the best validation loss by 0.3 (flowers) and 0.8 points (cats and
        dogs), means of four and of two splits.
        """
        scores, targets = self.validate(), self._val.targets
        own = np.clip(scores[np.arange(len(scores)), targets], 1e-7, 1)
        share = float((scores.argmax(axis=1) == targets).mean())
        best = max([epoch.val_accuracy for epoch in self.history], default=0.0)
        kept = share >= best - (best * (1 - best) / len(scores)) ** 0.5
        if kept:
            self._kept = self._parts.upper.get_weights()
        self.history.append(
            Epoch(
                phase,
                len(self.history),
                round(self.seconds, 2),
                round(train_loss, 6),
                round(float(-np.log(own).mean()), 6),
                round(share, 6),
                kept,
            )
        )
