"""What a project has published, served to boards: signed metadata and signed files by The Update Framework.

Boards show no token, so the address holds a secret instead: who does not know it is told nothing.
"""

import hmac
import secrets
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from edge_core.files import written_whole
from edge_studio.project import Project, is_project_name

PREFIX: Final = "/updates/"

_SECRET_FILE: Final = "updates.secret"
_FOLDERS: Final = ("metadata", "targets")


class UpdateSite:
    """An ASGI application for GET /updates/SECRET/PROJECT/metadata/... and .../targets/...

    Attributes:
        projects: Folder of the projects.
    """

    def __init__(self, projects: Path, state: Path) -> None:
        """Names the folders.

        Args:
            projects: Folder of the projects.
            state: Folder of what the studio has to remember; the secret is made there when it is first needed.
        """
        self.projects, self._file = projects, state / _SECRET_FILE

    def path_of(self, project: Project) -> str:
        """Path below the studio's address that boards look for updates at."""
        return f"{PREFIX}{self._secret(make=True)}/{quote(project.name)}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request of a board."""
        found = self._find(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        answer = FileResponse(found) if found else Response(status_code=404)
        await answer(scope, receive, send)

    def _find(self, path: str) -> Path | None:
        """The file that a path means; None if there is none, or the secret is not right."""
        secret, _, rest = path.removeprefix(PREFIX).partition("/")
        expected = self._secret(make=False)
        # In constant time: how long it takes must not tell how much of the secret was right.
        if not expected or not hmac.compare_digest(secret.encode(), expected.encode()):
            return None
        name, _, inside = rest.partition("/")
        if not is_project_name(name) or inside.partition("/")[0] not in _FOLDERS:
            return None
        site = Project(self.projects, name).updates.resolve()
        try:
            # Resolved before it is compared, so that neither .. nor a link leads out of the folder.
            file = (site / inside).resolve()
            return file if file.is_relative_to(site) and file.is_file() else None
        except (OSError, ValueError):  # a name that no disk takes
            return None

    def _secret(self, make: bool) -> str:
        try:
            return self._file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            if not make:
                return ""
        made = secrets.token_urlsafe(32)
        with written_whole(self._file, durable=True) as beside:
            # For the owner alone from its first byte.
            beside.touch(0o600)
            beside.write_text(made + "\n", "ascii")
        return made
