"""What TensorBoard would read of a run."""

from pathlib import Path

from edge_keras.tf import tf
from edge_train.evaluation.history import Epoch
from edge_train.evaluation.tensorboard import write_scalars


def test_every_number_of_every_epoch_is_there(tmp_path: Path) -> None:
    history = [
        Epoch("head", 0, 1.0, float("nan"), 0.5, 0.75, True),
        Epoch("fine-tune", 1, 2.0, 0.25, 0.5, 0.75, True),
    ]
    write_scalars(tmp_path / "tensorboard", history)
    (file,) = (tmp_path / "tensorboard").iterdir()
    scalars = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            scalars[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert scalars == {
        ("seconds", 0): 1.0,
        ("val_loss", 0): 0.5,
        ("val_accuracy", 0): 0.75,
        ("seconds", 1): 2.0,
        ("train_loss", 1): 0.25,
        ("val_loss", 1): 0.5,
        ("val_accuracy", 1): 0.75,
    }
