"""The picture of a region: the imagery around it, with everything outside of it dimmed."""

from __future__ import annotations

from typing import Optional

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCsException,
    QgsGeometry,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QObject, QPointF, QSize, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPainterPath, QPen, QPolygonF

from ..i18n import tr

# How much of the surroundings is shown, as a share of the region's width and height.
MARGIN = 0.25
_COLOUR_RENDERERS = ("multibandcolor", "singlebandcolordata")


class PictureError(Exception):
    """There is nothing to draw; the text is for the user."""


class RegionPicture(QObject):
    """Draws regions one after another, outside of the window's thread; a new one replaces one that is being drawn."""

    ready = pyqtSignal(QImage)

    def __init__(self, parent: Optional[QObject] = None) -> None:
        super().__init__(parent)
        self._job: Optional[QgsMapRendererParallelJob] = None
        self._shape = QgsGeometry()
        # The layer that is drawn must live as long as the drawing.
        self._coloured: Optional[QgsRasterLayer] = None
        self._source: Optional[str] = None
        self._ratio = 1.0

    def start(
        self,
        imagery: QgsRasterLayer,
        region: QgsGeometry,
        crs: QgsCoordinateReferenceSystem,
        size: QSize,
        ratio: float,
        project: QgsProject,
    ) -> None:
        """Begin to draw; `ready` brings the picture.

        Args:
            imagery: What to draw.
            region: Polygon.
            crs: Of the polygon.
            size: Of the picture, logical pixels.
            ratio: Device pixels of a logical one.
            project: Whose coordinate system the picture has, so that it looks as on the map.

        Raises:
            PictureError: the imagery does not reach the region.
        """
        self.stop()
        target = project.crs() if project.crs().isValid() else crs
        context = project.transformContext()
        try:
            self._shape = QgsGeometry(region)
            self._shape.transform(QgsCoordinateTransform(crs, target, context))
            to_imagery = QgsCoordinateTransform(crs, imagery.crs(), context)
            reached = imagery.extent().intersects(to_imagery.transformBoundingBox(region.boundingBox()))
        except QgsCsException as error:
            raise PictureError(tr("The region cannot be transformed to the imagery's coordinate system.")) from error
        if not reached and not imagery.extent().isEmpty():
            raise PictureError(tr("The imagery does not reach the region."))
        frame: QgsRectangle = self._shape.boundingBox()
        frame.grow(MARGIN * max(frame.width(), frame.height()))
        settings = QgsMapSettings()
        settings.setDestinationCrs(target)
        settings.setTransformContext(context)
        settings.setOutputSize(QSize(round(size.width() * ratio), round(size.height() * ratio)))
        settings.setOutputDpi(96 * ratio)
        settings.setBackgroundColor(QColor(Qt.GlobalColor.transparent))
        settings.setLayers([self._in_colour(imagery)])
        settings.setExtent(frame)
        self._ratio = ratio
        self._job = QgsMapRendererParallelJob(settings)
        self._job.finished.connect(self._finished)
        self._job.start()

    def stop(self) -> None:
        """Give up what is being drawn."""
        job, self._job = self._job, None
        if job is not None:
            job.finished.disconnect(self._finished)
            job.cancel()

    def _finished(self) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        image = job.renderedImage()
        self._outline(image, job.mapSettings())
        image.setDevicePixelRatio(self._ratio)
        self.ready.emit(image)

    def _outline(self, image: QImage, settings: QgsMapSettings) -> None:
        to_pixel = settings.mapToPixel()
        path = QPainterPath()
        for part in self._shape.asGeometryCollection():
            for ring in part.asPolygon():
                points = [to_pixel.transform(point) for point in ring]
                path.addPolygon(QPolygonF([QPointF(point.x(), point.y()) for point in points]))
        around = QPainterPath()
        around.addRect(0, 0, image.width(), image.height())
        painter = QPainter(image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # Only what is there is dimmed, not the emptiness beside it.
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceAtop)
        painter.fillPath(around.subtracted(path), QColor(0, 0, 0, 110))
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)
        for colour, width in (("#000000", 3.5), ("#ffffff", 1.8)):
            painter.setPen(QPen(QColor(colour), width * self._ratio))
            painter.drawPath(path)
        painter.end()

    def _in_colour(self, imagery: QgsRasterLayer) -> QgsRasterLayer:
        """The layer as it is styled if that shows colours, else its first three bands as red, green and blue."""
        renderer = imagery.renderer()
        if imagery.bandCount() < 3 or (renderer is not None and renderer.type() in _COLOUR_RENDERERS):
            return imagery
        if self._coloured is None or self._source != imagery.id():
            self._coloured, self._source = imagery.clone(), imagery.id()
            self._coloured.setRenderer(QgsMultiBandColorRenderer(self._coloured.dataProvider(), 1, 2, 3))
            self._coloured.setDefaultContrastEnhancement()
        return self._coloured


def blank(size: QSize, ratio: float) -> QImage:
    """An empty picture that keeps the room of one that is being drawn."""
    image = QImage(size * ratio, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    image.setDevicePixelRatio(ratio)
    return image


def likely_imagery(project: QgsProject) -> Optional[QgsRasterLayer]:
    """The topmost raster that looks like a picture: three or four bands, or one that a server draws."""
    for node in project.layerTreeRoot().findLayers():
        layer = node.layer()
        if isinstance(layer, QgsRasterLayer) and layer.isValid():
            served = layer.dataProvider().name() == "wms"
            if served or layer.bandCount() in (3, 4):
                return layer
    return None
