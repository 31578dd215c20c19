"""Parameters of the stages that make captions, refine them, and give them to regions; see `stages`."""

from __future__ import annotations

from pydantic import model_validator

from urbanfm_core.parameters import CaptionFile, CaptionInputs, ComputeParams, ImageryInputs, RegionInputs, param


class DescribingParams(ComputeParams, ImageryInputs, RegionInputs):
    """How captioners are asked, and what is made of their answers."""

    prompt_file: str | None = param(
        None,
        "Text file with the words in which a captioner is asked. Those of resources/prompts when not given.",
        label="Prompt",
        kind="file",
        advanced=True,
    )
    rules: str | None = param(
        None,
        "JSON file with the rules of refinement, in the form of resources/caption_rules.json, which is taken when not "
        "given.",
        label="Rules of refinement",
        kind="file",
        advanced=True,
    )
    size_px: int = param(
        512,
        "Side of the pictures that are described.",
        label="Size of the pictures",
        kind="integer",
        unit="pixels",
        ge=16,
        le=4096,
        advanced=True,
    )
    pixel_m: float = param(
        0.0,
        "Side of a pixel of the pictures from above; 0 shows each region whole.",
        label="Size of a pixel",
        kind="number",
        unit="m",
        ge=0,
        advanced=True,
    )
    max_new_tokens: int = param(
        200,
        "Most tokens that a model on this machine writes about a picture.",
        label="Longest caption",
        kind="integer",
        unit="tokens",
        ge=1,
        advanced=True,
    )
    per_minute: float | None = param(
        None,
        "Most requests a minute to an endpoint. No limit when not given.",
        label="Requests a minute",
        kind="number",
        gt=0,
        advanced=True,
    )


class CaptionStage(DescribingParams, CaptionInputs):
    """Describe pictures in words, and refine the words.

    Captioners describe the picture from above of each region, and street views. Captions that exist already can be
    refined instead, or beside them. Rules, which are data, remove what does not describe the place: refusals, vague or
    unfactual phrases, numbers that cannot be seen, repetition and more; what each removed is counted. Every answer is kept
    at once, so that a run which was stopped asks only for what is still missing.

    With a segmenter, captions are completed and corrected part by part before the rules (UrbanLN's divide and conquer);
    with consensus, of several captions of a picture the one that the others agree with most is marked.
    """

    captioners: list[str] = param(
        [],
        "Models that describe every picture, each for itself: a Hugging Face id or folder of a model from pictures to text, or "
        "'openai:MODEL@URL' for an OpenAI-compatible endpoint (key from the environment variable OPENAI_API_KEY; ?price= "
        "may follow, the price of a million tokens for the estimate that is said first).",
        label="Captioners",
        kind="list",
    )
    segmenter: str | None = param(
        None,
        "Completes and corrects captions part by part: 'grid' divides pictures into 2 x 2 parts, 'grid:3' into 3 x 3; or the "
        "folder or Hugging Face id of a SAM model. Each part is described in a short sentence, and the caption written "
        "anew with these. Not done when not given.",
        label="Segmenter",
        kind="text",
    )
    detector: str | None = param(
        None,
        "Folder or Hugging Face id of an OWLv2 or OWL-ViT model: phrases that it does not find in the picture are cut out "
        "before the caption is written anew. Nothing is cut out when not given.",
        label="Phrase detector",
        kind="text",
        advanced=True,
    )
    merger: str | None = param(
        None,
        "Captioner that describes the parts and writes all captions anew, named like the captioners; it must follow a "
        "prompt. When not given, each captioner does it for its own captions, as far as it follows a prompt: BLIP and GIT "
        "do not.",
        label="Captioner that merges",
        kind="text",
        advanced=True,
    )
    consensus: bool = param(
        False,
        "Mark of each picture the caption that its other captions agree with most, and write how much they agree. "
        "'train' takes only these for UrbanLN.",
        label="Consensus",
        kind="flag",
    )
    parser: str = param(
        "light",
        "What reads objects, attributes and relations out of captions, for the phrase detector and the consensus: 'light', "
        "which needs no model; 'spacy:NAME' for an installed pipeline of spaCy; or the folder or Hugging Face id of a model "
        "that writes scene graphs.",
        label="Scene graph parser",
        kind="text",
        advanced=True,
    )
    consensus_encoder: str = param(
        "minilm",
        "Text encoder by which the consensus matches phrases that are merely alike, named like that of 'train'; 'none' to "
        "match equal words and synonyms only.",
        label="Text encoder of the consensus",
        kind="text",
        advanced=True,
    )
    out: str = param(
        help="Parquet or JSON file to write: region, image, kind, captioner, text, the refined text (empty where the "
        "caption was dropped), what changed it, and with consensus a mark and a score. 'train' takes it as --captions and "
        "reads the refined text.",
        label="Captions",
        kind="file",
        output=True,
    )
    report: str | None = param(
        None,
        "HTML report to write, with what each rule removed and examples.",
        label="Report on the captions",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _something_to_describe(self) -> CaptionStage:
        if not self.captioners and self.captions is None:
            raise ValueError("name who describes (captioners), or captions that exist (captions)")
        if self.captioners and self.imagery is None and self.streetview is None:
            raise ValueError("captioners need pictures: name imagery or street views (imagery, streetview)")
        if self.segmenter is None and (self.detector is not None or self.merger is not None):
            raise ValueError(
                "a phrase detector or a captioner that merges (detector, merger) needs a segmenter (segmenter)"
            )
        if self.segmenter is not None and self.imagery is None and self.streetview is None:
            raise ValueError(
                "captions are completed by their pictures: name imagery or street views (imagery, streetview)"
            )
        if not self.out.lower().endswith((".parquet", ".json")):
            raise ValueError(f"captions are written to .parquet or .json (out), found '{self.out}'")
        return self


class DescribeStage(DescribingParams, CaptionFile):
    """Give every region a caption as a field.

    The words come from a trained model that writes captions, from a captioner, or from captions that exist; of several
    captions of a region the consensus is taken where the file marks it, else the first.
    """

    checkpoint: str | None = param(
        None,
        "Trained model that writes captions of imagery: UrbanCLIP.",
        label="Checkpoint",
        kind="checkpoint",
    )
    captioner: str | None = param(
        None,
        "Model that describes the imagery of every region instead: a Hugging Face id or folder of a model from pictures to "
        "text, or 'openai:MODEL@URL' for an OpenAI-compatible endpoint. Its answers are refined by rules.",
        label="Captioner",
        kind="text",
    )
    beams: int = param(
        4,
        "Texts that are followed side by side while a checkpoint writes; 1 takes the likeliest word each time.",
        label="Beams",
        kind="integer",
        ge=1,
        le=64,
        advanced=True,
    )
    out: str = param(
        help="Layer to write: the regions with the fields caption, empty where there is none, and caption_by, who wrote it.",
        label="Described regions",
        kind="polygons",
        output=True,
    )
    report: str | None = param(
        None,
        "HTML report to write, with a map and some captions.",
        label="Report on the captions",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _one_who_describes(self) -> DescribeStage:
        if sum(one is not None for one in (self.checkpoint, self.captioner, self.captions)) != 1:
            raise ValueError("name one that the captions come from: a checkpoint, a captioner, or captions that exist")
        if self.captions is None and self.imagery is None:
            raise ValueError("pictures are described: name the imagery (imagery)")
        return self
