"""What a service was paid for, kept in one SQLite file: a run that was stopped asks only for what is still missing."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from urbanfm_core.errors import OutputError


def cache_path(cache_dir: str | Path | None) -> Path:
    """The file that keeps paid answers; in the user's cache folder unless told otherwise."""
    if cache_dir is None:
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = str(Path.home() / "Library" / "Caches")
        else:
            base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        cache_dir = Path(base) / "urbanfm"
    return Path(cache_dir) / "text-vectors.sqlite"


class AnswerCache:
    """Answers by model identity and text hash, in one SQLite file that several runs may share.

    An answer is bytes: a vector of an encoder, or words in UTF-8. The table bears the name of the former.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (encoder TEXT, text BLOB, vector BLOB, "
                    "PRIMARY KEY (encoder, text)) WITHOUT ROWID"
                )
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise OutputError(
                f"The cache of paid answers at {self.path} cannot be used: {error}",
                "Check that the folder can be written and has room; delete the file if it is damaged.",
            ) from error

    def load(self, identity: str, texts: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Each text with its answer, or None where it is not known."""
        query = "SELECT vector FROM vectors WHERE encoder = ? AND text = ?"
        with self._open() as connection:
            for text in texts:
                row = connection.execute(query, (identity, _text_hash(text))).fetchone()
                yield text, None if row is None else row[0]

    def known(self, identity: str, texts: Sequence[str]) -> set[str]:
        """Which texts have an answer; makes no file where there is none."""
        if not self.path.exists():
            return set()
        return {text for text, answer in self.load(identity, texts) if answer is not None}

    def any(self, identity: str) -> bytes | None:
        """Some answer of this model, to know what it is like without asking the service."""
        if not self.path.exists():
            return None
        with self._open() as connection:
            row = connection.execute("SELECT vector FROM vectors WHERE encoder = ? LIMIT 1", (identity,)).fetchone()
        return None if row is None else row[0]

    def save(self, identity: str, texts: Sequence[str], answers: Sequence[bytes]) -> None:
        """Keep answers. All of them or none."""
        rows = [(identity, _text_hash(text), answer) for text, answer in zip(texts, answers, strict=True)]
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)


def _text_hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
