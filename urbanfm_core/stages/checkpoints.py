"""Parameters of the stages that make checkpoints of published weights, and look into checkpoints."""

from __future__ import annotations

from typing import Literal

from urbanfm_core.parameters import Stage, param


class ImportCheckpointStage(Stage):
    """Turn published weights into a checkpoint.

    Nothing in the file is executed: a file that holds anything but tensors and plain values is refused.
    """

    checkpoint: str = param(
        help="Published file: london_last.pth of AETHER, a .pdparams file of ReFound, or a file of weights of open_clip's "
        "CoCa for UrbanCLIP; for UrbanLN the folder or Hugging Face id of any CLIP.",
        label="Published checkpoint",
        kind="file",
    )
    method: Literal["aether", "refound", "urbanclip", "urbanln"] = param(
        "aether", "Method that the weights belong to.", label="Method", kind="choice"
    )
    text_encoder: str | None = param(
        None,
        "Of AETHER: text encoder that the weights were trained with, needed for search by text. Named as for training.",
        label="Text encoder",
        kind="text",
        advanced=True,
    )
    tokenizer: str | None = param(
        None,
        "Of all but AETHER: tokenizer that the weights were trained with, a Hugging Face folder or id. When not given, as "
        "published: bert-base-chinese of ReFound, CLIP's of UrbanCLIP, and of UrbanLN the CLIP's own.",
        label="Tokenizer",
        kind="text",
        advanced=True,
    )
    category_names: str | None = param(
        None,
        "Of ReFound: text file with the names of the categories, one a line, in the order of their numbers. Without it "
        "every category is unknown.",
        label="Names of the categories",
        kind="file",
        advanced=True,
    )
    heads: int | None = param(
        None,
        "Of ReFound: attention heads, which the weights do not tell; of width 64, as published, when not given.",
        label="Attention heads",
        kind="integer",
        ge=1,
        advanced=True,
    )
    architecture: str | None = param(
        None,
        "Of UrbanCLIP: open_clip's JSON file of the model, which tells the numbers of heads. One beside the weights is "
        "found; without any, heads are those of open_clip's own coca models.",
        label="JSON of the architecture",
        kind="file",
        advanced=True,
    )
    leave_out: list[str] = param(
        [],
        "Of ReFound: beginnings of the names of weights that are not wanted, such as heads of the pre-training.",
        label="Weights to leave out",
        kind="list",
        advanced=True,
    )
    out: str = param(help="Folder of the checkpoint to write.", label="Checkpoint", kind="checkpoint", output=True)


class InspectStage(Stage):
    """Say what a checkpoint is, what it needs and what it gives."""

    checkpoint: str = param(help="Checkpoint to look at.", label="Checkpoint", kind="checkpoint")
    report: str | None = param(
        None, "HTML report to write.", label="Report on the checkpoint", kind="file", output=True
    )
