import unicodedata
from pathlib import Path

from edge_core import InputSpec, ModelCard
from edge_core.data.photo_folder import Photo
from edge_core.run_folder import CARD_FILE, MODEL_FILE, read_run, write_photos


def test_labels_of_an_older_run_are_those_of_its_card_however_a_disk_had_them(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != apart
    (tmp_path / MODEL_FILE).touch()
    (tmp_path / CARD_FILE).write_text(ModelCard(labels=(apart, "tea"), input=InputSpec(8, 8)).to_text(), "utf-8")
    photo = Photo(tmp_path / apart / "1.jpg", apart, 64 * "0")
    write_photos(tmp_path, {"train": [photo], "val": [], "test": []})
    run = read_run(tmp_path)
    (read,) = run.splits["train"]
    assert run.card.labels == (composed, "tea")
    assert run.label_number(read.label) == 0
    assert read.path == photo.path  # where the file is, the disk says
