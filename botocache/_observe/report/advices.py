"""The section of a report that says what to do."""

from collections.abc import Mapping
from typing import Final

from botocache._observe.advice import FIX, KNOW, SAVE, Advice
from botocache._observe.report.markup import Html, element
from botocache._observe.report.subject import Subject, card, name_of, paragraph, section

# --- advice ------------------------------------------------------------------------

_KINDS: Final[Mapping[str, str]] = {
    FIX: "To fix",
    SAVE: "To save more",
    KNOW: "Good to know",
}


def advices(subject: Subject) -> Html:
    """Return what to do."""
    advice = subject.advice
    if not advice:
        return section(
            "advice",
            "Advice",
            card(
                paragraph(
                    "None. No table is written too often to be cached, no entry ends "
                    "too early, no writer was seen to go around botocache, and nothing "
                    "has failed; or there were too few reads to tell."
                ),
            ),
        )
    return section(
        "advice",
        "Advice",
        paragraph("Drawn from these figures. Each says on what it rests."),
        element("ul", {"class": "advice"}, [_advice_item(each) for each in advice]),
    )


def _advice_item(advice: Advice) -> Html:
    return element(
        "li",
        {"data-advice": advice.name},
        element("span", {"class": f"tag {advice.kind}"}, _KINDS[advice.kind]),
        element(
            "h3",
            None,
            advice.title,
            [
                element("span", {"class": "about"}, ": "),
                element("code", None, name_of(advice.table)),
            ]
            if advice.table
            else None,
        ),
        paragraph(advice.evidence, kind="evidence"),
        paragraph(advice.action),
        element("pre", None, element("code", None, advice.setting))
        if advice.setting
        else None,
    )
