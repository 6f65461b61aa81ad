"""The emulated board as one reaches a real one: OpenSSH, an account, and nothing of the product installed."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

BUSYBOX: Final = "/bin/busybox"
PASSWD: Final = """root:x:0:0:root:/root:/bin/sh
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
pi:x:1000:1000::/tmp/pi:/bin/sh
"""


def serve(shared: Path) -> None:
    """Runs sshd until `shared/done` is there; `shared` has the keys `host` and `authorized`."""
    own = Path("/tmp/etc")
    shutil.copytree("/etc", own, symlinks=True)
    (own / "passwd").write_text(PASSWD)
    (own / "group").write_text("root:x:0:\nnogroup:x:65534:\npi:x:1000:\nvideo:x:44:pi\n")
    subprocess.run([BUSYBOX, "mount", "--bind", str(own), "/etc"], check=True)
    for folder in (Path("/tmp/pi"), Path("/run/sshd")):
        folder.mkdir(mode=0o755)
    shutil.chown("/tmp/pi", 1000, 1000)
    Path("/tmp").chmod(0o1777)
    for device in Path("/dev").glob("video*"):
        device.chmod(0o666)
    for name in ("host", "authorized"):
        shutil.copy(shared / name, f"/run/sshd/{name}")
        Path(f"/run/sshd/{name}").chmod(0o600 if name == "host" else 0o644)
    settings = ["HostKey /run/sshd/host", "AuthorizedKeysFile /run/sshd/authorized", "UsePAM no", "StrictModes no"]
    config = Path("/run/sshd/config")
    config.write_text("\n".join(settings) + "\n")
    with subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]) as process:
        (shared / "ready").touch()
        while not (shared / "done").exists() and process.poll() is None:
            time.sleep(0.5)
        process.terminate()


if __name__ == "__main__":
    serve(Path("ssh"))
