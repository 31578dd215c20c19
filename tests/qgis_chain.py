"""Embed, cluster, compare and predict inside QGIS: the example model, and the same as a batch of the dialogs does it.

    python qgis_chain.py PLUGINS PLAN.json       PLUGINS: folder that holds the built plugin `urbanfm`

PLAN.json: {"model": path of the .model3, "inputs": its parameters, "outputs": {name of an output: file},
"batch": [[algorithm, [parameters, ...]], ...]}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProject,
)


def main(plugins: str, plan_file: str) -> int:
    application = QgsApplication([], False)
    application.initQgis()
    sys.path += [str(Path(QgsApplication.pkgDataPath()) / "python" / "plugins"), plugins]
    import urbanfm
    from processing.core.Processing import Processing
    from processing.gui.AlgorithmExecutor import execute

    Processing.initialize()
    plugin = urbanfm.classFactory(None)
    plugin.initProcessing()
    plan = json.loads(Path(plan_file).read_text("utf-8"))
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    context.setProject(QgsProject.instance())

    def run(algorithm: Any, parameters: dict[str, Any]) -> None:
        # What the batch dialog calls for each of its rows.
        fine, _ = execute(algorithm, parameters, context, feedback)
        if not fine:
            raise SystemExit(feedback.textLog())

    model = QgsProcessingModelAlgorithm()
    if not model.fromFile(plan["model"]):
        raise SystemExit(f"{plan['model']} cannot be read.")
    names = {output.description(): output.name() for output in model.outputDefinitions()}
    run(model.create({}), {**plan["inputs"], **{names[name]: file for name, file in plan["outputs"].items()}})
    for algorithm, rows in plan["batch"]:
        for row in rows:
            run(QgsApplication.processingRegistry().createAlgorithmById(algorithm), row)
    plugin.unload()
    context.temporaryLayerStore().removeAllMapLayers()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
