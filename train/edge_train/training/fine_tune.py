"""Training of the layers behind the seam, epoch by epoch, on maps that are on disk already."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_core.errors import OutputError
from edge_core.progress import Track, silently
from edge_keras.models.backbone import DROPOUT, SCORES, Parts
from edge_keras.tf import keras, tf
from edge_train.evaluation.history import Epoch
from edge_train.settings import Phase, Settings, usual_settings
from edge_train.training.checkpoints import HISTORY_FILE
from edge_train.training.devices import ONE, Devices
from edge_train.training.features import Maps, compiled, map_scores

Array = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]

Teach = Callable[[Positions, Positions], Array]
"""Scores that a teacher gives to photos by position and view: float32, shape (count, labels)."""

Look = Callable[[Positions, Positions, tuple[int, int]], Array]
"""Maps of photos by position and view, and two seeds: float32, shape (count, height, width, channels)."""


@dataclass(frozen=True)
class Student:
    """What a phase trains.

    Attributes:
        model: Maps at the seam to scores, as it predicts.
        forward: Function from maps, float32, and a pair of seeds to scores, as computed in training, and to the
            features that they are made of, before dropout; None for those of a student that is not held to any.
        copied: The same for a copy of `model`: from it and the rows of a batch to a `forward` that also takes the
            numbers of its rows, so that what is random does not depend on which device has them; None: not for copies.
        before_step: Is told the number of each step of the phase.
        keep_zeros: Whether weights of convolutions that are zero stay so.
    """

    model: "keras.Model"
    forward: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    before_step: Callable[[int], None] = lambda step: None
    keep_zeros: bool = False
    copied: Callable[["keras.Model", int], Callable[..., tf.Tensor]] | None = None


def with_dropout(parts: Parts) -> Student:
    """The upper part of a model, with dropout before its last layer that depends on the seeds alone."""

    def copied(model: "keras.Model", batch: int) -> Callable[..., tf.Tensor]:
        return _dropped(keras.Model(model.input, model.get_layer(DROPOUT).input), model, batch)

    return Student(parts.upper, _dropped(parts.pooled, parts.upper), copied=copied)


def _dropped(pooled: "keras.Model", upper: "keras.Model", batch: int | None = None) -> Callable[..., tf.Tensor]:
    """`Student.forward` of a model, or of a copy that gets some rows of a `batch`."""
    last, rate = upper.get_layer(SCORES), upper.get_layer(DROPOUT).rate

    def forward(maps: tf.Tensor, seeds: tf.Tensor, rows: tf.Tensor = None) -> tuple[tf.Tensor, tf.Tensor]:
        features = pooled(maps, training=False)
        # Drawn for the whole batch, in float32: other precisions draw other numbers.
        ones = tf.ones((batch or tf.shape(features)[0], features.shape[-1]))
        mask = tf.nn.experimental.stateless_dropout(ones, rate, seed=seeds)
        return last(features * tf.cast(mask if rows is None else tf.gather(mask, rows), features.dtype)), features

    return forward


@dataclass(frozen=True)
class TrainingTargets:
    """What is learned from: maps of the training photos, and what to say of them.

    Attributes:
        maps: Maps of the training photos, one or more views of each.
        weights: Weight of each photo in the loss, float32, shape (photos,).
        teach: A teacher, if there is one.
        share: Share of the teacher's scores in the loss.
        temperature: Softmax temperature at which student and teacher are compared.
        reference: Scores of the validation photos that the student should come near, shape (photos, labels), instead of
            being right.
        look: Makes the maps of a batch, if they are not those on disk.
        anchors: Features of the same photos and views that the student's should stay near, if there are any.
        remember: Weight in the loss of one less the cosine between the student's features and those.
    """

    maps: Maps
    weights: Array
    teach: Teach | None = None
    share: float = 0.0
    temperature: float = 1.0
    reference: Array | None = None
    look: Look | None = None
    anchors: Maps | None = None
    remember: float = 0.0


def remembering(targets: TrainingTargets, features: Maps, weight: float) -> TrainingTargets:
    """Targets that hold a student to the features of the network as it is now.

    Cross-entropy keeps of the features what tells the labels apart and gives up the rest, by which a detector tells
    what is foreign. Distilled from the network before, as in Li and Hoiem, "Learning without Forgetting" (2016).

    Args:
        targets: What else is learned.
        features: Features of the same photos and views.
        weight: `Settings.remember`; nothing is held with 0.
    """
    return replace(targets, anchors=features, remember=weight) if weight else targets


class History:
    """Epochs so far, those of an interrupted training included, and its clock."""

    def __init__(self, began: float, epochs: list[Epoch] | None = None) -> None:
        """Continues `epochs`, or starts a training that began when `time.perf_counter` said `began`."""
        self.epochs = epochs or []
        self._start = time.perf_counter() - self.epochs[-1].seconds if epochs else began
        self._marked: float | None = None

    @property
    def seconds(self) -> float:
        """Since training began, in all processes that had a part in it."""
        return time.perf_counter() - self._start

    def mark(self) -> None:
        """Takes the time at which the weights of the next line are there, whatever is done until they are scored."""
        self._marked = self.seconds

    def marked(self) -> float:
        """Seconds as `mark` took them, once; else those of now."""
        seconds, self._marked = self._marked, None
        return self.seconds if seconds is None else seconds


class FineTuner:
    """Trains one phase; can be stopped after any epoch and go on in another process.

    All that is random is drawn from the seed and the epoch or the step, so an interrupted and an uninterrupted training
    see the same; what differs is the order in which the processor's threads add.
    """

    def __init__(
        self,
        student: Student,
        phase: Phase,
        targets: TrainingTargets,
        val: Maps,
        settings: Settings,
        history: History,
        devices: Devices = ONE,
    ) -> None:
        """Prepares training; nothing is trained yet.

        Args:
            student: Network that is trained.
            phase: Phase that this training belongs to.
            targets: Maps and targets to learn from.
            val: Maps to validate on; the first view counts.
            settings: Settings of the recipe.
            history: That the epochs are added to.
            devices: Devices to train on.
        """
        self.student, self.phase = student, phase
        self._lessons, self._val, self._settings, self._history = targets, val, usual_settings(settings), history
        self._devices = devices
        photos = len(targets.maps.photos)
        self._batch = min(settings.batch, photos)
        self._steps = photos // self._batch
        total = max(1, phase.epochs * self._steps)
        # With a warm-up Keras starts at the first argument and decays from `warmup_target`, over the steps behind the
        # warm-up.
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, total * 9 // 10), warmup_target=phase.learning_rate, warmup_steps=max(1, total // 10)
        )
        self._trained = devices.copy(student.model) if devices.copies else student.model
        self._variables = self._trained.trainable_variables
        self._optimizer = devices.optimizer(lambda: keras.optimizers.Adam(rate), self._variables)
        self._checkpoint = tf.train.Checkpoint(model=self._trained, optimizer=self._optimizer)
        self._predict = compiled(student.model, tf.float16)
        self._step = self._compile_step()
        self._kept = student.model.get_weights()

    @property
    def done(self) -> bool:
        """Whether all epochs are through, or too many in a row were not kept."""
        done = sum(epoch.phase == self.phase.name for epoch in self._history.epochs)
        if self.phase.patience is None:
            return done >= self.phase.epochs
        # Epochs since the last one that was kept.
        unkept = next(number for number, epoch in enumerate(reversed(self._history.epochs)) if epoch.kept)
        return done >= self.phase.epochs or unkept >= self.phase.patience

    def start(self) -> None:
        """Notes how good the weights are that the phase starts with."""
        if self.phase.start:
            self._note(self.phase.start, float("nan"))

    def train_epoch(self, track: Track = silently) -> None:
        """Trains for an epoch, which takes one view of each photo, and validates."""
        epoch, settings, targets = len(self._history.epochs), self._settings, self._lessons
        done = sum(entry.phase == self.phase.name for entry in self._history.epochs)
        rng = np.random.default_rng([settings.seed, epoch])
        photos, views = targets.maps.rows.shape
        # What fills no batch is left out of this epoch; the next one's order leaves out others.
        order = rng.permutation(photos)[: self._steps * self._batch].reshape(self._steps, self._batch)
        chosen = rng.integers(0, views, order.shape)
        mixup = (settings.mixup or 0.0) if self.phase.name == "fine-tune" else 0.0
        one_hot = np.eye(self.student.model.output_shape[-1], dtype=np.float32)
        losses = []
        label = f"{self.phase.title}, epoch {done + 1} of {self.phase.epochs}"
        for number in track(range(self._steps), label, self._steps):
            positions = order[number]
            if targets.look:
                maps = targets.look(positions, chosen[number], (settings.seed, len(order) * epoch + number))
            else:
                maps = targets.maps.read(positions, chosen[number]).astype(np.float32)
            hard = one_hot[targets.maps.targets[positions]]
            soft = targets.teach(positions, chosen[number]) if targets.teach else hard
            weights = targets.weights[positions]
            anchors = np.zeros((self._batch, 0), np.float32)
            if targets.anchors:
                anchors = targets.anchors.read(positions, chosen[number]).astype(np.float32)
            parts: tuple[Array, ...] = (maps, hard, soft, anchors, weights)
            if mixup:
                # One share for the whole batch (Zhang and others, "mixup: Beyond Empirical Risk Minimization", ICLR
                # 2018). To go through the network once more for the features of mixed maps took a quarter of the step.
                share, other = np.float32(rng.beta(mixup, mixup)), rng.permutation(self._batch)
                parts = tuple(_mixed(part, other, share) for part in parts)
            step = done * self._steps + number
            self.student.before_step(step)
            losses.append(float(self._step(*parts, tf.constant([settings.seed, step]))))
        self._note(self.phase.name, float(np.mean(losses)))

    def keep_best(self) -> None:
        """Puts the kept weights, the last good ones, into the model."""
        self.student.model.set_weights(self._kept)

    def save(self, folder: Path) -> None:
        """Writes all that `restore` needs into an empty folder.

        Raises:
            OSError: It cannot be written.
        """
        try:
            self._checkpoint.write(str(folder / "newest"))
        except tf.errors.OpError as error:  # not an OSError, of a full disk either
            raise OutputError(f"{folder.parent} cannot be written: {error.message.rpartition('; ')[2]}") from error
        np.savez(folder / "kept.npz", *self._kept)
        (folder / HISTORY_FILE).write_text(json.dumps([asdict(epoch) for epoch in self._history.epochs]))

    def restore(self, folder: Path) -> None:
        """Goes on from what `save` wrote, all but the history."""
        self._checkpoint.read(str(folder / "newest")).assert_existing_objects_matched()
        with np.load(folder / "kept.npz", allow_pickle=False) as kept:
            self._kept = [kept[name] for name in kept.files]

    def _compile_step(self) -> Callable[..., tf.Tensor]:
        student, settings, optimizer = self.student, self._settings, self._optimizer
        forward: Callable[..., tf.Tensor] = student.forward
        if self._devices.copies:
            assert student.copied is not None
            forward = student.copied(self._trained, self._batch)
        share, temperature = self._lessons.share, self._lessons.temperature
        remember = self._lessons.remember if self._lessons.anchors else 0.0

        masks = [
            tf.cast(variable != 0, tf.float32) if student.keep_zeros and variable.shape.rank == 4 else None
            for variable in self._variables
        ]

        def step(
            maps: tf.Tensor,
            hard: tf.Tensor,
            soft: tf.Tensor,
            anchors: tf.Tensor,
            weights: tf.Tensor,
            seeds: tf.Tensor,
            rows: tf.Tensor,
        ) -> tf.Tensor:
            with tf.GradientTape() as tape:
                scores, features = forward(maps, seeds) if rows is None else forward(maps, seeds, rows)
                losses = (1 - share) * keras.losses.categorical_crossentropy(
                    hard, scores, label_smoothing=settings.label_smoothing
                )
                if share:
                    losses += (
                        share
                        # Hinton, Vinyals and Dean (2015), section 2: the gradients of softened scores are smaller by
                        # the square.
                        * temperature**2
                        * keras.losses.categorical_crossentropy(
                            _tempered(soft, temperature), _tempered(scores, temperature)
                        )
                    )
                if remember:
                    losses += remember * _apart(features, anchors)
                # By the rows of the whole batch, not by this replica's, so that the sum over replicas is the mean.
                loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype)) / self._batch
                scaled = optimizer.get_scaled_loss(loss) if self._devices.mixed else loss
            gradients = tape.gradient(scaled, self._variables)
            if self._devices.mixed:
                gradients = optimizer.get_unscaled_gradients(gradients)
            gradients = [
                gradient if mask is None else gradient * mask for gradient, mask in zip(gradients, masks, strict=True)
            ]
            optimizer.apply_gradients(zip(gradients, self._variables, strict=True))  # sums them over all replicas
            return loss

        return self._devices.compiled(step, self._batch)

    def _note(self, name: str, train_loss: float) -> None:
        """Validates. Kept is what is at most one standard error below the best accuracy so far.

        The learning rate falls to zero, so the later of two epochs that validation cannot tell apart is the better one:
        on test photos the last epoch beat that with the best validation loss by 0.3 (flowers) and 0.8 points (cats and
        dogs), means of four and of two splits. With a reference, kept is what has come nearest to it.
        """
        if self._devices.copies:
            self.student.model.set_weights(self._trained.get_weights())
        scores, targets = map_scores(self._predict, self._val), self._val.targets
        reference = self._lessons.reference
        truth = np.eye(scores.shape[1], dtype=np.float32)[targets] if reference is None else reference
        val_loss = round(float(-(truth * np.log(np.clip(scores, 1e-7, 1))).sum(axis=1).mean()), 6)
        share = float((scores.argmax(axis=1) == targets).mean())
        # Workers that round differently must not differ in which epoch they keep or when they end.
        val_loss, share = map(float, self._devices.agreed(np.array([val_loss, share])))
        ours = [epoch for epoch in self._history.epochs if epoch.phase in (self.phase.name, self.phase.start)]
        best = max([epoch.val_accuracy for epoch in ours], default=0.0)
        if self.phase.patience is None:
            kept = True
        elif reference is None:
            kept = share >= best - (best * (1 - best) / len(scores)) ** 0.5
        else:
            kept = val_loss <= min([epoch.val_loss for epoch in ours], default=val_loss)
        if kept:
            self._kept = self.student.model.get_weights()
        number, seconds = len(self._history.epochs), round(self._history.marked(), 2)
        self._history.epochs.append(Epoch(name, number, seconds, round(train_loss, 6), val_loss, round(share, 6), kept))


def read_history(folder: Path) -> list[Epoch]:
    """The epochs that `FineTuner.save` wrote."""
    return [Epoch(**epoch) for epoch in json.loads((folder / HISTORY_FILE).read_text())]


def _mixed(values: Array, other: Positions, share: np.float32) -> Array:
    return share * values + (1 - share) * values[other]


def _tempered(scores: tf.Tensor, temperature: float) -> tf.Tensor:
    """The softmax of the same logits at another temperature."""
    return tf.nn.softmax(tf.math.log(scores + 1e-7) / temperature)


def _apart(features: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """One less the cosine between the features of each row: float32, shape (batch,)."""
    # Keras' similarity is a loss: -1 where both point the same way.
    return 1.0 + keras.losses.cosine_similarity(tf.cast(features, tf.float32), anchors)
