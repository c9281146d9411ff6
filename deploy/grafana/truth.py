"""What the truth tells of one model: its labels, how good it is, groups of people, versions beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana.panels import Panel, Query, Row, about, rate, selector
from deploy.grafana.shared import MODEL_SCOPE, NAME_SCOPE, WHOLE

METRIC = 'sidelight_performance_metric=~"$metric"'
VALUE, LONGEST, NEWEST = 'sidelight_statistic="value"', 'sidelight_horizon="24"', 'sidelight_horizon="1"'
OF_SEGMENT = 'sidelight_segment!=""'
VERSION, CHALLENGER = "{{sidelight_model_version}}", "{{sidelight_challenger_version}}"
STATISTIC = "sidelight_model_version, sidelight_statistic"
EACH = "The mean over replicas, each of which sees labels of its own."
LABELS, TWO, GROUPS = "needs labels", "needs two versions", "needs SIDELIGHT_FAIRNESS"
PAST, GROUPS_PAST = f"{LABELS}, and a past to compare with", f"{GROUPS}, and a past to compare with"
LABELLED = "needs a reference with labels"
CLASSES, SEGMENTS, TRAINED = f"{LABELS} of classes", f"{LABELS} and SIDELIGHT_SEGMENTS", "needs a time of training"


def rows() -> Sequence[Row]:
    return [
        Row("Labels", _labels()), Row("Performance: $metric", _performance()), Row("Groups of people", _groups()),
        Row("Versions beside each other", _versions()),
    ]  # fmt: skip


def of_model(name: str, *matchers: str) -> str:
    return selector(name, *matchers, scope=MODEL_SCOPE)


def _labels() -> list[Panel]:
    delay = rate("sidelight.label.delay", scope=NAME_SCOPE)
    return [
        Panel(
            "Labels", about("sidelight.labels"),
            [Query("sum by (sidelight_model_version, sidelight_outcome) "
                   f"({rate('sidelight.labels', scope=MODEL_SCOPE)})", f"{VERSION} {{{{sidelight_outcome}}}}")], "cps",
        ),
        Panel(
            "What became of labels", f"{about('sidelight.label.settled')} Of all versions together.",
            [Query(f"sum by (sidelight_outcome) ({rate('sidelight.label.settled', scope=NAME_SCOPE)})",
                   "{{sidelight_outcome}}", sparse=LABELS)], "cps",
        ),
        Panel(
            "How late labels come", about("sidelight.label.delay"),
            [Query(f"histogram_quantile({share}, sum({delay}))", f"p{share * 100:g}", sparse=LABELS)
             for share in (0.5, 0.9, 0.99)], "s",
        ),
        Panel(
            "Predictions that have their label", f"{about('sidelight.label.coverage')} All versions; by agent.",
            [Query(f"max by (instance) ({selector('sidelight.label.coverage', scope=NAME_SCOPE)})", "{{instance}}",
                   sparse=LABELS)], "percentunit", width=6,
        ),
        Panel(
            "What waits", "Predictions for their label, and labels for their prediction. All versions; by agent: "
            "with a shared store all say the same of predictions.",
            [Query(f"max by (instance) ({selector('sidelight.prediction.waiting', scope=NAME_SCOPE)})",
                   "predictions {{instance}}", sparse=LABELS),
             Query(f"max by (instance) ({selector('sidelight.label.waiting', scope=NAME_SCOPE)})",
                   "labels {{instance}}", sparse=LABELS)],
            "short", width=6,
        ),
        Panel(
            "Predictions that got no label", about("sidelight.prediction.unlabelled"),
            [Query(f"sum({rate('sidelight.prediction.unlabelled', scope=NAME_SCOPE)})", "no label", sparse=LABELS)],
            "cps", width=6,
        ),
        Panel(
            "Kept for their label", "Share of the predictions, by their id, and what they occupy on disk. By agent.",
            [Query(f"min by (instance) ({selector('sidelight.label.sample', scope=NAME_SCOPE)})", "share {{instance}}",
                   sparse=LABELS)], "percentunit", width=6,
        ),
    ]  # fmt: skip


def _performance() -> list[Panel]:
    def figures(*matchers: str) -> str:
        return of_model("sidelight.performance", METRIC, *matchers)

    outcomes = "sidelight_performance_actual, sidelight_performance_predicted"
    counted = of_model("sidelight.performance.outcomes")
    return [
        Panel(
            "$metric over 24 windows", f"Of the windows with labels: value and limits of 95 %. {EACH}",
            [Query(f"avg by ({STATISTIC}) ({figures(LONGEST, WHOLE)})", f"{VERSION} {{{{sidelight_statistic}}}}",
                   sparse=LABELS)], "none",
        ),
        Panel(
            "$metric of the newest window", f"{about('sidelight.performance').partition(':')[0]}. {EACH}",
            [Query(f"avg by (sidelight_model_version) ({figures(NEWEST, WHOLE, VALUE)})", VERSION, sparse=LABELS)],
            "none",
        ),
        Panel(
            "$metric before labels come", about("sidelight.performance.estimated"),
            [Query(f"avg by ({STATISTIC}) ({of_model('sidelight.performance.estimated', METRIC)})",
                   f"{VERSION} {{{{sidelight_statistic}}}}", sparse=LABELLED)], "none",
        ),
        Panel(
            "Labels behind it", about("sidelight.performance.labels"),
            [Query("sum by (sidelight_model_version) "
                   f"({of_model('sidelight.performance.labels', LONGEST, WHOLE)})", VERSION, sparse=LABELS)], "short",
        ),
        Panel(
            "Every figure over 24 windows", f"The newest value of each. {EACH}",
            [Query("avg by (sidelight_model_version, sidelight_performance_metric) "
                   f"({of_model('sidelight.performance', LONGEST, WHOLE, VALUE)})", instant=True, sparse=LABELS)],
            "none", "table",
            transformations=[{"id": "organize", "options": {"excludeByName": {"Time": True}}}],
        ),
        Panel(
            "Whether the estimate is to be believed", about("sidelight.performance.estimated.believed"),
            [Query("min by (instance, sidelight_model_version) "
                   f"({of_model('sidelight.performance.estimated.believed')})", f"{VERSION} {{{{instance}}}}",
                   sparse=LABELLED)], "none",
        ),
        Panel(
            "How sure a drop is", f"{about('sidelight.performance.significance')} Concept drift: "
            f"{about('sidelight.concept.evidence')}",
            [Query("max by (sidelight_model_version, sidelight_performance_metric) "
                   f"({of_model('sidelight.performance.significance')})",
                   f"{VERSION} {{{{sidelight_performance_metric}}}}", sparse=PAST),
             Query("max by (sidelight_model_version, sidelight_segment) "
                   f"({of_model('sidelight.concept.evidence')})", f"{VERSION} concept {{{{sidelight_segment}}}}",
                   sparse=PAST)], "none",
        ),
        Panel(
            "Mistakes, now and usual", about("sidelight.concept.loss"),
            [Query(f"avg by (sidelight_model_version) ({of_model('sidelight.concept.loss', WHOLE)})", VERSION,
                   sparse=PAST),
             Query(f"avg by (sidelight_model_version) ({of_model('sidelight.concept.loss.usual', WHOLE)})",
                   f"{VERSION} usual", sparse=PAST)], "none",
        ),
        Panel(
            "Outcomes", f"{about('sidelight.performance.outcomes')} Here over the time range shown, of all replicas.",
            [Query(f"sum by (sidelight_model_version, {outcomes}) (increase({counted}[$__range]))", instant=True,
                   sparse=CLASSES)], "short", "table",
            transformations=[{"id": "organize", "options": {"excludeByName": {"Time": True}}}],
        ),
        Panel(
            "$metric by segment", f"Over 24 windows with labels. {EACH}",
            [Query("avg by (sidelight_model_version, sidelight_segment) "
                   f"({figures(LONGEST, OF_SEGMENT, VALUE)})", f"{VERSION} {{{{sidelight_segment}}}}",
                   sparse=SEGMENTS)], "none",
        ),
        Panel(
            "By class", about("sidelight.performance.class"),
            [Query("avg by (sidelight_model_version, sidelight_performance_class, sidelight_performance_metric) "
                   f"({of_model('sidelight.performance.class')})",
                   "{{sidelight_performance_metric}} of {{sidelight_performance_class}}",
                   sparse="needs more than two classes")], "percentunit",
        ),
        Panel(
            "Age and reasons to train anew", f"{about('sidelight.model.age')} {about('sidelight.retrain.reason')}",
            [Query(f"max by (sidelight_model_version) ({of_model('sidelight.model.age')})", f"{VERSION} age",
                   sparse=TRAINED),
             Query(f"max by (sidelight_model_version, sidelight_reason) ({of_model('sidelight.retrain.reason')})",
                   f"{VERSION} {{{{sidelight_reason}}}}", sparse="nothing while all is well")], "s",
        ),
    ]  # fmt: skip


def _groups() -> list[Panel]:
    attribute = "sidelight_fairness_attribute"
    return [
        Panel(
            "Disparities over 24 windows", about("sidelight.fairness.disparity"),
            [Query(f"max by ({attribute}, sidelight_fairness_metric) "
                   f"({of_model('sidelight.fairness.disparity', LONGEST, VALUE)})",
                   f"{{{{{attribute}}}}} {{{{sidelight_fairness_metric}}}}", sparse=GROUPS)], "none",
        ),
        Panel(
            "How sure", about("sidelight.fairness.significance"),
            [Query(f"max by ({attribute}, sidelight_check) ({of_model('sidelight.fairness.significance')})",
                   f"{{{{{attribute}}}}} {{{{sidelight_check}}}}", sparse=GROUPS_PAST)],
            "none",
        ),
        Panel(
            "Rates of groups over 24 windows", about("sidelight.fairness.group.rate"),
            [Query(f"avg by ({attribute}, sidelight_fairness_group, sidelight_fairness_measure) "
                   f"({of_model('sidelight.fairness.group.rate', LONGEST)})",
                   f"{{{{{attribute}}}}} {{{{sidelight_fairness_group}}}} {{{{sidelight_fairness_measure}}}}",
                   sparse=GROUPS)], "none",
        ),
        Panel(
            "Records of groups", about("sidelight.fairness.group.records"),
            [Query(f"sum by ({attribute}, sidelight_fairness_group, sidelight_fairness_kind) "
                   f"({rate('sidelight.fairness.group.records', scope=MODEL_SCOPE)})",
                   f"{{{{{attribute}}}}} {{{{sidelight_fairness_group}}}} {{{{sidelight_fairness_kind}}}}",
                   sparse=GROUPS)], "cps",
        ),
    ]  # fmt: skip


def _versions() -> list[Panel]:
    def beside(name: str, *matchers: str, by: str = "", said: str = "") -> Query:
        more = f", {by}" if by else ""
        expression = f"avg by (sidelight_challenger_version{more}) ({of_model(name, *matchers)})"
        return Query(expression, said or f"{CHALLENGER} {{{{{by}}}}}".removesuffix(" {{}}"), sparse=TWO)

    return [
        Panel(
            "What is known of the challenger", f"{about('sidelight.shadow.decision')} By agent.",
            [Query("max by (instance, sidelight_challenger_version, sidelight_decision) "
                   f"({of_model('sidelight.shadow.decision')}) == 1", f"{CHALLENGER} {{{{sidelight_decision}}}}",
                   sparse=TWO)], "none", "state-timeline",
        ),
        Panel(
            "Better by", about("sidelight.shadow.loss.difference"),
            [beside("sidelight.shadow.loss.difference", by="sidelight_statistic")], "none",
        ),
        Panel(
            "Labels until a decision", about("sidelight.shadow.label.needed"),
            [Query(f"max by (sidelight_challenger_version) ({of_model('sidelight.shadow.label.needed')})", CHALLENGER,
                   sparse="where one is foreseen")], "short",
        ),
        Panel(
            "Same answers", about("sidelight.shadow.agreement"), [beside("sidelight.shadow.agreement")], "percentunit",
        ),
        Panel(
            "How far answers are apart", about("sidelight.shadow.difference"),
            [beside("sidelight.shadow.difference", by="sidelight_statistic")], "none",
        ),
        Panel(
            "Requests that both answered", about("sidelight.shadow.pairs"),
            [Query("sum by (sidelight_challenger_version, sidelight_labelled) "
                   f"({rate('sidelight.shadow.pairs', scope=MODEL_SCOPE)})",
                   f"{CHALLENGER} labelled {{{{sidelight_labelled}}}}", sparse=TWO)], "cps",
        ),
        Panel(
            "Slower by", about("sidelight.shadow.latency.difference"),
            [beside("sidelight.shadow.latency.difference")], "s", width=12,
        ),
        Panel(
            "Dearer by", about("sidelight.shadow.measure.difference"),
            [beside("sidelight.shadow.measure.difference", by="sidelight_measure")], "none", width=12,
        ),
    ]  # fmt: skip
