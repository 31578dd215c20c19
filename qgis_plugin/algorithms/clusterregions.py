"""Cluster regions: groups of regions whose vectors are alike, and what makes each differ from the city."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from ..i18n import tr
from ..runtime.job import Job
from ..runtime.runner import Outcome
from .base import UrbanFMAlgorithm
from .groups import ANALYSIS
from .telling import tell_table
from .values import given, named_source


class ClusterRegions(UrbanFMAlgorithm):
    """K-means or HDBSCAN on embeddings, with a profile of each cluster and a style of one colour each."""

    ID = "clusterregions"
    STAGE = "cluster"
    TITLE = "Cluster regions"
    GROUP = ANALYSIS
    TAGS = ("k-means", "hdbscan", "silhouette", "typology", "classification", "segment", "group", "profile")
    FIRST = ("embeddings", "algorithm", "clusters", "pois", "fields", "regions")
    BY_DEFAULT = ("out", "report")
    SINK_SOURCES = ("regions", "embeddings")
    NUMBERS = {
        "REGION_COUNT": ("regions", "Number of regions"),
        "CLUSTER_COUNT": ("clusters", "Number of clusters"),
        "SILHOUETTE": ("silhouette", "Mean silhouette"),
        "WITHOUT_VECTOR": ("without_vector", "Regions without a vector"),
        "IN_NO_CLUSTER": ("in_no_cluster", "Regions in no cluster"),
    }

    def check_together(self, parameters: dict[str, Any]) -> str:
        dense = parameters.get("ALGORITHM") in ("hdbscan", 1)
        if dense and given(parameters, "CLUSTERS"):
            return tr(
                "HDBSCAN finds the number of clusters itself: leave it open, or give the fewest regions of a cluster."
            )
        if dense and parameters.get("CONTIGUITY") in (True, "true"):
            return tr("Connected clusters are not for HDBSCAN: take k-means.")
        if not dense and given(parameters, "MIN_SIZE"):
            return tr("The fewest regions of a cluster are for HDBSCAN: choose it, or leave them open.")
        return ""

    def job_params(
        self, job: Job, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        params = super().job_params(job, parameters, context, feedback)
        return {**params, "embeddings": named_source(self, parameters, "EMBEDDINGS", params["embeddings"], context)}

    def told(self, outcome: Outcome, parameters: dict[str, Any], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        tell_table(outcome, feedback)
        return super().told(outcome, parameters, feedback)
