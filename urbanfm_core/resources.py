"""Where the files that ship beside the code are: presets, styles, the contract, the small sample city."""

from __future__ import annotations

from pathlib import Path

from urbanfm_core.errors import ConfigError


def resource(*parts: str) -> Path:
    """Path of a shipped file or folder.

    In a checkout and in the plugin folder `resources/` lies beside the package; in a wheel it lies inside.

    Raises:
        ConfigError: the file is not there, so the installation is damaged.
    """
    package = Path(__file__).parent
    for root in (package / "resources", package.parent / "resources"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise ConfigError(f"The shipped file resources/{'/'.join(parts)} is missing.", "Install UrbanFM again.")
