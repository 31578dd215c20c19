"""Reports: one self-contained HTML page each, pictures inline as SVG, no script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from urbanfm_core.files import atomic_path

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em;color:#222}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}table{border-collapse:collapse}"
    "td,th{padding:.3em .9em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}"
    "tr.bad{background:#fde8e8}svg{max-width:100%;height:auto}"
)


def write_page(path: str | Path, title: str, *parts: str) -> None:
    """Write a page from parts of HTML that `table`, `notes` and `picture` made."""
    text = (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], bad: Sequence[bool] = ()) -> str:
    """Rows as a table; those marked bad are tinted."""
    head = "".join(f"<th>{html.escape(item)}</th>" for item in headers)
    body = ""
    for number, row in enumerate(rows):
        mark = " class='bad'" if number < len(bad) and bad[number] else ""
        body += f"<tr{mark}>" + "".join(f"<td>{html.escape(_text(item))}</td>" for item in row) + "</tr>"
    return f"<table><tr>{head}</tr>{body}</table>"


def notes(title: str, sentences: Sequence[str]) -> str:
    """Sentences as a list under a heading; nothing if there are none."""
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f"<h2>{html.escape(title)}</h2><ul>{items}</ul>" if items else ""


def picture(title: str, svg: str | None) -> str:
    """An SVG picture of our own making, inline; nothing if there is none."""
    if svg is None:
        return ""
    start = svg.find("<svg")
    return f"<h2>{html.escape(title)}</h2>{svg[start:]}" if start >= 0 else ""


def _text(item: Any) -> str:
    if isinstance(item, float):
        return f"{item:.4g}"
    if isinstance(item, dict):
        return ", ".join(f"{key} {_text(value)}" for key, value in item.items())
    if isinstance(item, (list, tuple)):
        return ", ".join(_text(value) for value in item)
    return str(item)
