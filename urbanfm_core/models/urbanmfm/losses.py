"""The five objectives of UrbanMFM over one batch (paper, section IV-B)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - the name that every reader of torch code expects
from torch import Tensor

from urbanfm_core.models.urbanmfm.config import UrbanMfmConfig
from urbanfm_core.models.urbanmfm.encoders import mean_by
from urbanfm_core.models.urbanmfm.network import UrbanMfmModel, region_means, spread_rows
from urbanfm_core.objectives.infonce import row_infonce, stacked_infonce


def stage_losses(model: UrbanMfmModel, batch: Mapping[str, Tensor], config: UrbanMfmConfig) -> dict[str, Tensor]:
    """The losses of the stages that have samples in the batch, and 'loss', their sum.

    Args:
        model: The network.
        batch: What the samples of the stages draw; names begin with that of the stage and a slash.
        config: Temperature and kind of objective.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in batch.items():
        stage, _, rest = name.partition("/")
        parts.setdefault(stage, {})[rest] = tensor
    terms = {stage: _OBJECTIVES[stage](model, part, config) for stage, part in parts.items()}
    return {"loss": torch.stack([*terms.values()]).sum(), **terms}


def encode_places(model: UrbanMfmModel, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Vectors of the places of a batch: text, street view, whether it has one, polygon, whether it has one."""
    text: Tensor = model.part("text")(batch["text"])
    street, has_street = torch.zeros_like(text), text.new_zeros(len(text), dtype=torch.bool)
    if "pictures" in batch and len(batch["pictures"]):
        street, has_street = model.street_vectors(text, model.part("street")(batch["pictures"]), batch)
    polygon, has_polygon = torch.zeros_like(text), torch.zeros_like(has_street)
    if "shapes" in batch and len(batch["shapes"]):
        shown = model.part("polygon")(batch["shapes"], batch["area"])
        polygon = spread_rows(shown, batch["shape_place"], text)
        has_polygon = has_polygon.index_fill(0, batch["shape_place"], True)
    return text, street, has_street, polygon, has_polygon


def _poi_road(model: UrbanMfmModel, batch: Mapping[str, Tensor], config: UrbanMfmConfig) -> Tensor:
    """A place of a road against the means of the roads (eq. 6 and 7)."""
    text = model.part("text")(batch["text"])
    roads = mean_by(text[batch["member"]], batch["road"], len(batch["chosen"]))
    return _contrast(text[batch["chosen"]], roads, config)


def _street_view(model: UrbanMfmModel, batch: Mapping[str, Tensor], config: UrbanMfmConfig) -> Tensor:
    """A picture of a group against another of the same, and all pictures of other groups (eq. 9).

    What is said of the scene is appended, both parts with the same length; a group of which nothing is said is compared
    by its pictures alone.
    """
    views = model.part("street")(batch["pictures"])
    if "scene" in batch:
        groups = len(batch["anchor"])
        said = F.normalize(model.part("text")(batch["text"]), dim=1)
        scenes = mean_by(said[batch["scene"]], batch["scene_group"], groups)
        views = torch.cat([F.normalize(views, dim=1), F.normalize(scenes, dim=1)[batch["group"]]], 1)
    query, key = views[batch["anchor"]], views[batch["positive"]]
    if config.objective == "stacked":
        return stacked_infonce(query, key, config.scale)
    # The keys of other groups are among `row_infonce`'s own negatives; here come their remaining pictures.
    rest = torch.ones(len(views), dtype=torch.bool, device=views.device)
    rest[batch["positive"]] = False
    group = batch["group"]
    own = torch.arange(len(query), device=views.device)[:, None] == group[rest][None]
    return row_infonce(query, key, config.scale, others=views[rest], own=own, gather=True)


def _local(model: UrbanMfmModel, batch: Mapping[str, Tensor], config: UrbanMfmConfig) -> Tensor:
    """The graph around a place against graphs whose places show themselves in other ways (eq. 16)."""
    text, street, has_street, polygon, has_polygon = encode_places(model, batch)
    shown = torch.where(has_street[:, None], street, text)
    shown = torch.where(has_polygon[:, None], polygon, shown)
    return _graph_contrast(model, "local", batch, text, shown, "positive_", config)


def _satellite(model: UrbanMfmModel, batch: Mapping[str, Tensor], config: UrbanMfmConfig) -> Tensor:
    """A region from above against one that is alike (eq. 22)."""
    views = model.part("sky")(batch["pictures"])
    return _contrast(views[batch["anchor"]], views[batch["positive"]], config)


def _global(model: UrbanMfmModel, batch: Mapping[str, Tensor], config: UrbanMfmConfig) -> Tensor:
    """The graph around a region against graphs whose regions show themselves in other ways (eq. 27)."""
    like = torch.zeros(len(batch["kind"]), config.width, device=batch["kind"].device)
    ways: list[Tensor] = []
    for kind in config.kinds:
        if kind == "macro":
            ways.append(spread_rows(model.part("sky")(batch["sky"]), batch["sky_place"], like))
        elif kind == "features":
            ways.append(spread_rows(model.part("features")(batch["features"]), batch["features_place"], like))
        else:
            fused = model.fuse(*encode_places(model, batch))
            ways.append(region_means(fused[batch["member"]], batch["member_region"], like))
    shown = torch.stack(ways)
    rows = torch.arange(len(like), device=like.device)
    anchor, positive = shown[batch["kind"], rows], shown[batch["positive_kind"], rows]
    return _graph_contrast(model, "around", batch, anchor, positive, "", config)


def _graph_contrast(
    model: UrbanMfmModel,
    encoder: str,
    batch: Mapping[str, Tensor],
    anchor: Tensor,
    positive: Tensor,
    positive_name: str,
    config: UrbanMfmConfig,
) -> Tensor:
    """Graphs of the anchors' values against graphs of the positives', which may lack nodes."""
    graphs = int(batch["graph"][-1]) + 1

    def encode(values: Tensor, name: str) -> Tensor:
        node = values[batch[f"{name}node"]]
        found: Tensor = model.part(encoder)(
            node, batch[f"{name}edges"], batch[f"{name}weight"], batch[f"{name}graph"], graphs
        )
        return found

    return _contrast(encode(anchor, ""), encode(positive, positive_name), config)


def _contrast(query: Tensor, key: Tensor, config: UrbanMfmConfig) -> Tensor:
    if config.objective == "stacked":
        return stacked_infonce(query, key, config.scale)
    return row_infonce(query, key, config.scale, gather=True)


_OBJECTIVES: dict[str, Callable[[UrbanMfmModel, Mapping[str, Tensor], UrbanMfmConfig], Tensor]] = {
    "poi_road": _poi_road,
    "street_view": _street_view,
    "local": _local,
    "satellite": _satellite,
    "global": _global,
}
