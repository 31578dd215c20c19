"""Parameters of the stage that makes and refines captions; see `stages`."""

from __future__ import annotations

from pydantic import model_validator

from urbanfm_core.parameters import CaptionInputs, ComputeParams, ImageryInputs, RegionInputs, param


class CaptionStage(ComputeParams, CaptionInputs, ImageryInputs, RegionInputs):
    """Describe pictures in words, and refine the words.

    Captioners describe the picture from above of each region, and street views. Captions that exist already can be
    refined instead, or beside them. Rules, which are data, remove what does not describe the place: refusals, vague or
    unfactual phrases, numbers that cannot be seen, repetition and more; what each removed is counted. Every answer is kept
    at once, so that a run which was stopped asks only for what is still missing.
    """

    captioners: list[str] = param(
        [],
        "Models that describe every picture, each for itself: a Hugging Face id or folder of a model from pictures to text, or "
        "'openai:MODEL@URL' for an OpenAI-compatible endpoint (key from the environment variable OPENAI_API_KEY; ?price= "
        "may follow, the price of a million tokens for the estimate that is said first).",
        label="Captioners",
        kind="list",
    )
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
        "Most tokens that a captioner on this machine writes about a picture.",
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
    out: str = param(
        help="Parquet or JSON file to write: region, image, kind, captioner, text, the refined text (empty where the "
        "caption was dropped) and the rules that changed it. 'train' takes it as --captions and reads the refined text.",
        label="Captions",
        kind="file",
        output=True,
    )
    report: str | None = param(
        None,
        "HTML report to write, with what each rule removed and examples.",
        label="Report",
        kind="file",
        output=True,
    )

    @model_validator(mode="after")
    def _something_to_describe(self) -> CaptionStage:
        if not self.captioners and self.captions is None:
            raise ValueError("name who describes (captioners), or captions that exist (captions)")
        if self.captioners and self.imagery is None and self.streetview is None:
            raise ValueError("captioners need pictures: name imagery or street views (imagery, streetview)")
        if not self.out.lower().endswith((".parquet", ".json")):
            raise ValueError(f"captions are written to .parquet or .json (out), found '{self.out}'")
        return self
