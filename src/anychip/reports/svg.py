"""Pieces of SVG and HTML. All text from outside is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

WIDTH = 960
"""Units of a drawing's width; it is scaled to the page's."""


def text(value: object) -> str:
    """As text of an element."""
    return html.escape(str(value), quote=True)


def element(name: str, content: str = "", **attributes: object) -> str:
    """An element; `content` is markup, attributes are escaped. `class_` and `font_size` become `class` and
    `font-size`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(_number(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{given}>{content}</{name}>"


def drawing(height: float, content: str, label: str) -> str:
    """A drawing of the page's width with a description for those who do not see it."""
    size = f"0 0 {WIDTH} {_number(height)}"
    drawn = f'<svg viewBox="{size}" role="img" aria-label="{text(label)}">{content}</svg>'
    return f'<div class="scroll">{drawn}</div>'


def label(x: float, y: float, value: object, **attributes: object) -> str:
    """Words in a drawing."""
    return element("text", text(value), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def title(value: object) -> str:
    """What is shown at the pointer."""
    return element("title", text(value))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], most: int = 0) -> str:
    """A table; with `most`, rows beyond are counted in words."""
    listed = list(rows)
    shown = listed[:most] if most else listed
    head = "".join(element("th", text(column)) for column in columns)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in shown)
    more = f"<p>and {len(listed) - len(shown)} more</p>" if len(listed) > len(shown) else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'
    )


def _cell(value: object) -> str:
    return element("td", text(value), class_="number") if _is_number(value) else element("td", text(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and value[:1].isdigit())


def _number(value: object) -> object:
    """Numbers as short as they are exact enough for a screen."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
