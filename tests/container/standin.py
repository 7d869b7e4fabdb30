"""The stand-in for WhatsApp Web in a container of its own, whose network the service's containers share.

It has no network but its loopback, and so neither do they: what these tests see reaches nothing outside.
"""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

from tests.harness.waiting import wait_until

from .engine import Engine, EngineError

REPOSITORY = Path(__file__).parents[2]
PORT = 8000
_CALL = """
import json, sys
from tests.whatsapp_web.control_client import ControlClient
name, arguments = json.loads(sys.stdin.read())
print(json.dumps(ControlClient({port}).call(name, **arguments)))
"""


class StandIn:
    """A context manager. Its Python and its web server are the image's own; what these lack is lent from here."""

    url = f"http://127.0.0.1:{PORT}/"

    def __init__(self, engine: Engine, image: str, name: str, folder: Path) -> None:
        self._engine = engine
        self._image = image
        self.name = name
        self._folder = folder

    def __enter__(self) -> "StandIn":
        self._lend()
        mount = ["--volume", f"{self._folder}:/stand-in:ro", "--env", "PYTHONPATH=/stand-in", "--workdir", "/stand-in"]
        command = ["python", "-m", "tests.whatsapp_web", "--port", str(PORT), "--keepalive-s", "2"]
        self._engine.run(self.name, self._image, ["--network", "none", *mount], command)
        wait_until(lambda: '"port"' in self._engine.logs(self.name), 90, "the stand-in listens", every_s=0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.remove(self.name)

    def call(self, name: str, **arguments: Any) -> Any:
        """A call of its control API; see tests/whatsapp_web/client.py."""
        script = _CALL.replace("{port}", str(PORT))
        answer = self._engine.exec(self.name, "python", "-c", script, stdin=json.dumps([name, arguments]))
        return json.loads(answer)

    def scan(self) -> None:
        """As the phone does, once a code is on show."""

        def scanned() -> bool:
            try:
                self.call("scan", payload=None, timeout_s=5.0)
            except EngineError:
                return False
            return True

        wait_until(scanned, 90, "a code is scanned", every_s=0.2)

    def _lend(self) -> None:
        self._folder.chmod(0o755)  # the container's user is another one
        shutil.copytree(REPOSITORY / "tests" / "whatsapp_web", self._folder / "tests" / "whatsapp_web")
        spec = importlib.util.find_spec("wsproto")
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, self._folder / "wsproto")
        for path in self._folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
