"""Reports: one self-contained HTML page each, pictures inline as SVG, no script, nothing fetched from anywhere."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urbanfm_core.files import atomic_path

# Colours are spelt out where they are used: the viewer of older QGIS knows no variables. Pictures are drawn for white
# paper and keep it in the dark.
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em;color:#222;background:#fff}"
    "h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:1.8em;border-bottom:1px solid #ddd}"
    ".quiet{color:#5c5c5c;margin-top:0}"
    "table{border-collapse:collapse;margin:.6em 0}"
    "td,th{padding:.3em .9em .3em 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top;"
    "overflow-wrap:anywhere}.wide{font-size:.78em}.wide td,.wide th{padding-right:.6em}.scroll{overflow-x:auto}"
    ".nobreak{white-space:nowrap}th{color:#5c5c5c;font-weight:600;white-space:nowrap}tr.bad td{background:#fde8e8;color:#222}"
    "pre{background:#f3f3f3;padding:.8em 1em;white-space:pre-wrap;overflow-wrap:anywhere}"
    "figure{margin:.8em 0;padding:.6em;background:#fff;color:#222;overflow-x:auto}svg{max-width:100%;height:auto}"
    "@media screen and (prefers-color-scheme:dark){body{color:#e4e4e4;background:#1b1c1e}"
    "h2,td,th{border-color:#444}.quiet,th{color:#a8a8a8}pre{background:#2a2b2e}tr.bad td{background:#5a2626;color:#fff}"
    "figure{border-radius:4px}}"
    "@page{margin:15mm}"
    "@media print{body{margin:0;max-width:none;padding:0;font-size:10pt;-webkit-print-color-adjust:exact;"
    "print-color-adjust:exact}h1,h2{break-after:avoid}figure,tr,li{break-inside:avoid}thead{display:table-header-group}"
    "figure,.scroll{padding:0;overflow:visible}.wide{font-size:6.5pt}svg{max-height:170mm}}"
)
# Tables of so many columns are set in small letters.
_WIDE = 8
_SHORT = 12
# Browsers are told what the page keeps to by itself: no script, and pictures that lie in it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Page:
    """What a stage has to show.

    Attributes:
        title: In plain text.
        parts: HTML that `table`, `notes`, `picture` and `paragraph` made.
    """

    title: str
    parts: Sequence[str]


def write_page(path: str | Path, page: Page) -> None:
    """Write a page, whole or not at all."""
    title = html.escape(page.title)
    text = (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{''.join(page.parts)}</body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def heading(title: str) -> str:
    """A heading of a section."""
    return f"<h2>{html.escape(title)}</h2>"


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
    for number, row in enumerate(rows):
        mark = " class='bad'" if number < len(bad) and bad[number] else ""
        body += f"<tr{mark}>" + "".join(_cell(item) for item in row) + "</tr>"
    kind = " class='wide'" if len(headers) >= _WIDE else ""
    return f"<div class='scroll'><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def notes(title: str, sentences: Sequence[str]) -> str:
    """Sentences as a list under a heading; nothing if there are none."""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f"{heading(title)}<ul>{items}</ul>" if items else ""


def picture(title: str, svg: str | None) -> str:
    """An SVG picture of our own making, inline; nothing if there is none."""
    if svg is None:
        return ""
    start = svg.find("<svg")
    return f"{heading(title)}<figure>{svg[start:]}</figure>" if start >= 0 else ""


def _cell(item: Any) -> str:
    text = _text(item)
    # Numbers with their unit, such as 8.6 MiB, stay on one line.
    short = " class='nobreak'" if len(text) <= _SHORT else ""
    return f"<td{short}>{html.escape(text)}</td>"


def _text(item: Any) -> str:
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, dict):
        return ", ".join(f"{key} {_text(value)}" for key, value in item.items())
    if isinstance(item, (list, tuple)):
        return ", ".join(_text(value) for value in item)
    return str(item)
