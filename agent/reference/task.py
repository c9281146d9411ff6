"""What kind of model it is: the task, its classes and the positive one, as far as labels or predictions tell."""

from __future__ import annotations

from agent.records import Source
from agent.reference.plan import Plan, Request
from agent.reference.survey import Survey

CLASSES_MAX = 50
POSITIVE_WORDS = ("1", "true", "yes", "positive")
TASK_BINARY, TASK_MULTICLASS, TASK_REGRESSION = 1, 2, 3  # as in reference.proto


def find_task(
    request: Request, plan: Plan, survey: Survey, label: Survey, notes: list[str]
) -> tuple[tuple[str, ...], int, str]:
    """The classes, the task and the positive label: as given, or what the label (else the prediction) looks like."""
    wanted = (Source.PREDICTION, "label" if plan.label is not None else "prediction")
    source = label if plan.label is not None else survey
    number, texts = source.numbers.get(wanted), source.texts.get(wanted)
    classes: tuple[str, ...] = ()
    found = 0
    if texts is not None:
        classes = tuple(sorted(str(key) for key, _ in texts.top(CLASSES_MAX)))
        found = TASK_BINARY if len(texts.counts) <= 2 else TASK_MULTICLASS
    elif number is not None and number.distinct is None:
        found = TASK_REGRESSION
    elif number is not None and number.distinct is not None:
        classes = tuple(f"{value:g}" for value in number.distinct)
        found = TASK_BINARY if set(classes) <= {"0", "1", "-1"} and 0 < len(classes) <= 2 else 0
    task = request.task or request.schema.task or found
    positive = request.positive or request.schema.positive_label
    if task == TASK_BINARY and not positive and classes:
        positive = next((c for c in classes if c.lower() in POSITIVE_WORDS), classes[-1])
        notes.append(f"the positive label is taken to be {positive!r}; say --positive if it is not")
    return (() if task == TASK_REGRESSION else classes), task, positive
