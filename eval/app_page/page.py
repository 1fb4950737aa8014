"""The page of eval/app.py, in Gradio. What users type, and the names of their files, are plain text only."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval.app_page.batch import Batch
from eval.app_page.choices import MAX_LEVELS, MAX_RATES, TYPED
from eval.app_page.result import Result
from eval.app_page.uploads import Photograph
from storm.images import suffixes
from storm.scales import Scale

if TYPE_CHECKING:
    import gradio

MAX_NAMED_LEVELS = 12  # levels at most whose names stand below the bars
HIDDEN = "hidden-part"  # a CSS class
WAITING = 32  # ratings in the queue
ONE_QUEUE = "model"  # both buttons wait for the same model


def page(
    rate: Callable[[str | None, Scale], Result],
    rate_batch: Callable[[Sequence[Photograph], Scale, Callable[[int, int], object]], Batch],
    typed_scale: Callable[[str, str], Scale],
    scales: Mapping[str, Scale],
    examples: Sequence[Path],
) -> "gradio.Blocks":
    """rate: of an upload's path and a scale; rate_batch: of uploads, a scale, and what is told how many are done;
    typed_scale: of what is rated and the levels. Their ValueErrors show. The first of the scales is chosen."""
    import gradio as gr
    import pandas as pd

    def scale_of(choice: str, rates: str, levels: str) -> Scale:
        return typed_scale(rates, levels) if choice == TYPED else scales[choice]

    def text(value: str) -> dict:
        """A box that is there only if it says something."""
        return gr.update(value=value, visible=bool(value))

    def column(seen: bool) -> dict:
        return gr.update(elem_classes=[] if seen else [HIDDEN])

    def predict(photo: str | None, choice: str, rates: str, levels: str) -> list:
        try:
            result = rate(photo, scale_of(choice, rates, levels))
        except ValueError as error:
            return [text(str(error)), text(""), column(False), column(False), *[gr.skip()] * 6]
        chances = pd.DataFrame([(name, chance) for name, _, chance in result.levels], columns=["level", "probability"])
        few = len(chances) <= MAX_NAMED_LEVELS
        title = "level" if few else f"{result.levels[0][0]} to {result.levels[-1][0]}"
        bars = gr.update(value=chances, x_axis_labels_visible=few, x_title=title)
        seen = [text(""), text(result.warning), column(True), column(False)]
        return [*seen, result.coarse, result.rating, result.value, bars, result.decisions, result.levels]

    def predict_all(files: list, folder: list, choice: str, rates: str, levels: str, progress=gr.Progress()) -> list:  # noqa: B008, so Gradio
        def told(done: int, count: int) -> None:
            progress((done, count), unit="photographs")

        try:
            batch = rate_batch([*files, *folder], scale_of(choice, rates, levels), told)
        except ValueError as error:
            return ["", text(str(error)), text(""), column(False), column(False), *[gr.skip()] * 2]
        return [batch.summary, text(""), text(batch.warning), column(False), column(True), batch.rows, batch.csv]

    def table(name: str, heads: Sequence[str], widths: Sequence[str]) -> gr.Dataframe:
        head = {"headers": list(heads), "column_widths": list(widths)}
        return gr.Dataframe(**head, interactive=False, wrap=True, elem_id=name)

    def uploads(label: str, **kind: object) -> gr.File:
        part = gr.File(label=label, height=120, **kind)
        part.preprocess = lambda payload: [Photograph(file.orig_name or file.path, file.path) for file in payload or ()]
        return part

    theme = gr.themes.Default(font=["sans-serif"], font_mono=["sans-serif"])
    look = {"theme": theme, "css": f".{HIDDEN} {{display: none !important}}"}
    with gr.Blocks(title="STORM", analytics_enabled=False, delete_cache=(3600, 3600), **look) as blocks, gr.Row():
        with gr.Column():
            choice = gr.Dropdown([*scales, TYPED], value=next(iter(scales)), label="Scale", filterable=False)
            with gr.Group(visible=False) as typed:
                rates = gr.Textbox(label="What is rated", max_length=MAX_RATES, value="the tidiness of a desk")
                levels = gr.Textbox(label="Levels, one per line, lowest first", lines=5, max_length=MAX_LEVELS)
            with gr.Tab("One photograph"):
                photo = gr.Image(type="filepath", sources=["upload"], label="Photograph", height=300)
                # The file as it came: Gradio would decode it here, turn it, and fail with a stack trace.
                photo.preprocess = lambda payload: payload and payload.path
                if examples:
                    gr.Examples([[str(path)] for path in examples], [photo], label="Or an example", api_name=False)
                button = gr.Button("Rate", variant="primary", elem_id="rate")
            with gr.Tab("Many photographs"):
                files = uploads(
                    "Photographs, or a zip file",
                    file_count="multiple",
                    file_types=[*suffixes(), ".zip"],
                    elem_id="files",
                )
                folder = uploads("Or a folder", file_count="directory", elem_id="folder")
                all_button = gr.Button("Rate all", variant="primary", elem_id="rate-all")
                summary = gr.Textbox(label="Progress", interactive=False, elem_id="summary")
        with gr.Column():
            problem = gr.Textbox(label="Problem", lines=2, visible=False, elem_id="problem")
            warning = gr.Textbox(label="Warning", lines=2, visible=False, elem_id="warning")
            # Hidden by CSS, not visible=False: Gradio's plot throws if it is removed while it is drawn.
            with gr.Column(elem_classes=[HIDDEN]) as result:
                coarse = gr.Textbox(label="Coarse prediction", elem_id="coarse")
                rating = gr.Textbox(label="Rating", elem_id="rating")
                value = gr.Textbox(label="Expected value", elem_id="value")
                axes = {"x": "level", "y": "probability", "x_label_angle": -30}
                bars = gr.BarPlot(label="Probability of each level", elem_id="bars", **axes)
                decisions = table("decisions", ("decision", "value", "what for"), ("18%", "27%", "55%"))
                chances = table("levels", ("level", "coarse prediction", "probability"), ("40%", "40%", "20%"))
            with gr.Column(elem_classes=[HIDDEN]) as batch:
                rows = table("rows", ("image", "rating", "value", "error"), ("35%", "20%", "20%", "25%"))
                csv = gr.DownloadButton("Download as csv", elem_id="csv")
        choice.change(lambda name: gr.update(visible=name == TYPED), choice, typed, queue=False, api_name=False)
        alike = {"api_name": False, "concurrency_id": ONE_QUEUE, "concurrency_limit": 1}
        boxes = [problem, warning, result, batch]
        outputs = [*boxes, coarse, rating, value, bars, decisions, chances]
        button.click(predict, [photo, choice, rates, levels], outputs, **alike)
        all_outputs = [summary, *boxes, rows, csv]
        all_inputs = [files, folder, choice, rates, levels]
        all_button.click(predict_all, all_inputs, all_outputs, show_progress_on=summary, **alike)
    return blocks.queue(default_concurrency_limit=1, max_size=WAITING, api_open=False)
