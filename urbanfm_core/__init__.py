"""UrbanFM: one vector per urban region, from points of interest, imagery and more.

The stages are functions of this package with the parameters of `urbanfm STAGE --help`; they are imported when first
used, so that `import urbanfm_core` stays quick.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "__version__", "ablate", "attend", "caption", "check", "cluster", "describe", "embed", "embedpois", "embedraster", "evaluate",
    "grid", "importcheckpoint", "inspect", "predict", "prepare", "samplecity", "search", "similar", "train", "transfer",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:
        from urbanfm_core import pipeline

        return pipeline.stage_function(name)
    raise AttributeError(f"module 'urbanfm_core' has no attribute '{name}'")
