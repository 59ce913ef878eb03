"""A hub on this machine, with one small model: loaded from it, then with the hub gone.

    python loopback_hub.py FOLDER

prints a JSON list: of each load what came of it, whether the hub was asked, and seconds.
"""

import hashlib
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

COMMIT = "0" * 40
asked: list[str] = []


class Hub(BaseHTTPRequestHandler):
    """As Hugging Face's answers for the files of a repository, as far as loading asks."""

    folder: ClassVar[Path]

    def do_GET(self) -> None:
        asked.append(self.path)
        name = self.path.partition("/me/small/resolve/main/")[2]
        file = self.folder / "served" / name
        data = file.read_bytes() if file.is_file() else b""
        self.send_response(200 if data else 404)
        if not data:
            missing = "/me/small/" in self.path
            self.send_header("X-Error-Code", "EntryNotFound" if missing else "RepoNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Load a model that is there and one that is not, before and after the hub has gone."""
    folder = Hub.folder = Path(sys.argv[1])
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["HF_HOME"] = str(folder / "home")
        os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
        os.environ.pop("HF_HUB_OFFLINE", None)
        from ludus.agents.small_model import load_model, small_model

        for part in small_model(hidden=32, layers=1):
            part.save_pretrained(folder / "served")

        def load(name: str) -> None:
            before, started = len(asked), time.monotonic()
            try:
                said = f"{len(load_model(name)[1])} tokens"
            except ValueError as error:
                said = str(error)
            results.append((said, len(asked) > before, time.monotonic() - started))

        results: list[tuple[str, bool, float]] = []
        load("me/small")
        load("me/other")
        server.shutdown()
    load("me/small")
    load("me/other")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
