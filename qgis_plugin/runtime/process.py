"""A child process that is listened to line by line and can be stopped with everything that it started."""

from __future__ import annotations

import os
import queue
import signal

# Its own interpreter is started, without a shell.
import subprocess  # nosec B404
import sys
import threading
from pathlib import Path
from typing import IO, Optional

WINDOWS = sys.platform == "win32"


class ChildProcess:
    """Runs a command in a process group of its own.

    The output is read by a thread, so that waiting for a line never blocks whoever wants to cancel, and it is read to
    its end, so that the last line is never lost.

    Args:
        command: Program and arguments; no shell is involved.
        env: The whole environment of the child.
        cwd: Folder to run in.
        stderr: File for the error stream; without it, it joins the output.
    """

    def __init__(
        self, command: list[str], env: dict[str, str], cwd: Optional[Path] = None, stderr: Optional[Path] = None
    ) -> None:
        self._lines: queue.Queue[Optional[str]] = queue.Queue()
        errors: Optional[IO[bytes]] = stderr.open("ab") if stderr else None
        try:
            # A list of arguments, no shell.
            self._process = subprocess.Popen(  # nosec B603
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors if errors else subprocess.STDOUT,
                env=env,
                cwd=str(cwd) if cwd else None,
                **_own_group(),
            )
        finally:
            if errors:
                errors.close()
        self._reader = threading.Thread(target=self._read, name="urbanfm-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> Optional[int]:
        """Exit code, None while it runs; negative is the signal that ended it."""
        return self._process.poll()

    def line(self, timeout_s: float) -> Optional[str]:
        """The next line of output, or None if none came within the time."""
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def finished(self) -> bool:
        """Whether the process ended and its output was handed out to the last line."""
        if self._process.poll() is None or not self._lines.empty():
            return False
        # A grandchild may hold the pipe open after the child is gone; it is not waited for without end.
        self._reader.join(timeout=2.0)
        if self._reader.is_alive():
            self._signal_group(_KILL)
            self._reader.join(timeout=2.0)
        return self._lines.empty()

    def send(self, text: str) -> None:
        """Write a line to the child. One that no longer listens is about to be found ended anyway."""
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        try:
            stdin.write((text + "\n").encode("utf-8"))
            stdin.flush()
        except (BrokenPipeError, OSError):
            stdin.close()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; whether it came in time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, message: str = "", grace_s: float = 0.5) -> None:
        """End the child and all that it started: ask, then terminate, then kill.

        Args:
            message: Line that asks the child to end by itself; empty to skip asking.
            grace_s: How long each step is given.
        """
        if message:
            self.send(message)
            self.wait(grace_s)
        if self._process.poll() is None and not WINDOWS:
            self._signal_group(signal.SIGTERM)
            self.wait(grace_s / 2)
        # Also when the child is gone: what it started may not be.
        self._signal_group(_KILL)
        self.wait(5.0)
        self._reader.join(timeout=2.0)

    def close(self) -> None:
        """Stop it if it still runs, and let go of the pipes."""
        if self._process.poll() is None:
            self.stop()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not self._reader.is_alive():
                _close(pipe)

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        for raw in iter(stream.readline, b""):
            self._lines.put(raw.decode("utf-8", errors="replace").rstrip("\r\n"))

    def _signal_group(self, number: int) -> None:
        if WINDOWS:
            if self._process.poll() is None:
                # A system program by its full path.
                subprocess.run(  # nosec B603
                    [_taskkill(), "/T", "/F", "/PID", str(self._process.pid)], capture_output=True, check=False
                )
            return
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            # The group is empty, which is what was wanted.
            return


_KILL = signal.SIGTERM if WINDOWS else signal.SIGKILL


def _own_group() -> dict[str, object]:
    if WINDOWS:
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _taskkill() -> str:
    return str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "taskkill.exe")


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        # Unsent input of a child that is gone.
        return
