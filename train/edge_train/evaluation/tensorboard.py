"""The training history as TensorBoard shows it; writing it needs no TensorBoard."""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from edge_keras.tf import tf
from edge_train.evaluation.history import Epoch


def write_scalars(folder: Path, history: Sequence[Epoch]) -> None:
    """Writes the numbers of each epoch as scalars into an event file in `folder`; what is not a number is left out."""
    kind = tf.compat.v1.SummaryMetadata()  # as `tf.summary.scalar` writes it, which has to have TensorBoard installed
    kind.plugin_data.plugin_name = "scalars"
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for epoch in history:
            for field in fields(Epoch):
                value = getattr(epoch, field.name)
                if isinstance(value, float) and not math.isnan(value):
                    tf.summary.write(field.name, tf.constant(value, tf.float32), step=epoch.epoch, metadata=kind)
    writer.close()
