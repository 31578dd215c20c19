"""Numbers and switches of UrbanMFM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from urbanfm_core.errors import ConfigError
from urbanfm_core.models import checks

# In the order in which they are trained.
STAGES = ("poi_road", "street_view", "local", "satellite", "global")
# What may stand for a region as a node of the global graph, the first that it has in the graph that is compared.
KINDS = ("macro", "features", "micro")

_WHOLE = {
    "width": 1, "heads": 1, "graph_hidden": 1, "image_size": 16, "polygon_size": 8, "text_tokens": 4, "text_dim": 0,
    "extra_dim": 0, "fusion_heads": 1, "max_neighbours": 1, "max_groups": 1, "max_road_pois": 2, "max_region_pois": 1,
    "max_alike": 1, "cluster_points": 2, "epoch_samples": 0, "step_groups": 1,
}  # fmt: skip
_POSITIVE = ("temperature", "reach_m", "street_reach_m", "road_reach_m", "cluster_m")
_SWITCHES = (
    "micro_scale", "local_scale", "macro_scale", "global_scale", "unified", "joint", "edge_weights", "context",
)  # fmt: skip


@dataclass(frozen=True)
class UrbanMfmConfig:
    """Numbers of the method; defaults are the paper's, and where it is silent chosen here.

    Attributes:
        width: Width D of all vectors.
        text_encoder: Frozen encoder of the tags; see `load_text_encoder`. Above it a linear layer is trained.
        text_model: BERT folder or Hugging Face id that is trained instead; "" for none.
        text_tokens: Tokens that it reads of the tags of a place.
        image_model: Folder, id or timm:NAME whose weights the networks of pictures start from; "" starts from random
            numbers.
        image_depths, image_widths: Blocks and channels of each stage of a network that starts from random numbers; the
            defaults are ResNet-18.
        image_size: Side of pictures, pixels.
        polygon_size: Side of the pictures of polygons, pixels.
        pixel_m: Metres per pixel of pictures from above; 0 fits the picture to each region's longer side.
        context: Whether pictures from above show what lies around a region too.
        heads, graph_hidden: Heads of the first layer of graph attention, and their width together.
        edge_weights: Whether 1 / distance enters the attention; False is as the public code computes.
        fusion_heads: Heads of the attention between a place's text and street view.
        temperature: tau of all objectives and of the attention to street views.
        objective: 'rows' as the paper's equations, 'stacked' as the public code (both sides in one softmax).
        reach_m: How far neighbours of a place may be (paper 1 km, public code 500 m).
        street_reach_m: How far its street views may be.
        road_reach_m: How far a place may be from the road that it belongs to.
        max_neighbours, max_groups: Nearest neighbours of a place in its graph, and nearest groups of street views.
        max_road_pois, max_region_pois: Places drawn at random from a road, or a region, per step.
        epoch_samples: Samples of a stage in an epoch, drawn at random, so that all stages take as many steps; 0 for each
            sample once.
        step_groups: Groups of street views that a step of the local or the global stage encodes; of more that are in
            reach, random ones are left out.
        drop: Share of the neighbours that the positive graph lacks.
        swap: Share of the nodes of a positive graph that show themselves in another way, where they can.
        similarity: Least cosine of the distributions of points and roads of regions that are alike (eq. 21).
        max_alike: Regions kept that are alike to one.
        cluster_m, cluster_points: DBSCAN's eps in metres, and the points that make a cluster (eq. 17).
        micro_scale, local_scale, macro_scale, global_scale: Which scales are learned (paper, table III).
        unified: Read points and their polygons alone, whatever else is given (paper, table IV).
        joint: All stages at once instead of one after another (paper, figure 4).
        fusion: How the views of a region make its vector: the mean of those through the global graph; these one after
            the other ('concat'); or those of all scales one after the other ('scales'), that is the means of its places
            as they are and in their local graphs, its picture, its features, and each through the global graph.
        text_dim, extra_dim: Widths of frozen text vectors and of the table of regions; filled in from the data.
        text_architecture, image_architecture: What rebuilds those networks without weights; filled in.
        sees: Inputs that the network was made for; filled in from the data.
        stages: Stages that are trained; filled in from the data.
        max_area_log: Logarithm of the largest area of a polygon in m2, plus one; filled in from the data.
    """

    width: int = 768
    text_encoder: str = "minilm"
    text_model: str = ""
    text_tokens: int = 64
    image_model: str = ""
    image_depths: Sequence[int] = (2, 2, 2, 2)
    image_widths: Sequence[int] = (64, 128, 256, 512)
    image_size: int = 224
    polygon_size: int = 224
    pixel_m: float = 0.0
    context: bool = True
    heads: int = 4
    graph_hidden: int = 768
    edge_weights: bool = True
    fusion_heads: int = 4
    temperature: float = 0.5
    objective: Literal["rows", "stacked"] = "rows"
    reach_m: float = 1000.0
    street_reach_m: float = 1000.0
    road_reach_m: float = 100.0
    max_neighbours: int = 16
    max_groups: int = 4
    max_road_pois: int = 32
    max_region_pois: int = 16
    epoch_samples: int = 0
    step_groups: int = 256
    drop: float = 0.2
    swap: float = 0.5
    similarity: float = 0.95
    max_alike: int = 32
    cluster_m: float = 120.0
    cluster_points: int = 2
    micro_scale: bool = True
    local_scale: bool = True
    macro_scale: bool = True
    global_scale: bool = True
    unified: bool = False
    joint: bool = False
    fusion: Literal["average", "concat", "scales"] = "average"
    text_dim: int = 0
    extra_dim: int = 0
    text_architecture: Mapping[str, Any] = field(default_factory=dict)
    image_architecture: Mapping[str, Any] = field(default_factory=dict)
    sees: Sequence[str] = ()
    stages: Sequence[str] = ()
    max_area_log: float = 0.0

    def __post_init__(self) -> None:
        checks.whole_numbers(self, _WHOLE)
        checks.positive(self, _POSITIVE)
        checks.not_negative(self, ("pixel_m", "max_area_log"))
        checks.shares(self, ("drop", "swap", "similarity"))
        checks.switches(self, _SWITCHES)
        checks.texts(self, ("text_encoder", "text_model", "image_model"))
        checks.choices(self, {"objective": ("rows", "stacked"), "fusion": ("average", "concat", "scales")})
        if self.drop == 1:
            raise ConfigError("drop must be below 1, else no graph has a neighbour left.")
        checks.multiples(self, [("graph_hidden", "heads"), ("width", "fusion_heads")])
        sizes = (self.image_depths, self.image_widths)
        if not len(sizes[0]) == len(sizes[1]) > 0 or not all(
            isinstance(size, int) and size > 0 for side in sizes for size in side
        ):
            raise ConfigError(
                f"image_depths and image_widths must be equally many whole numbers above 0, found {sizes[0]!r} and "
                f"{sizes[1]!r}."
            )
        unknown = [name for name in self.stages if name not in STAGES]
        if unknown:
            raise ConfigError(f"There is no stage {', '.join(map(str, unknown))}.", f"Choose from {', '.join(STAGES)}.")

    @property
    def scale(self) -> float:
        """Factor on cosines in the objectives."""
        return 1.0 / self.temperature

    @property
    def reads_pois(self) -> bool:
        """Whether the network reads points of interest."""
        return "pois" in self.sees

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of `KINDS` regions can have."""
        inputs = {"macro": "imagery", "features": "features", "micro": "pois"}
        return tuple(kind for kind in KINDS if inputs[kind] in self.sees)
