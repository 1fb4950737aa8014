"""The page of eval/app.py, in Gradio: what it shows of an answer, and where. What users type is plain text only."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from storm.scales import Scale, coarse_of
from storm.prompts import answers

if TYPE_CHECKING:
    import gradio

OWN = "My own levels"  # the last domain
MOST_RATES, MOST_LEVELS = 200, 3000  # letters typed: our choice
NAMED = 12  # levels at most whose names stand below the bars
AWAY = "away"  # a CSS class
WAITING = 32  # photographs in the queue
# Gradio's page asks other servers for these even with fonts of its own; it works without.
ELSEWHERE = re.compile(r'<link\s+rel="preconnect"[^>]*>|<script\s+src="https://[^>]*>\s*</script>')


class Said(NamedTuple):
    """What the page shows of one answer."""

    coarse: str
    rating: str
    decisions: list[list[str]]  # what, its value, what it is good for
    levels: list[list]  # of every level, in order: its name, its coarse thought, its probability


def said(row: dict, scale: Scale, strategy: str) -> Said:
    """What a row of eval.inference.rater.decided means to a reader."""
    label = answers(scale, strategy)[row["predict"]]
    names = [level.shown(strategy) for level in scale.fine]
    groups = [coarse_of(scale, level).shown(strategy) for level in range(scale.lo, scale.hi + 1)]
    if strategy == "direct":
        groups = ["none"] * len(names)
    decisions = [
        ["mode", names[label - scale.lo], "the likeliest level: best for accuracy"],
        ["median", names[row["median"] - scale.lo], "best for the absolute error"],
        ["mean", f"{row['mean']:.3f}", f"best for correlation; the levels count from {scale.lo} to {scale.hi}"],
        ["entropy", f"{row['entropy']:.3f}", f"0: certain, {math.log(len(names)):.3f}: no idea"],
        ["mass", f"{row['mass']:.3g}", "of all valid answers; far below 1: the model does not know this question"],
    ]
    levels = [list(line) for line in zip(names, groups, row["probs"])]
    return Said(groups[label - scale.lo], names[label - scale.lo], decisions, levels)


def page(
    rate: Callable[[str | None, Scale], Said],
    own_scale: Callable[[str, str], Scale],
    domains: Mapping[str, Scale],
    examples: Sequence[Path],
) -> "gradio.Blocks":
    """`rate` gets an upload's path and a scale, `own_scale` what is rated and the levels; their ValueErrors show."""
    import gradio as gr
    import pandas as pd

    def answered(photo: str | None, domain: str, rates: str, levels: str) -> list:
        try:
            said = rate(photo, own_scale(rates, levels) if domain == OWN else domains[domain])
        except ValueError as error:
            return [gr.update(value=str(error), visible=True), gr.update(elem_classes=[AWAY]), *[gr.skip()] * 5]
        chances = pd.DataFrame([(name, chance) for name, _, chance in said.levels], columns=["level", "probability"])
        few = len(chances) <= NAMED
        title = "level" if few else f"{said.levels[0][0]} to {said.levels[-1][0]}"
        bars = gr.update(value=chances, x_axis_labels_visible=few, x_title=title)
        seen = [gr.update(visible=False), gr.update(elem_classes=[])]
        return [*seen, said.coarse, said.rating, bars, said.decisions, said.levels]

    theme = gr.themes.Default(font=["sans-serif"], font_mono=["sans-serif"])
    look = {"theme": theme, "css": f".{AWAY} {{display: none !important}}"}
    with gr.Blocks(title="STORM", analytics_enabled=False, delete_cache=(3600, 3600), **look) as blocks, gr.Row():
        with gr.Column():
            photo = gr.Image(type="filepath", sources=["upload"], label="Photograph", height=300)
            # The file as it came: Gradio would decode it here, turn it, and fail with a stack trace.
            photo.preprocess = lambda payload: payload and payload.path
            if examples:
                gr.Examples([[str(path)] for path in examples], [photo], label="Or one of these", api_name=False)
            domain = gr.Dropdown([*domains, OWN], value=next(iter(domains)), label="Scale", filterable=False)
            with gr.Group(visible=False) as own:
                rates = gr.Textbox(label="Rates what", max_length=MOST_RATES, value="the tidiness of a desk")
                levels = gr.Textbox(label="Levels, one a line, from the lowest", lines=5, max_length=MOST_LEVELS)
            button = gr.Button("Rate", variant="primary", elem_id="rate")
        with gr.Column():
            problem = gr.Textbox(label="Problem", lines=2, visible=False, elem_id="problem")
            # Hidden by CSS, not visible=False: Gradio's plot throws if it is removed while it is drawn.
            with gr.Column(elem_classes=[AWAY]) as result:
                coarse = gr.Textbox(label="Coarse thought", elem_id="coarse")
                rating = gr.Textbox(label="Rating", elem_id="rating")
                bars = gr.BarPlot(
                    x="level", y="probability", label="Probability of each level", x_label_angle=-30, elem_id="bars"
                )
                heads, widths = ["decision", "value", "what for"], ["18%", "27%", "55%"]
                decisions = gr.Dataframe(
                    headers=heads, column_widths=widths, interactive=False, wrap=True, elem_id="decisions"
                )
                heads, widths = ["level", "coarse thought", "probability"], ["40%", "40%", "20%"]
                table = gr.Dataframe(
                    headers=heads, column_widths=widths, interactive=False, wrap=True, elem_id="levels"
                )
        domain.change(lambda name: gr.update(visible=name == OWN), domain, own, queue=False, api_name=False)
        outputs = [problem, result, coarse, rating, bars, decisions, table]
        button.click(answered, [photo, domain, rates, levels], outputs, api_name=False)
    return blocks.queue(default_concurrency_limit=1, max_size=WAITING, api_open=False)


def no_requests_elsewhere() -> None:
    """Takes what is loaded from other servers out of Gradio's page, for this whole process."""
    from gradio.routes import templates
    from jinja2 import FunctionLoader

    whole = templates.env.loader
    templates.env.loader = FunctionLoader(lambda name: ELSEWHERE.sub("", whole.get_source(templates.env, name)[0]))
