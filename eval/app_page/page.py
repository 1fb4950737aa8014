"""The page of eval/app.py, in Gradio. What users type is plain text only."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from storm.prompts import STRATEGIES, answers, shown
from storm.scales import Scale, coarse_of

if TYPE_CHECKING:
    import gradio

TYPED = "My own levels"  # the last choice of a scale
MAX_RATES, MAX_LEVELS = 200, 3000  # letters typed: our choice
MAX_NAMED_LEVELS = 12  # levels at most whose names stand below the bars
HIDDEN = "hidden-part"  # a CSS class
WAITING = 32  # photographs in the queue


class Result(NamedTuple):
    coarse: str
    rating: str
    decisions: list[list[str]]  # name, value, what it is good for
    levels: list[list]  # of every level, in order: its name, its coarse prediction, its probability


def result_of(row: dict, scale: Scale, strategy: str) -> Result:
    """What a row of Rater.rate, with its distribution, means to a reader."""
    label = answers(scale, strategy)[row["predict"]]
    names = [shown(level, strategy) for level in scale.fine]
    groups = [shown(coarse_of(scale, level), strategy) for level in range(scale.lo, scale.hi + 1)]
    if not STRATEGIES[strategy].coarse:
        groups = ["none"] * len(names)
    decisions = [
        ["mode", names[label - scale.lo], "the likeliest level: best for accuracy"],
        ["median", names[row["median"] - scale.lo], "best for the absolute error"],
        ["mean", f"{row['mean']:.3f}", f"best for correlation; levels count from {scale.lo} to {scale.hi}"],
        ["entropy", f"{row['entropy']:.3f}", f"0: certain; {math.log(len(names)):.3f}: all levels are equally likely"],
        ["mass", f"{row['mass']:.3g}", "of all valid answers; far below 1: the model does not know this question"],
    ]
    levels = [list(line) for line in zip(names, groups, row["probs"])]
    return Result(groups[label - scale.lo], names[label - scale.lo], decisions, levels)


def page(
    rate: Callable[[str | None, Scale], Result],
    typed_scale: Callable[[str, str], Scale],
    scales: Mapping[str, Scale],
    examples: Sequence[Path],
) -> "gradio.Blocks":
    """rate: of an upload's path and a scale; typed_scale: of what is rated and the levels. Their ValueErrors show."""
    import gradio as gr
    import pandas as pd

    def predict(photo: str | None, choice: str, rates: str, levels: str) -> list:
        try:
            result = rate(photo, typed_scale(rates, levels) if choice == TYPED else scales[choice])
        except ValueError as error:
            return [gr.update(value=str(error), visible=True), gr.update(elem_classes=[HIDDEN]), *[gr.skip()] * 5]
        chances = pd.DataFrame([(name, chance) for name, _, chance in result.levels], columns=["level", "probability"])
        few = len(chances) <= MAX_NAMED_LEVELS
        title = "level" if few else f"{result.levels[0][0]} to {result.levels[-1][0]}"
        bars = gr.update(value=chances, x_axis_labels_visible=few, x_title=title)
        seen = [gr.update(visible=False), gr.update(elem_classes=[])]
        return [*seen, result.coarse, result.rating, bars, result.decisions, result.levels]

    def table(name: str, heads: Sequence[str], widths: Sequence[str]) -> gr.Dataframe:
        head = {"headers": list(heads), "column_widths": list(widths)}
        return gr.Dataframe(**head, interactive=False, wrap=True, elem_id=name)

    theme = gr.themes.Default(font=["sans-serif"], font_mono=["sans-serif"])
    look = {"theme": theme, "css": f".{HIDDEN} {{display: none !important}}"}
    with gr.Blocks(title="STORM", analytics_enabled=False, delete_cache=(3600, 3600), **look) as blocks, gr.Row():
        with gr.Column():
            photo = gr.Image(type="filepath", sources=["upload"], label="Photograph", height=300)
            # The file as it came: Gradio would decode it here, turn it, and fail with a stack trace.
            photo.preprocess = lambda payload: payload and payload.path
            if examples:
                gr.Examples([[str(path)] for path in examples], [photo], label="Or an example", api_name=False)
            choice = gr.Dropdown([*scales, TYPED], value=next(iter(scales)), label="Scale", filterable=False)
            with gr.Group(visible=False) as typed:
                rates = gr.Textbox(label="What is rated", max_length=MAX_RATES, value="the tidiness of a desk")
                levels = gr.Textbox(label="Levels, one per line, lowest first", lines=5, max_length=MAX_LEVELS)
            button = gr.Button("Rate", variant="primary", elem_id="rate")
        with gr.Column():
            problem = gr.Textbox(label="Problem", lines=2, visible=False, elem_id="problem")
            # Hidden by CSS, not visible=False: Gradio's plot throws if it is removed while it is drawn.
            with gr.Column(elem_classes=[HIDDEN]) as result:
                coarse = gr.Textbox(label="Coarse prediction", elem_id="coarse")
                rating = gr.Textbox(label="Rating", elem_id="rating")
                axes = {"x": "level", "y": "probability", "x_label_angle": -30}
                bars = gr.BarPlot(label="Probability of each level", elem_id="bars", **axes)
                decisions = table("decisions", ("decision", "value", "what for"), ("18%", "27%", "55%"))
                chances = table("levels", ("level", "coarse prediction", "probability"), ("40%", "40%", "20%"))
        choice.change(lambda name: gr.update(visible=name == TYPED), choice, typed, queue=False, api_name=False)
        outputs = [problem, result, coarse, rating, bars, decisions, chances]
        button.click(predict, [photo, choice, rates, levels], outputs, api_name=False)
    return blocks.queue(default_concurrency_limit=1, max_size=WAITING, api_open=False)
