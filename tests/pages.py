"""What the tests of reports look for in a page."""

import html
import re
import shlex
from xml.etree import ElementTree

SECTIONS = ("What went in", "To repeat this", "Made with", "Settings")


def command_of(page):
    """The command line that a report names, taken apart."""
    lines = html.unescape(re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)[-1])
    folder, line = lines.split("\n", 1)
    return shlex.split(folder)[1], shlex.split(line)


def check_page(page, *words):
    """Whole, without script or anything from elsewhere; pictures that parse; the sections; and some words."""
    assert page.count("<html") == page.count("</html>") == 1
    assert not re.search(r"<script|<link|<iframe|@import|url\((?!#)|javascript:", page, re.IGNORECASE)
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawn)
    for name in (*SECTIONS, *words):
        assert name in html.unescape(page), name
    assert "@media print" in page and "prefers-color-scheme:dark" in page
