"""Adversarial pictures: changes within a budget that make a network say something else.

FGSM (Goodfellow, Shlens and Szegedy, ICLR 2015) is one step along the sign of the loss's gradient, PGD (Madry and
others, ICLR 2018) many small ones from a random start, each brought back into the budget. Everything is in gray levels
0..255, and what comes out are whole levels within the budget: a picture that can be a file, and that a camera's file
could be.

Steps follow the margin between logits (Carlini and Wagner, IEEE S&P 2017), not the cross-entropy of the scores: where a
network is sure, a softmax in float32 has no gradient left, and an attack that sees none seems to meet a robust network.

Written here: foolbox 3.3.4 and adversarial-robustness-toolbox 1.20.1 work with TensorFlow 2.21 and tf_keras when they
are given logits (flowers, epsilon 1, 10 steps: 3 of 20 photos withstand either of them, 1 withstands this), but know no
whole levels, and are loops in Python, which cannot be part of a training step's graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from edge_core.errors import SettingsError
from edge_core.progress import Track, silently
from edge_keras.tf import keras, tf

Norm = Literal["linf", "l2"]
Logits = Callable[["tf.Tensor"], "tf.Tensor"]
"""From pixels, float32 of shape (batch, height, width, 3), levels 0..255, to logits of shape (batch, labels)."""
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

STEPS: Final = 20
LEVELS: Final = 255
"""Of gray. A budget far beyond them would not be an attack but noise: every start and every step ends at black or
white."""

BATCH: Final = 32
_HALVINGS: Final = 12
"""That find how much of a change survives rounding in an L2 budget, to 1/4096 of it."""


@dataclass(frozen=True)
class Attack:
    """How far from the original, and how it is searched there.

    Attributes:
        epsilon: The budget in gray levels. `linf`: the most that a channel of a pixel may change by; of a fraction only
            the whole levels count. `l2`: the most that the Euclidean length of the whole change may be.
        norm: What the budget bounds.
        steps: Along the gradient.
        step_size: Size of each step in gray levels: under `linf` what every channel moves by, under `l2` the length
            of the step.
        random_start: Whether to begin at a random place in the budget, or at the original.
        restarts: Number of random starts, of which the best result counts.
    """

    epsilon: float
    norm: Norm
    steps: int
    step_size: float
    random_start: bool
    restarts: int = 1

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise SettingsError(f"no norm is called {self.norm!r}; there are {', '.join(get_args(Norm))}")
        if not 1 <= self.epsilon < np.inf:
            raise SettingsError(f"an epsilon is 1 gray level or more, not {self.epsilon:g}: pictures hold no fractions")
        if self.norm == "linf" and self.epsilon > LEVELS:
            raise SettingsError(
                f"an epsilon is {LEVELS} gray levels at most, not {self.epsilon:g}: pictures have no more"
            )
        if self.steps < 1 or self.restarts < 1 or not 0 < self.step_size < np.inf:
            raise SettingsError(
                f"an attack has one step of some size and one start at least, not {self.steps} of {self.step_size:g} "
                f"and {self.restarts}"
            )


def fgsm(epsilon: float, norm: Norm = "linf", *, random_start: bool = False) -> Attack:
    """One step as long as the budget; from a random start 1.25 times as long, as Wong, Rice and Kolter (ICLR 2020)
    train."""
    return Attack(epsilon, norm, 1, 1.25 * epsilon if random_start else epsilon, random_start)


def pgd(epsilon: float, norm: Norm = "linf", *, steps: int = STEPS, restarts: int = 1) -> Attack:
    """Steps that could cross 2.5 times the budget, as Madry's own code has it, so that any corner can be reached."""
    return Attack(epsilon, norm, steps, 2.5 * epsilon / max(steps, 1), True, restarts)


def logits_of(model: "keras.Model") -> Logits:
    """What a classifier says before its softmax, through the model's own weights: if they change, this does.

    Dropout is off and statistics are frozen.

    Raises:
        SettingsError: It ends in something else than a softmax or logits.
    """
    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return _inference(keras.Model(model.input, last.input))
    if (activation := getattr(last, "activation", None)) is keras.activations.linear:
        return _inference(model)
    if activation is not keras.activations.softmax:
        raise SettingsError(f"{model.name} ends in {last.name}, which is neither a softmax nor logits")
    before = _inference(keras.Model(model.input, last.input))
    if isinstance(last, keras.layers.Activation):
        return before
    return lambda pixels: tf.linalg.matmul(before(pixels), last.kernel) + last.bias


def _inference(model: "keras.Model") -> Logits:
    return lambda pixels: model(pixels, training=False)


def margin(logits: "tf.Tensor", labels: "tf.Tensor") -> "tf.Tensor":
    """By how much the logit of each label exceeds the best other one; shape (batch,)."""
    # The label's own logit is put to minus infinity, so that the largest one is another's.
    own = tf.one_hot(labels, tf.shape(logits)[1], on_value=True, off_value=False)
    return tf.reduce_sum(tf.where(own, logits, 0.0), axis=1) - tf.reduce_max(tf.where(own, -np.inf, logits), axis=1)


def perturb(
    logits: Logits,
    pixels: "tf.Tensor",
    labels: "tf.Tensor",
    attack: Attack,
    seed: "tf.Tensor",
    *,
    targeted: bool = False,
) -> "tf.Tensor":
    """One start of an attack on a batch, in TensorFlow alone: within a `tf.function` or without.

    Args:
        logits: Function from pixels to the network's logits, as `logits_of` makes it.
        pixels: float32, shape (batch, height, width, 3), whole levels 0..255.
        labels: int32 or int64, shape (batch,): what is right, or what is wished for if `targeted`.
        attack: Its `restarts` are up to the caller.
        seed: Two integers; the same ones give the same start.
        targeted: Whether the labels are to be reached or to be left.

    Returns:
        Float32 like `pixels`, whole levels 0..255 within the budget; no gradient flows through it.
    """
    direction = 1.0 if targeted else -1.0

    def step(number: "tf.Tensor", change: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        with tf.GradientTape() as tape:
            tape.watch(change)
            gained = direction * margin(logits(pixels + change), labels)
        # That of an imported graph has no batch size, and a loop's variable must keep its shape.
        gradient = tf.ensure_shape(tape.gradient(gained, change), change.shape)
        if attack.norm == "linf":
            moved = change + attack.step_size * tf.sign(gradient)
        else:
            # The bound keeps a gradient of zeros, which has no direction, from becoming NaN.
            moved = change + attack.step_size * gradient / tf.maximum(_length(gradient), 1e-30)
        return number + 1, _inside(moved, pixels, attack)

    start = tf.zeros_like(pixels)
    if attack.random_start:
        start = _inside(_anywhere(tf.shape(pixels), attack, seed), pixels, attack)
    _, change = tf.while_loop(
        lambda number, _: number < attack.steps, step, (tf.constant(0), start), maximum_iterations=attack.steps
    )
    return tf.stop_gradient(pixels + _rounded(change, attack))


def attack_pictures(
    logits: Logits,
    pixels: Pixels,
    labels: Labels,
    attack: Attack,
    *,
    targeted: bool = False,
    seed: int = 0,
    track: Track = silently,
) -> Pixels:
    """Adversarial pictures, the best of all restarts each; those that are fooled already are not started again.

    Args:
        logits: Function from pixels to the network's logits, as `logits_of` makes it.
        pixels: uint8, shape (pictures, height, width, 3), as `edge_core.preprocess` makes them.
        labels: Shape (pictures,): what is right, or what is wished for if `targeted`.
        attack: What to do.
        targeted: Whether the labels are to be reached or to be left.
        seed: Random seed for the starts.
        track: Receives the progress of each step.

    Returns:
        Uint8 like `pixels`, within the budget.
    """

    def attacked(batch: "tf.Tensor", wanted: "tf.Tensor", start: "tf.Tensor") -> tuple["tf.Tensor", "tf.Tensor"]:
        found = perturb(logits, batch, wanted, attack, start, targeted=targeted)
        return found, (1.0 if targeted else -1.0) * margin(logits(found), wanted)

    longest = LEVELS * pixels[0].size ** 0.5 if len(pixels) else np.inf
    if attack.norm == "l2" and attack.epsilon > longest:
        raise SettingsError(f"from black to white is a change of {longest:.0f} gray levels, not {attack.epsilon:g}")
    compiled = tf.function(attacked, reduce_retracing=True, autograph=False)
    best, gained = pixels.copy(), np.full(len(pixels), -np.inf, np.float32)
    work = [(restart, first) for restart in range(attack.restarts) for first in range(0, len(pixels), BATCH)]
    for restart, first in track(work, "Attacking", len(work)):
        members = np.arange(first, min(first + BATCH, len(pixels)))
        # Above 0 the picture is fooled already.
        members = members[gained[members] <= 0]
        if members.size:
            # Another seed for each batch of each restart.
            start = tf.constant([seed, restart * len(pixels) + first], tf.int32)
            found, gain = (
                part.numpy() for part in compiled(pixels[members].astype(np.float32), labels[members], start)
            )
            better = gain > gained[members]
            best[members[better]], gained[members[better]] = found[better].astype(np.uint8), gain[better]
    return best


def largest_change(pixels: Pixels, changed: Pixels, norm: Norm) -> float:
    """How far two pictures are from each other, in gray levels as `Attack.epsilon` counts them."""
    change = changed.astype(np.float64) - pixels
    return float(np.abs(change).max() if norm == "linf" else np.sqrt((change**2).sum()))


def _anywhere(shape: "tf.Tensor", attack: Attack, seed: "tf.Tensor") -> "tf.Tensor":
    """A random place in the budget; of the L2 ball's places nearly all are near its surface, as this one is."""
    if attack.norm == "linf":
        return tf.random.stateless_uniform(shape, seed, -attack.epsilon, attack.epsilon)
    direction = tf.random.stateless_normal(shape, seed)
    return attack.epsilon * direction / _length(direction)


def _inside(change: "tf.Tensor", pixels: "tf.Tensor", attack: Attack) -> "tf.Tensor":
    """The nearest change within the budget, then within 0..255, which only makes it smaller."""
    if attack.norm == "linf":
        change = tf.clip_by_value(change, -attack.epsilon, attack.epsilon)
    else:
        change *= tf.minimum(1.0, attack.epsilon / tf.maximum(_length(change), 1e-30))
    return tf.clip_by_value(change, -pixels, 255 - pixels)


def _rounded(change: "tf.Tensor", attack: Attack) -> "tf.Tensor":
    """Whole levels that are still within the budget.

    In an L2 ball of many small changes rounding to the nearest level leads out of it, and rounding towards zero leaves
    nothing of them. So the change is shrunk until it fits when rounded.
    """
    if attack.norm == "linf":
        whole = float(np.floor(attack.epsilon))
        return tf.clip_by_value(tf.round(change), -whole, whole)

    def halved(number: "tf.Tensor", low: "tf.Tensor", high: "tf.Tensor") -> tuple["tf.Tensor", ...]:
        middle = (low + high) / 2
        fits = _length(tf.round(middle * change)) <= attack.epsilon
        return number + 1, tf.where(fits, middle, low), tf.where(fits, high, middle)

    low, high = tf.zeros_like(_length(change)), tf.ones_like(_length(change))
    _, low, _ = tf.while_loop(lambda number, *_: number < _HALVINGS, halved, (tf.constant(0), low, high))
    whole = tf.round(change)
    return tf.where(_length(whole) <= attack.epsilon, whole, tf.round(low * change))


def _length(change: "tf.Tensor") -> "tf.Tensor":
    """Euclidean, of each picture; shape (batch, 1, 1, 1)."""
    return tf.sqrt(tf.reduce_sum(tf.square(change), axis=(1, 2, 3), keepdims=True))
