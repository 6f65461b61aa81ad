"""JPEGs in a stream of bytes, and standard input, which is one."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_core.errors import SourceError
from edge_device.sources import StandardInput, open_source
from edge_device.sources.jpegs import MAX_BYTES, UNREADABLE_IN_A_ROW, JpegDecoder, JpegSplitter

from ...programs import Started


def jpeg(level: int = 99, height: int = 48, width: int = 64, *flags: int) -> bytes:
    """Of one gray level, with noise in the lower half."""
    frame = np.full((height, width, 3), level, np.uint8)
    frame[height // 2 :] = np.random.default_rng(level).integers(0, 256, (height - height // 2, width, 3))
    return cv2.imencode(".jpg", frame, list(flags))[1].tobytes()


def with_thumbnail(picture: bytes) -> bytes:
    """With an EXIF segment that has a whole JPEG in it."""
    segment = b"Exif\0\0" + jpeg(1, 8, 8)
    return picture[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2) + segment + picture[2:]


PICTURES = [
    jpeg(10),
    jpeg(20, 33, 17, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    with_thumbnail(jpeg(30)),
    jpeg(40, 48, 64, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    jpeg(50, 8, 8),
]

# Without FF: what looks like the beginning of a JPEG is taken for one.
garbage = st.binary(max_size=99).map(lambda data: data.replace(b"\xff", b"\xfe")) | st.just(b"\xff" * 9)
parts = st.lists(st.tuples(garbage, st.sampled_from(PICTURES)), max_size=6)


@given(parts, st.lists(st.integers(1, 3000), min_size=1))
def test_pictures_come_out_whole_whatever_is_between_them_and_however_they_arrive(
    stream: list[tuple[bytes, bytes]], sizes: list[int]
) -> None:
    data = io.BytesIO(b"".join(before + picture for before, picture in stream))
    splitter = JpegSplitter()
    found = []
    number = 0
    while chunk := data.read(sizes[number % len(sizes)]):
        found += splitter.feed(chunk)
        number += 1
    assert found == [picture for _, picture in stream]
    assert splitter.damaged == 0


@given(st.data())
def test_a_picture_that_is_cut_costs_no_other_and_ends_where_the_next_begins(data: st.DataObject) -> None:
    cut = data.draw(st.sampled_from(PICTURES))
    # Within the scan: a cut inside a segment takes as many bytes of the next picture as the segment lacks.
    length = data.draw(st.integers(cut.rindex(b"\xff\xda") + 14, len(cut) - 3))
    splitter = JpegSplitter()
    found = splitter.feed(PICTURES[0] + cut[:length] + b"\r\n--next\r\n\r\n" + PICTURES[4] + PICTURES[0])
    rest = b"\r\n--next\r\n\r\n"
    assert found == [PICTURES[0], cut[:length] + rest, PICTURES[4], PICTURES[0]]
    assert JpegSplitter("next").feed(cut[:length] + rest + PICTURES[4]) == [cut[:length], PICTURES[4]]


@given(st.sampled_from(PICTURES), st.data(), st.integers(1, 999))
def test_a_part_that_is_cut_in_its_header_takes_nothing_of_the_next(
    whole: bytes, data: st.DataObject, size: int
) -> None:
    length = data.draw(st.integers(4, whole.index(b"\xff\xda")))
    head = b"\r\n--xx\r\n\r\n"
    stream = head + whole[:length] + head + whole + head + whole[:length] + head + whole
    splitter = JpegSplitter("xx")
    found = [picture for at in range(0, len(stream), size) for picture in splitter.feed(stream[at : at + size])]
    assert found == [whole, whole]
    assert splitter.damaged == 2


@given(st.lists(st.sampled_from(PICTURES), min_size=1, max_size=5), st.integers(1, 999))
def test_each_part_of_a_multipart_stream_is_a_picture_with_or_without_its_end(pictures: list[bytes], size: int) -> None:
    head = b"\r\n--xx\r\nContent-Type: image/jpeg\r\n\r\n"
    data = b"".join(head + picture[:-2] for picture in pictures) + head
    splitter = JpegSplitter("--xx")
    found = [picture for at in range(0, len(data), size) for picture in splitter.feed(data[at : at + size])]
    assert found == [picture[:-2] for picture in pictures]
    assert splitter.damaged == 0
    decoder = JpegDecoder("camera")
    for cut, whole in zip(found, pictures, strict=True):
        one, other = decoder.decode(cut), decoder.decode(whole)
        assert one is not None and other is not None and np.array_equal(one, other)
    assert decoder.unreadable == 0


@given(st.lists(st.binary(max_size=500) | st.sampled_from([b"\xff", b"\xff\xd8\xff", b"\xff\xda\0\2"]), max_size=20))
def test_any_bytes_are_survived_and_little_is_kept(chunks: list[bytes]) -> None:
    splitter = JpegSplitter()
    for chunk in chunks:
        for found in splitter.feed(chunk):
            assert found.startswith(b"\xff\xd8\xff")
    splitter.feed(b"\0" * 99999)
    splitter.feed(b"\0" * 99999)
    assert splitter.feed(PICTURES[0] + PICTURES[1])[-1:] == [PICTURES[1]]


def test_a_picture_without_end_and_one_without_bounds_are_dropped() -> None:
    splitter = JpegSplitter()
    scan = PICTURES[0][: PICTURES[0].index(b"\xff\xda") + 14]
    splitter.feed(scan)
    for _ in range(MAX_BYTES // (1 << 20) + 1):
        splitter.feed(b"\0" * (1 << 20))
    assert splitter.damaged == 1
    assert splitter.feed(PICTURES[1]) == [PICTURES[1]]
    vast = bytearray(PICTURES[0])
    at = vast.index(b"\xff\xc0")
    vast[at + 5 : at + 9] = b"\xff\xff\xff\xff"  # 65535 x 65535
    assert splitter.feed(bytes(vast) + PICTURES[4]) == [PICTURES[4]]
    assert splitter.damaged == 2


def test_a_run_of_ff_takes_no_longer_than_other_bytes() -> None:
    splitter = JpegSplitter()
    for _ in range(64):
        assert splitter.feed(b"\xff\xd8" + b"\xff" * (1 << 16)) == []


def test_a_picture_without_huffman_tables_is_decoded() -> None:
    """USB cameras leave them out: they are those of ITU-T T.81, K.3."""
    whole = jpeg()
    bare, at = whole[:2], 2
    while whole[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(whole[at + 2 : at + 4])
        bare += whole[at:end] if whole[at + 1] != 0xC4 else b""
        at = end
    bare += whole[at:]
    assert len(bare) < len(whole)
    frame, expected = JpegDecoder("camera").decode(bare), JpegDecoder("camera").decode(whole)
    assert frame is not None
    assert expected is not None
    assert np.array_equal(frame, expected)


def test_damaged_pictures_are_passed_over_until_there_are_too_many() -> None:
    decoder = JpegDecoder("camera 7")
    for _ in range(3):
        for _ in range(UNREADABLE_IN_A_ROW - 1):
            assert decoder.decode(PICTURES[0][: len(PICTURES[0]) // 2]) is None
        assert decoder.decode(PICTURES[0]) is not None
    with pytest.raises(SourceError, match=r"camera 7 gives damaged pictures only.*truncated"):
        for _ in range(UNREADABLE_IN_A_ROW):
            decoder.decode(PICTURES[0][: len(PICTURES[0]) // 2])
    assert decoder.unreadable == 4 * UNREADABLE_IN_A_ROW - 3


def test_pictures_that_lack_their_end_are_counted_and_no_reason_to_drop_a_camera() -> None:
    decoder = JpegDecoder("camera")
    for missing in range(2 * UNREADABLE_IN_A_ROW):
        assert decoder.decode(PICTURES[missing % 3][: -2 - missing % 5]) is not None
    assert decoder.decode(PICTURES[0]) is not None
    assert (decoder.cut, decoder.unreadable) == (2 * UNREADABLE_IN_A_ROW, 0)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; the test closes the one that is written to."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_a_file_gives_every_picture_and_counts_the_damaged(tmp_path: Path) -> None:
    path = tmp_path / "frames.mjpeg"
    path.write_bytes(
        b"noise"
        + b"".join(jpeg(level) for level in range(0, 250, 10))
        + jpeg()[: len(jpeg()) // 2]
        + jpeg(7)
        + b"\xff\xd8"
    )
    with path.open("rb") as file:
        source = StandardInput(covering=24, descriptor=file.fileno())
        assert not source.live
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(26))
    levels = [int(frame.image[0, 0, 0]) for frame in frames]
    assert np.abs(np.array(levels) - [*range(0, 250, 10), 7]).max() <= 2
    assert {frame.image.shape for frame in frames} == {(24, 32, 3)}
    assert source.unreadable == 1


def test_a_pipe_gives_the_newest_picture(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], jpeg(10) + jpeg(20) + jpeg(30)[:100])
    source = StandardInput(descriptor=pipe[0])
    assert source.live
    frames = iter(source)
    assert next(frames).image[0, 0, 0] == pytest.approx(20, abs=2)
    os.write(pipe[1], jpeg(30)[100:])
    assert next(frames).image[0, 0, 0] == pytest.approx(30, abs=2)
    os.close(pipe[1])
    assert list(frames) == []


def test_a_pipe_that_stays_silent_can_be_closed(pipe: tuple[int, int]) -> None:
    source = StandardInput(descriptor=pipe[0])
    threading.Timer(0.1, source.close).start()
    start = time.monotonic()
    assert list(source) == []
    assert time.monotonic() - start < 50
    os.close(pipe[1])


def test_a_stream_without_pictures_is_refused(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"RIFF and so on")
    os.close(pipe[1])
    with pytest.raises(SourceError, match="without a JPEG"):
        list(StandardInput(descriptor=pipe[0]))


def test_standard_input_is_read_where_a_source_is_named() -> None:
    program = (
        "from edge_device.sources import open_source\n"
        "with open_source('-') as source:\n"
        "    for frame in source: print(frame.source, frame.index, *frame.image.shape, flush=True)"
    )
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with Started[bytes](command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin
        assert process.stdout
        for number in range(3):
            process.stdin.write(b"\r\n--part\r\n" + jpeg(number))
            process.stdin.flush()
            assert process.stdout.readline().decode().split() == ["-", str(number), "48", "64", "3"]
        process.stdin.close()
        assert process.wait(180) == 0


def test_a_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="closed"), open_source("-") as source:
        list(islice(source, 1))
