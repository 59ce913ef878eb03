"""HTML from Python calls. Whatever is not `Markup` is escaped, so nothing has to be remembered."""

import html
import json
from typing import Any

# Characters that a page cannot hold, or that would act on the text around them, made visible.
_VISIBLE = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_VOID = frozenset({"meta", "link", "input", "br", "path", "line"})


class Markup(str):
    """Text that is HTML already."""


Content = str | None


def text(value: object) -> Markup:
    """Any value as text of a page. Lone surrogates, which no encoding can write, become "?".

    >>> text("<b>\\x00")
    '&lt;b&gt;␀'
    """
    if isinstance(value, Markup):
        return value
    plain = str(value).translate(_VISIBLE).encode("utf-8", "replace").decode("utf-8")
    return Markup(html.escape(plain))


def el(tag: str, *children: Content, **attributes: object) -> Markup:
    """An element. A child that is None is left out, as is an attribute that is None or False.

    Attribute names are written with "_" for "-", and "class_" for "class".

    >>> el("p", "a < b", class_="note", aria_label='say "hi"')
    '<p class="note" aria-label="say &quot;hi&quot;">a &lt; b</p>'
    """
    given = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{text(value)}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID and not children:
        return Markup(f"<{tag}{given}>" if tag not in ("path", "line") else f"<{tag}{given}/>")
    return Markup(f"<{tag}{given}>{join(*children)}</{tag}>")


def join(*children: Content) -> Markup:
    """Children side by side."""
    return Markup("".join(text(child) for child in children if child is not None))


def data(value: Any) -> Markup:
    """JSON for a script to read: inert, and without anything that could end its element."""
    dumped = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        dumped = dumped.replace(character, f"\\u{ord(character):04x}")
    return Markup(f'<script type="application/json">{dumped}</script>')
