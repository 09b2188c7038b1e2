"""The small parts that everything on the page is made of."""

from __future__ import annotations

from typing import Any

from .markup import Html, icon, tag


def region(name: str, *children: Html | None, **attributes: object) -> Html:
    """A place whose content the script replaces."""
    return tag("div", {"data-gmi-region": name, **attributes}, children)


def bar(share: float, label: str) -> Html:
    """A share as a bar; a trace of it is always seen."""
    width = f"width:{max(min(share, 1.0) * 100, 0.8):.1f}%"
    filled = tag("span", {"class": "gmi-bar-fill", "style": width})
    return tag("span", {"class": "gmi-bar", "role": "img", "aria-label": label}, filled)


def thumb(url: str | None, prompt: str, extra: str = "", about: Html | None = None) -> Html:
    """A sample that is enlarged when pressed; the script fetches it once it is in sight.

    Args:
        url: as the API names samples; ``None`` if none was kept.
        prompt: that it was made of.
        extra: another class.
        about: what is shown beside the large picture, in place of the prompt.
    """
    if url is None:
        empty = {"class": f"gmi-thumb gmi-thumb-none {extra}".strip()}
        return tag("span", empty | {"title": "No image was kept"}, icon("image"))
    return tag(
        "button",
        {
            "type": "button",
            "class": f"gmi-thumb {extra}".strip(),
            "data-gmi": "enlarge",
            "title": prompt,
            "aria-label": f"Enlarge the sample: {prompt}",
        },
        tag("img", {"data-gmi-thumb": sample_key(url), "alt": ""}),
        None if about is None else tag("template", None, about),
    )


def sample_key(url: str) -> str:
    """Folder and file of a sample: what the script asks for."""
    return "/".join(url.split("/")[-2:])


def star(name: str, title: str, marked: bool) -> Html:
    """Marks a favourite."""
    return tag(
        "button",
        {
            "type": "button",
            "class": "gmi-icon-button gmi-star",
            "data-gmi": "favourite",
            "data-name": name,
            "aria-pressed": "true" if marked else "false",
            "aria-label": f"Favourite: {title}",
            "title": "Favourite",
        },
        icon("star"),
    )


def chip(text: str, kind: str = "", title: str | None = None) -> Html:
    """A small label."""
    return tag("span", {"class": f"gmi-chip {kind}".strip(), "title": title}, text)


def lesser_button(label: str, action: str, mark: str, name: str, in_words: bool) -> Html:
    """A button beside the one that matters; on the smaller cards it is a drawing."""
    if in_words:
        return button(label, action, "gmi-button gmi-plain", name, mark=mark)
    return tag(
        "button",
        {
            "type": "button",
            "class": "gmi-icon-button",
            "data-gmi": action,
            "data-name": name,
            "title": label,
            "aria-label": label,
        },
        icon(mark),
    )


def button(  # noqa: PLR0913  what a button is, in one place
    label: str,
    action: str,
    classes: str = "gmi-button gmi-plain",
    name: str | None = None,
    *,
    title: str | None = None,
    hidden: bool = False,
    disabled: bool = False,
    mark: str | None = None,
) -> Html:
    """A button that the script hears: ``data-gmi`` says what it does, ``data-name`` to what."""
    return tag(
        "button",
        {
            "type": "button",
            "class": classes,
            "data-gmi": action,
            "data-name": name,
            "title": title,
            "hidden": hidden,
            "disabled": disabled,
        },
        icon(mark) if mark else None,
        tag("span", None, label),
    )


def note(kind: str, *children: Html | str | None) -> Html:
    return tag("p", {"class": "gmi-note"}, icon(kind), tag("span", None, children))


def fold(title: str, *children: Any, count: int | None = None, opened: bool = False) -> Html:
    """Something that opens when it is wanted, or is open until somebody closes it."""
    return tag(
        "details",
        {"class": "gmi-fold", "open": opened},
        tag(
            "summary",
            None,
            icon("chevron"),
            tag("span", None, title),
            None if count is None else tag("span", {"class": "gmi-count"}, count),
        ),
        tag("div", {"class": "gmi-fold-body"}, children),
    )


def trouble(message: str, title: str = "That did not work") -> Html:
    """What went wrong, for people."""
    return tag(
        "div",
        {"class": "gmi-trouble", "role": "alert"},
        icon("alert"),
        tag("div", None, tag("p", {"class": "gmi-kicker"}, title), tag("p", None, message)),
    )
