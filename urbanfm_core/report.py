"""Reports: one self-contained HTML page each, pictures inline as SVG, no script, nothing fetched from anywhere."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urbanfm_core.files import atomic_path

# Colours are spelt out where they are used: the viewer of older QGIS knows no variables. Pictures are drawn for white
# paper and keep it in the dark.
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em;color:#222;background:#fff;"
    "overflow-wrap:anywhere}"
    "h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:1.8em;border-bottom:1px solid #ddd}"
    "h3{font-size:1em;margin:1.4em 0 .3em}"
    ".quiet{color:#5c5c5c;margin-top:0}.lead{font-size:1.12em;margin:1em 0}"
    ".warn{border-left:4px solid #b45f06;background:#fff4e5;color:#222;padding:.5em 1em;margin:1em 0}"
    ".warn b{color:#8a4500}.warn ul{margin:.3em 0;padding-left:1.3em}"
    "table{border-collapse:collapse;margin:.6em 0;font-variant-numeric:tabular-nums}"
    "td,th{padding:.3em .9em .3em 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top;"
    "overflow-wrap:normal}.long{overflow-wrap:anywhere}"
    ".wide{font-size:.78em}.wide td,.wide th{padding-right:.6em}.scroll{overflow-x:auto}"
    ".nobreak{white-space:nowrap}th{color:#5c5c5c;font-weight:600}tr.bad td{background:#fde8e8;color:#222}"
    "pre{background:#f3f3f3;padding:.8em 1em;white-space:pre-wrap}"
    "figure{margin:.8em 0;padding:.6em;background:#fff;color:#222;overflow-x:auto}svg{max-width:100%;height:auto}"
    "figcaption{color:#5c5c5c;max-width:46em}"
    "@media screen and (max-width:40em){figure svg{max-width:none;width:38em}}"
    "@media screen and (prefers-color-scheme:dark){body{color:#e4e4e4;background:#1b1c1e}"
    "h2,td,th{border-color:#444}.quiet,th{color:#a8a8a8}pre{background:#2a2b2e}tr.bad td{background:#5a2626;color:#fff}"
    ".warn{background:#3a2c17;color:#f0e6d8;border-color:#e0913a}.warn b{color:#f3b567}figure{border-radius:4px}}"
    "@page{margin:15mm}"
    "@media print{body{margin:0;max-width:none;padding:0;font-size:10pt;-webkit-print-color-adjust:exact;"
    "print-color-adjust:exact}h1,h2,h3{break-after:avoid}figure,tr,li,pre,.warn li{break-inside:avoid}"
    "thead{display:table-header-group}table{font-size:9pt}"
    "figure,.scroll{padding:0;overflow:visible}.wide{font-size:6.5pt}svg{max-height:105mm}}"
)
# Tables of so many columns are set in small letters.
_WIDE = 8
_SHORT = 12
# Words from so many characters on, such as paths, may be broken anywhere.
_LONG = 26
_DIGITS, _MOST_DIGITS = 3, 9
_SET = 6
_BRACKETS = re.compile(r"\[[^\]]{,40}\]")
# Browsers are told what the page keeps to by itself: no script, and pictures that lie in it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Page:
    """What a stage has to show.

    Attributes:
        title: In plain text.
        parts: HTML that `table`, `notes`, `picture` and `paragraph` made.
        answer: The same, of what is read first: what came of the run, in a sentence or a small table.
    """

    title: str
    parts: Sequence[str]
    answer: Sequence[str] = ()


def write_page(path: str | Path, page: Page) -> None:
    """Write a page, whole or not at all."""
    title = html.escape(page.title)
    text = (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{''.join([*page.answer, *page.parts])}</body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def heading(title: str) -> str:
    """A heading of a section."""
    return f"<h2>{html.escape(title)}</h2>"


def subheading(title: str) -> str:
    """A heading inside a section."""
    return f"<h3>{html.escape(title)}</h3>"


def lead(text: str) -> str:
    """The sentence that answers what was asked."""
    return f"<p class=lead>{html.escape(text)}</p>"


def warnings(sentences: Sequence[str]) -> str:
    """What to know before the rest is trusted; nothing if there is none."""
    return f"<div class=warn><b>Warnings</b>{bullets(sentences)}</div>" if sentences else ""


def paragraph(text: str, *, quiet: bool = False) -> str:
    """A paragraph of plain text."""
    return f"<p{' class=quiet' if quiet else ''}>{html.escape(text)}</p>"


def code(text: str) -> str:
    """Lines to copy."""
    return f"<pre>{html.escape(text)}</pre>"


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], bad: Sequence[bool] = ()) -> str:
    """Rows as a table; those marked bad are tinted."""
    head = "".join(f"<th>{html.escape(item)}</th>" for item in headers)
    body = ""
    for place, row in enumerate(rows):
        mark = " class='bad'" if place < len(bad) and bad[place] else ""
        body += f"<tr{mark}>" + "".join(_cell(item) for item in row) + "</tr>"
    kind = " class='wide'" if len(headers) >= _WIDE else ""
    return f"<div class='scroll'><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def notes(title: str, sentences: Sequence[str]) -> str:
    """Sentences as a list under a heading; nothing if there are none."""
    return heading(title) + bullets(sentences) if sentences else ""


def bullets(sentences: Sequence[str]) -> str:
    """Sentences as a list."""
    return f"<ul>{''.join(f'<li>{html.escape(sentence)}</li>' for sentence in sentences)}</ul>"


def picture(title: str, svg: str | None, caption: str = "") -> str:
    """An SVG picture of our own making, inline, and what it shows; nothing if there is none."""
    start = -1 if svg is None else svg.find("<svg")
    if svg is None or start < 0:
        return ""
    said = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return f"{heading(title) if title else ''}<figure>{svg[start:]}{said}</figure>"


def number(value: float) -> str:
    """A number as a person reads it: three digits at least, thousands apart, no power of ten unless it is tiny."""
    if not math.isfinite(value):
        return "-"
    size = abs(value)
    if size and size < 1e-3:
        return f"{value:.2g}"
    return f"{value:,.{_decimals(size)}f}"


def even(values: Sequence[float], digits: int = _DIGITS, by: Sequence[float] | None = None) -> list[str]:
    """Numbers that are read together, all with as many decimals as the largest needs for so many digits.

    Args:
        values: The numbers.
        digits: How many.
        by: Those that decide, if not all do, such as a mean before its interval.
    """
    finite = [abs(value) for value in (values if by is None else by) if math.isfinite(value)]
    decimals = _decimals(max(finite, default=0.0), digits)
    # Adding 0 takes the sign from what was rounded to 0.
    return [f"{round(value, decimals) + 0.0:,.{decimals}f}" if math.isfinite(value) else "-" for value in values]


def told_apart(values: Sequence[float]) -> list[str]:
    """Numbers as a legend shows them: as `even`, with more decimals where two different ones would look alike."""
    for digits in range(_DIGITS, _MOST_DIGITS + 1):
        words = even(values, digits)
        if len(set(words)) >= len(set(values)):
            break
    return words


def _decimals(size: float, digits: int = _DIGITS) -> int:
    """Decimals that show so many digits of a number; of one below 1 these begin behind the point."""
    return max(0, digits - 1 - math.floor(math.log10(size))) if size >= 1 else digits


def _cell(item: Any) -> str:
    text = _text(item)
    # Numbers with their unit, such as 8.6 MiB, stay on one line.
    kind = " class='nobreak'" if len(text) <= _SHORT else ""
    if any(len(word) >= _LONG for word in text.split()):
        kind = " class='long'"
    # An interval in brackets goes to the next line as a whole.
    text = _BRACKETS.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    return f"<td{kind}>{html.escape(text)}</td>"


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, float):
        short = f"{item:g}"
        # What was set, such as 0.002, is told as it is; what was measured has more digits than mean anything.
        return short if float(short) == item and len(short) <= _SET else number(item)
    if isinstance(item, dict):
        return ", ".join(f"{key} {_text(value)}" for key, value in item.items())
    if isinstance(item, (list, tuple)):
        return ", ".join(_text(value) for value in item)
    return str(item)
