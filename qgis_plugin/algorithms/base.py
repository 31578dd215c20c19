"""What all algorithms share: parameters from the contract, one run of the worker, results as QGIS outputs."""

from __future__ import annotations

import html
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeatureSink,
    QgsFields,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtGui import QIcon

from .. import styling
from ..contract import Parameter, Stage, load
from ..i18n import tr
from ..paths import metadata, resource
from ..runtime import environment, exchange, runner
from ..runtime.job import Job
from . import nextsteps
from .definitions import define
from .examples import command
from .outputs import SINK_KINDS, output_file, output_problem
from .values import SOURCE_KINDS, Collector, given, input_file, is_set, missing_crs, raster_problem, worker_file

WORKER_START, WORKER_END = 5.0, 95.0


class UrbanFMAlgorithm(QgsProcessingAlgorithm):
    """Base of the algorithms. A subclass names its stage and says what to make of the result.

    Attributes:
        ID: Stable id.
        STAGE: Stage of the library.
        TITLE: Name for people.
        GROUP: Id and name of its group.
        TAGS: Words to find it by.
        FIRST: Parameters that come first in the dialog; the others follow in the contract's order.
        HIDDEN: Parameters of the stage that QGIS does not ask for.
        BY_DEFAULT: Optional outputs that are made unless the user says no.
        SINK_SOURCES: Inputs whose features the output layer continues: those of the first that was given.
        NUMBERS: Outputs beside the contract's: by id, the key in the worker's result and the label.
        TEXTS: The same for texts.
    """

    ID: ClassVar[str] = ""
    STAGE: ClassVar[str] = ""
    TITLE: ClassVar[str] = ""
    GROUP: ClassVar[tuple[str, str]] = ("", "")
    TAGS: ClassVar[tuple[str, ...]] = ()
    FIRST: ClassVar[tuple[str, ...]] = ()
    HIDDEN: ClassVar[tuple[str, ...]] = ()
    BY_DEFAULT: ClassVar[tuple[str, ...]] = ()
    SINK_SOURCES: ClassVar[tuple[str, ...]] = ()
    NUMBERS: ClassVar[dict[str, tuple[str, str]]] = {}
    TEXTS: ClassVar[dict[str, tuple[str, str]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._collector: Optional[Collector] = None
        self._repeat = ""

    def name(self) -> str:
        return self.ID

    def displayName(self) -> str:
        return tr(self.TITLE)

    def group(self) -> str:
        return tr(self.GROUP[1])

    def groupId(self) -> str:
        return self.GROUP[0]

    def tags(self) -> list[str]:
        return [*self.TAGS, "urbanfm", "region", "embedding"]

    def icon(self) -> QIcon:
        return QIcon(str(resource("icons", "urbanfm.svg")))

    def svgIconPath(self) -> str:
        return str(resource("icons", "urbanfm.svg"))

    def createInstance(self) -> UrbanFMAlgorithm:
        return type(self)()

    def shortDescription(self) -> str:
        return tr(self.contract_stage().summary)

    def shortHelpString(self) -> str:
        stage = self.contract_stage()
        paragraphs = [f"<p><b>{tr(stage.summary)}</b></p>"]
        if stage.description:
            paragraphs.append(f"<p>{tr(stage.description)}</p>")
        for title, outputs in ((tr("Inputs"), False), (tr("Outputs"), True)):
            shown = [p for p in self.contract_parameters() if p.output is outputs and not (p.advanced and not outputs)]
            if shown:
                paragraphs.append(f"<h3>{title}</h3>")
                paragraphs.extend(f"<p><i>{tr(p.label)}</i><br>{tr(p.help)}</p>" for p in shown)
        example = html.escape(command(self.ID))
        if example:
            paragraphs.append(
                f"<h3>{tr('Example, with the files of the sample city')}</h3><p><code>{example}</code></p>"
            )
        return "".join(paragraphs)

    def helpUrl(self) -> str:
        page = resource("help", f"{self.ID}.html")
        return QUrl.fromLocalFile(str(page)).toString() if page.is_file() else metadata("homepage")

    def canExecute(self) -> tuple[bool, str]:
        # Called for every algorithm when the toolbox is drawn: only looks whether files exist.
        try:
            environment.find()
        except environment.EnvironmentMissing as missing:
            return False, str(missing)
        return True, ""

    def contract_stage(self) -> Stage:
        """This algorithm's stage."""
        return load().stage(self.STAGE)

    def contract_parameters(self) -> list[Parameter]:
        """The stage's parameters that QGIS asks for, in the order of the dialog."""
        known = self.contract_stage().parameters
        ordered = [*self.FIRST, *(name for name in known if name not in self.FIRST)]
        return [known[name] for name in ordered if name not in self.HIDDEN]

    def initAlgorithm(self, configuration: Optional[dict[str, Any]] = None) -> None:
        for parameter in self.contract_parameters():
            self.addParameter(define(parameter, parameter.name in self.BY_DEFAULT))
        for key, (_, label) in self.NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(key, tr(label)))
        for key, (_, label) in self.TEXTS.items():
            self.addOutput(QgsProcessingOutputString(key, tr(label)))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        # QGIS's own check would refuse a file that only the worker can read: it is shown an empty layer instead.
        layer = QgsVectorLayer("NoGeometry", "", "memory")
        shown = {key: layer if self._is_worker_file(parameters, key) else value for key, value in parameters.items()}
        fine, message = super().checkParameterValues(shown, context)
        if not fine:
            return False, message
        inputs: dict[Path, str] = {}
        for p in self.contract_parameters():
            problem = "" if p.output else self._input_problem(p, parameters, context)
            if problem:
                return False, problem
            file = None if p.output else input_file(self, p, parameters, context)
            if file is not None:
                inputs[file] = tr(p.label)
        for p in self.contract_parameters():
            path = output_file(p, parameters) if p.output else None
            problem = output_problem(p, path, inputs) if path is not None else ""
            if problem:
                return False, problem
        problem = self.check_together(parameters)
        return not problem, problem

    def check_together(self, parameters: dict[str, Any]) -> str:
        """What is wrong with the values as a whole; empty if nothing is."""
        return ""

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        self._collector = Collector(self, parameters, context)
        self._collector.prepare([p for p in self.contract_parameters() if not p.output])
        self._repeat = self._repeating_line(parameters, context)
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        try:
            interpreter = environment.usable()
            feedback.pushDebugInfo(tr("Worker: {} ({})").format(interpreter.path, interpreter.origin))
            with Job(self.STAGE) as job:
                job.params = self.job_params(job, parameters, context, feedback)
                job.outputs = self.job_outputs(job, parameters, context)
                job.repeat = self._repeat
                if feedback.isCanceled():
                    return {}
                outcome = runner.run(job, interpreter.path, feedback, WORKER_START, WORKER_END)
                if outcome.cancelled:
                    feedback.pushInfo(tr("Cancelled. What was finished is kept, and the next run goes on from there."))
                    return {}
                results = self.results(outcome, job, parameters, context, feedback)
                self.suggest(results, feedback)
                feedback.setProgress(100.0)
                return results
        except (environment.EnvironmentMissing, runner.WorkerError, exchange.ExchangeError) as error:
            raise QgsProcessingException(str(error)) from error

    def job_params(
        self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Values of the stage's inputs. What the user left open is left to the library."""
        collector = self.collector
        values = {p.name: collector.value(p, job, feedback) for p in self.contract_parameters() if not p.output}
        return {name: value for name, value in values.items() if value is not None}

    def job_outputs(self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext) -> dict[str, str]:
        """Where the worker writes. What becomes a QGIS layer goes through the job's folder."""
        outputs = {}
        for p in self.contract_parameters():
            if not p.output or not self.wanted(p, parameters):
                continue
            if p.kind in SINK_KINDS:
                outputs[p.name] = str(job.temporary(f"{p.name}.gpkg"))
                job.names[outputs[p.name]] = str(output_file(p, parameters) or tr(p.label))
            else:
                read = self.parameterAsOutputLayer if p.kind == "raster" else self.parameterAsFileOutput
                outputs[p.name] = str(Path(read(parameters, p.key, context)).absolute())
        return outputs

    def wanted(self, p: Parameter, parameters: dict[str, Any]) -> bool:
        """Whether to make an output."""
        value = parameters.get(p.key)
        if isinstance(value, QgsProcessingOutputLayerDefinition):
            value = value.sink.staticValue()
        return is_set(value)

    def results(
        self,
        outcome: runner.Outcome,
        job: Job,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> dict[str, Any]:
        """The outputs: files as they are, layers moved into their sinks."""
        results: dict[str, Any] = {}
        for p in self.contract_parameters():
            if p.output and p.name in job.outputs:
                path = job.outputs[p.name]
                if p.kind in SINK_KINDS:
                    results[p.key] = self.fill_sink(p, Path(path), outcome, parameters, context, feedback)
                else:
                    results[p.key] = path
        return {**results, **self.told(outcome, parameters, feedback)}

    def suggest(self, results: dict[str, Any], feedback: QgsProcessingFeedback) -> None:
        """End the log with what can be done next."""
        provider = self.provider()
        if provider is not None:
            for line in nextsteps.told(self, results, provider.algorithm):
                feedback.pushInfo(line)

    def told(
        self, outcome: runner.Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        """Numbers and texts that the worker's result holds."""
        return {key: outcome.result.get(name) for key, (name, _) in {**self.NUMBERS, **self.TEXTS}.items()}

    def fill_sink(
        self,
        p: Parameter,
        path: Path,
        outcome: runner.Outcome,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: QgsProcessingFeedback,
    ) -> str:
        """Move what the worker wrote into the layer that the user asked for, with all fields of the source."""
        feedback.setProgressText(tr("Writing the layer"))
        layer = exchange.open_result(path)
        vector = self.collector.vectors.get(self.sink_source(p, parameters).upper())
        source = vector.fields if vector is not None else QgsFields()
        fields, positions = exchange.result_fields(layer, source, self.keeps_numbers(outcome, source))
        features = exchange.converted(layer.getFeatures(), fields, positions)
        sink, dest = self._open_sink(p, parameters, context, fields, layer.wkbType(), layer.crs())
        total = max(layer.featureCount(), 1)
        for count, feature in enumerate(features):
            if count % 500 == 0:
                if feedback.isCanceled():
                    break
                feedback.setProgress(WORKER_END + (100 - WORKER_END) * count / total)
            if not sink.addFeature(feature, QgsFeatureSink.Flag.FastInsert):
                raise QgsProcessingException(self.writeFeatureError(sink, parameters, p.key))
        # Closes the file.
        del sink
        styling.attach(path.with_suffix(".qml"), dest, context, feedback)
        return dest

    def sink_source(self, p: Parameter, parameters: dict[str, Any]) -> str:
        """The input whose features an output layer continues; empty for none."""
        return next((name for name in self.SINK_SOURCES if given(parameters, name.upper())), "")

    def keeps_numbers(self, outcome: runner.Outcome, source: QgsFields) -> bool:
        """Whether the output has the field `fid`: if the source has one, or if it is what identifies the regions."""
        return source.lookupField(exchange.FID) >= 0 or outcome.result.get("region_id") == exchange.FID

    def _open_sink(
        self,
        p: Parameter,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        fields: QgsFields,
        wkb_type: Any,
        crs: QgsCoordinateReferenceSystem,
    ) -> tuple[QgsFeatureSink, str]:
        path = output_file(p, parameters)
        if path is not None:
            # QGIS makes no folders, and the files that the worker writes have theirs.
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
        sink, dest = self.parameterAsSink(parameters, p.key, context, fields, wkb_type, crs)
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, p.key))
        return sink, dest

    @property
    def collector(self) -> Collector:
        """The values of this run."""
        if self._collector is None:
            raise QgsProcessingException(tr("The algorithm was not prepared."))
        return self._collector

    def _repeating_line(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """What repeats this run, for its report: a line for a terminal, or for QGIS's Python where there is none."""
        # QGIS 3.22 has no such line; newer ones have none for some values, such as layers in memory.
        as_command = getattr(self, "asQgisProcessCommand", None)
        line, fine = as_command(parameters, context) if as_command is not None else ("", False)
        return str(line) if fine else str(self.asPythonCommand(parameters, context))

    def _is_worker_file(self, parameters: dict[str, Any], key: str) -> bool:
        p = self.contract_stage().parameters.get(key.lower())
        return p is not None and p.kind in SOURCE_KINDS and not p.output and worker_file(parameters, key) is not None

    def _input_problem(self, p: Parameter, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        if not given(parameters, p.key):
            return ""
        if self._is_worker_file(parameters, p.key):
            file = worker_file(parameters, p.key)
            return "" if file and file.is_file() else tr("{}: there is no file {}.").format(tr(p.label), file)
        if p.kind == "raster":
            return raster_problem(self.parameterAsRasterLayer(parameters, p.key, context), tr(p.label))
        if p.kind in SOURCE_KINDS:
            source = self.parameterAsSource(parameters, p.key, context)
            return "" if source is None else missing_crs(source, tr(p.label))
        if p.kind == "checkpoint":
            return _checkpoint_problem(Path(self.parameterAsFile(parameters, p.key, context)), tr(p.label))
        if p.pattern and not re.search(p.pattern, self.parameterAsString(parameters, p.key, context)):
            return tr("{}: '{}' is not one of the values it takes. {}").format(
                tr(p.label), parameters[p.key], tr(p.help)
            )
        if p.above is not None and not self.parameterAsDouble(parameters, p.key, context) > p.above:
            return tr("{}: must be greater than {:g}.").format(tr(p.label), p.above)
        return ""


def _checkpoint_problem(folder: Path, label: str) -> str:
    if not folder.is_dir():
        return tr("{}: there is no folder {}.").format(label, folder)
    if not (folder / "manifest.json").is_file():
        return tr("{}: {} is no checkpoint: it has no manifest.json. Choose the folder that training wrote.").format(
            label, folder
        )
    return ""
