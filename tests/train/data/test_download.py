"""Archives from a server on this machine: resumed, checked, unpacked with care, and refused in one clear line."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from edge_core.errors import DatasetError
from edge_train.data import download
from edge_train.data.catalog import NAMED_SETS, NamedSet, obtain
from edge_train.data.download import fetch, unpack


@dataclass
class Server:
    """What is served, how, and what was asked for.

    Attributes:
        data: of the one file there is.
        ranges: whether a part of it can be asked for.
        cut: bytes after which each answer breaks off; 0 for never.
        asked: the Range header of each request, or empty.
        length: the length that is told; empty for the true one.
    """

    data: bytes = b""
    ranges: bool = True
    cut: int = 0
    asked: list[str] = field(default_factory=list)
    url: str = ""
    length: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            if self.path != "/set.tgz":
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start >= len(state.data) > 0 and start:
                self.send_error(416)
                return
            part = state.data[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", state.length or str(len(part)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.data) - 1}/{len(state.data)}")
            self.end_headers()
            self.wfile.write(part[: state.cut or None])

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/set.tgz"
        Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        http.shutdown()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(*members: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                packed.addfile(content)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                packed.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def link(name: str, target: str) -> tuple[str, tarfile.TarInfo]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return name, entry


PHOTOS = tar(("set/a/1.jpg", b"one"), ("set/b/2.jpg", b"two" * 1000), ("set/notes.txt", b"not wanted"))


def place(member: str) -> str | None:
    return member.removeprefix("set/") if member.endswith(".jpg") else None


def tiny_set(server: Server, data: bytes = PHOTOS) -> NamedSet:
    server.data = data
    return NamedSet("tiny", server.url, sha256(data), "this test", 1, "public domain", place)


def test_a_set_is_downloaded_unpacked_and_kept(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    folder = obtain(tiny_set(server), tmp_path, say=said.append)
    assert (folder / "a" / "1.jpg").read_bytes() == b"one"
    assert {path.name for path in folder.iterdir()} == {"a", "b", "ABOUT.txt"}
    assert "public domain" in (folder / "ABOUT.txt").read_text()
    assert said == ["tiny: public domain"]
    assert not list((tmp_path / "downloads").iterdir()), "the archive is not needed any more"
    assert obtain(tiny_set(server), tmp_path) == folder
    assert len(server.asked) == 1


def test_a_set_that_is_there_is_used_as_it_is(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data" / "tiny" / "a").mkdir(parents=True)
    assert obtain(tiny_set(server), tmp_path, tmp_path / "data") == tmp_path / "data" / "tiny"
    assert server.asked == []
    with pytest.raises(DatasetError, match="has no tiny/"):
        obtain(tiny_set(server), tmp_path, tmp_path)


def test_an_interrupted_download_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.data = bytes(range(256)) * 4000
    (tmp_path / "set.tgz.part").write_bytes(server.data[:700_000])
    fetch(server.url, tmp_path / "set.tgz", sha256(server.data))
    assert server.asked == ["bytes=700000-"]
    assert (tmp_path / "set.tgz").read_bytes() == server.data
    assert not (tmp_path / "set.tgz.part").exists()


def test_a_connection_that_breaks_again_and_again_still_gets_there(server: Server, tmp_path: Path) -> None:
    server.data, server.cut = bytes(range(256)) * 40, 3000
    fetch(server.url, tmp_path / "set.tgz", sha256(server.data))
    assert server.asked == ["", "bytes=3000-", "bytes=6000-", "bytes=9000-"]
    assert (tmp_path / "set.tgz").read_bytes() == server.data


def test_a_server_that_cannot_resume_starts_again(server: Server, tmp_path: Path) -> None:
    server.data, server.ranges = b"whole" * 1000, False
    (tmp_path / "set.tgz.part").write_bytes(b"who")
    fetch(server.url, tmp_path / "set.tgz", sha256(server.data))
    assert (tmp_path / "set.tgz").read_bytes() == server.data


def test_a_length_that_is_no_number_is_none(server: Server, tmp_path: Path) -> None:
    server.data, server.length = b"whole" * 1000, "many"
    fetch(server.url, tmp_path / "set.tgz", sha256(server.data))
    assert (tmp_path / "set.tgz").read_bytes() == server.data


def test_a_part_that_is_whole_already_is_only_checked(server: Server, tmp_path: Path) -> None:
    server.data = b"whole"
    (tmp_path / "set.tgz.part").write_bytes(server.data)
    fetch(server.url, tmp_path / "set.tgz", sha256(server.data))
    assert (tmp_path / "set.tgz").read_bytes() == server.data


def test_other_content_is_thrown_away(server: Server, tmp_path: Path) -> None:
    known = tiny_set(server)
    server.data = b"something else"
    with pytest.raises(DatasetError, match=r"has the SHA-256 .*--data-dir DIR"):
        obtain(known, tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize(("address", "reason"), [("/other.tgz", "404"), ("nowhere", "refused")])
def test_no_server_and_no_file_are_one_clear_line(
    server: Server, tmp_path: Path, address: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    url = server.url.replace("/set.tgz", address) if address != "nowhere" else "http://127.0.0.1:1/set.tgz"
    with pytest.raises(DatasetError, match=rf"{reason}.*tiny/CLASS/, say --data-dir DIR") as error:
        obtain(NamedSet("tiny", url, "", "", 1, "", place), tmp_path)
    assert "\n" not in str(error.value)


def test_two_downloads_of_one_file_do_not_mix(server: Server, tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "set.tgz.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DatasetError, match="another process"):
            fetch(server.url, tmp_path / "set.tgz", "")


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return archive.getvalue()


def zip_link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tar(("set/../../evil.jpg", b"x")), "leads out"),
        (tar(("/etc/evil.jpg", b"x")), "leads out"),
        (tar(link("set/a/1.jpg", "/etc/passwd")), "is a link"),
        (zipped(("set/../../evil.jpg", b"x")), "leads out"),
        (zipped((zip_link("set/a/1.jpg"), b"/etc/passwd")), "is a link"),
        (tar(("set/a/1.jpg", b"x"), ("set/a/1.jpg", b"y")), "twice"),
        (tar(("set/a/1.jpg", bytes(5000))), "unpacks to more than"),
        (PHOTOS[: len(PHOTOS) // 2], "damaged or truncated"),
        (zipped(("set/a/1.jpg", b"x" * 500))[:-30], "damaged or truncated"),
        (b"no archive", "damaged or truncated"),
        (tar(("set/readme.txt", b"x")), "nothing that is wanted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "archive",  # bytes with a time in them are no name
)
def test_an_archive_that_is_hostile_or_damaged_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str
) -> None:
    monkeypatch.setattr(download, "MAX_UNPACKED_BYTES", 4000)
    cache = tmp_path / "deep" / "cache"
    with pytest.raises(DatasetError, match=reason):
        obtain(tiny_set(server, data), cache)
    assert not (cache / "datasets" / "tiny").exists()
    assert not list(tmp_path.rglob("evil*"))


def test_a_link_into_a_folder_is_not_followed(tmp_path: Path) -> None:
    """A link that nobody wants, and a file through it."""
    archive = tmp_path / "set.tgz"
    archive.write_bytes(tar(link("set/a", str(tmp_path / "outside")), ("set/a/1.jpg", b"x")))
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside").mkdir()
    unpack(archive, tmp_path / "inside", place, label="Unpacking")
    assert (tmp_path / "inside" / "a" / "1.jpg").read_bytes() == b"x"
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize(
    ("name", "member", "path"),
    [
        ("flowers", "flower_photos/roses/1_n.jpg", "roses/1_n.jpg"),
        ("flowers", "./flower_photos/LICENSE.txt", "LICENSE.txt"),
        ("flowers", "flower_photos/roses/../../evil.jpg", None),
        ("cats_dogs", "PetImages/Cat/7.jpg", "cat/7.jpg"),
        ("cats_dogs", "PetImages/Cat/Thumbs.db", None),
        ("cats_dogs", "MSR-LA - 3467.docx", "MSR-LA - 3467.docx"),
        (
            "oxford_pets",
            "images/american_pit_bull_terrier_12.jpg",
            "american_pit_bull_terrier/american_pit_bull_terrier_12.jpg",
        ),
        ("oxford_pets", "images/Abyssinian_100.mat", None),
        ("oxford_pets", "images/._Abyssinian_1.jpg", None),
    ],
)  # fmt: skip
def test_members_go_into_class_folders(name: str, member: str, path: str | None) -> None:
    assert NAMED_SETS[name].place(member) == path


def test_named_sets_are_pinned() -> None:
    for known in NAMED_SETS.values():
        assert known.url.startswith("https://")
        assert len(bytes.fromhex(known.sha256)) == 32
