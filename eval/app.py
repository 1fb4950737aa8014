"""Rate a photograph in the browser: python eval/app.py --model DIR_OR_NAME [--adapter DIR]

Any of the paper's scales, or levels of your own: the coarse thought, the rating, and the probability of every level,
the same numbers as eval/predict.py's. Nothing leaves this machine: no analytics, no share link, no font or script from
elsewhere; uploads are deleted when the program ends. What users type is only ever shown as plain text. Ctrl-C ends it.
"""

import argparse
import math
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from data_prep.own_scale import load as load_scale
from data_prep.questions import STRATEGIES, Scale, answer, answers, coarse_of, question
from data_prep.scales import SCALES
from eval.tasks import Task

if TYPE_CHECKING:
    import gradio

    from eval.rater import Rater

OWN = "My own levels"
DOMAINS = {
    "Image quality": SCALES["spaq"],
    "Image aesthetics": SCALES["ava"],
    "Diabetic retinopathy (fundus photographs)": SCALES["eyepacs"],
    "Decade of the photograph": SCALES["hci"],
    "Age group of the face": SCALES["adience"],
} | {f"Age of the face, {SCALES[name].lo} to {SCALES[name].hi}": SCALES[name] for name in ("cacd", "morph", "utk")}
EXAMPLES = Path("data/demo/images/test")
SHOWN = 5  # examples: of the demo's test crops, one of each level
PHOTOGRAPHS = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
MOST = {"upload": "20mb", "rates": 200, "levels": 3000}  # letters typed: our choice
CUTOFF = 8192  # tokens; more than the longest question about 50 levels of one's own and a photograph
NAMED = 12  # levels at most whose names stand below the bars
WAITING = 32  # users in the queue
# Gradio's page asks for these even with fonts of its own; it works without.
ELSEWHERE = re.compile(r'<link\s+rel="preconnect"[^>]*>|<script\s+src="https://[^>]*>\s*</script>')


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eval/app.py", description="Rate photographs in the browser.")
    parser.add_argument("--model", required=True, metavar="DIR_OR_NAME")
    parser.add_argument("--adapter", metavar="DIR", help="LoRA adapter of that model")
    parser.add_argument("--strategy", choices=STRATEGIES, default="cot", help="as in training")
    parser.add_argument("--image-max-pixels", type=int, default=1003520, help="as in training (default: our recipes')")
    parser.add_argument("--examples", type=Path, metavar="FOLDER", help=f"photographs to click (default: {EXAMPLES})")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: everybody who can reach this machine may ask")
    parser.add_argument("--port", type=int, default=7860)
    return parser


class Said(NamedTuple):
    """What the page shows of one answer."""

    coarse: str
    rating: str
    decisions: list[list[str]]  # what, its value, what it is good for
    levels: list[list]  # of every level: its name, its coarse thought, its probability
    places: list[str] | list[int]  # of every level, on the axis of the bars: its name, or its number if they are many


def own_scale(rates: str, levels: str) -> Scale:
    """The scale of a user: a word a line, from the lowest. Raises ValueError in one line that says what is wrong."""
    if len(rates) > MOST["rates"] or len(levels) > MOST["levels"]:
        raise ValueError(
            f"too long: at most {MOST['rates']} letters for what is rated, {MOST['levels']} for the levels"
        )
    words = [word.strip() for word in levels.splitlines() if word.strip()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scale.yaml"
        path.write_text(yaml.safe_dump({"name": "own", "rates": rates.strip(), "levels": words}), encoding="utf-8")
        try:
            return load_scale(path).scale
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f"{path}: ")) from None


def said(row: dict, scale: Scale, strategy: str) -> Said:
    """What a row of eval.rater.decided means to a reader."""
    label = answers(scale, strategy)[row["predict"]]
    names = [level.shown(strategy) for level in scale.fine]
    groups = [coarse_of(scale, level).shown(strategy) for level in range(scale.lo, scale.hi + 1)]
    decisions = [
        ["mode", names[label - scale.lo], "the likeliest level: best for accuracy"],
        ["median", names[row["median"] - scale.lo], "best for the absolute error"],
        ["mean", f"{row['mean']:.3f}", f"best for correlation; the scale goes from {scale.lo} to {scale.hi}"],
        ["entropy", f"{row['entropy']:.3f}", f"0: certain, {math.log(len(names)):.3f}: no idea"],
        ["mass", f"{row['mass']:.3g}", "of all valid answers; far below 1: the model does not know this question"],
    ]
    none = "none: this model answers directly"
    coarse = groups[label - scale.lo] if strategy != "direct" else none
    levels = [list(line) for line in zip(names, groups, row["probs"])]
    places = names if len(names) <= NAMED else list(range(scale.lo, scale.hi + 1))
    return Said(coarse, names[label - scale.lo], decisions, levels, places)


def ask(rater: "Rater", photo: str | None, scale: Scale, strategy: str) -> dict:
    """A row of eval.rater. Raises ValueError in one line for a photograph that cannot be read or rated."""
    if not photo:
        raise ValueError("choose a photograph first")
    right = answer(scale, strategy, scale.lo)  # a row needs one; nobody looks at it
    task = Task("photo", "page", photo, question(scale, strategy), right, scale, strategy)
    try:
        [row] = rater.rate([task])
    except RuntimeError as error:  # of torch, out of memory for one
        print(f"{photo}: {error}", file=sys.stderr)
        raise ValueError("the model failed on this photograph; the program's own output says why") from None
    finally:
        if scale not in DOMAINS.values():  # else every user's levels would stay in memory
            rater.tries.pop((scale, strategy), None)
    if "error" in row:
        raise ValueError(f"{Path(photo).name} cannot be read: a JPEG, PNG or WebP of at most 200 megapixels is needed")
    return row


def page(rate: Callable[[str | None, Scale], Said], examples: Sequence[Path]) -> "gradio.Blocks":
    """The page. `rate` gets the path of an upload and a scale, and may raise ValueError."""
    import gradio as gr
    import pandas as pd

    def answered(photo: str | None, domain: str, rates: str, levels: str) -> list:
        try:
            made = rate(photo, DOMAINS[domain] if domain in DOMAINS else own_scale(rates, levels))
        except ValueError as error:
            return [gr.update(value=str(error), visible=True), gr.update(visible=False), *[gr.skip()] * 5]
        bars = pd.DataFrame({"level": made.places, "probability": [chance for *_, chance in made.levels]})
        return [
            gr.update(visible=False),
            gr.update(visible=True),
            made.coarse,
            made.rating,
            bars,
            made.decisions,
            made.levels,
        ]

    local = gr.themes.Default(font=["sans-serif"], font_mono=["sans-serif"])
    with gr.Blocks(title="STORM", theme=local, analytics_enabled=False, delete_cache=(3600, 3600)) as made:
        with gr.Row():
            with gr.Column():
                photo = gr.Image(type="filepath", sources=["upload"], label="Photograph", height=300)
                # The file as it came: Gradio would decode it here, turn it, and fail with a stack trace.
                photo.preprocess = lambda payload: payload and payload.path
                if examples:
                    gr.Examples([[str(path)] for path in examples], [photo], label="Or one of these", api_name=False)
                domain = gr.Dropdown([*DOMAINS, OWN], value=next(iter(DOMAINS)), label="Rate", filterable=False)
                with gr.Group(visible=False) as own:
                    rates = gr.Textbox(label="Rates what", max_length=MOST["rates"], value="the tidiness of a desk")
                    levels = gr.Textbox(label="Levels, one a line, from the lowest", lines=5, max_length=MOST["levels"])
                button = gr.Button("Rate", variant="primary", elem_id="rate")
            with gr.Column():
                problem = gr.Textbox(label="Problem", visible=False, elem_id="problem")
                with gr.Column(visible=False) as result:
                    coarse = gr.Textbox(label="Coarse thought", elem_id="coarse")
                    rating = gr.Textbox(label="Rating", elem_id="rating")
                    bars = gr.BarPlot(
                        x="level", y="probability", label="Probability of each level", x_label_angle=-30, elem_id="bars"
                    )
                    look = {"interactive": False, "wrap": True}
                    heads, widths = ["decision", "value", "what for"], ["18%", "27%", "55%"]
                    decisions = gr.Dataframe(headers=heads, column_widths=widths, elem_id="decisions", **look)
                    heads, widths = ["level", "coarse thought", "probability"], ["40%", "40%", "20%"]
                    table = gr.Dataframe(headers=heads, column_widths=widths, elem_id="levels", **look)
        domain.change(lambda name: gr.update(visible=name == OWN), domain, own, queue=False, api_name=False)
        outputs = [problem, result, coarse, rating, bars, decisions, table]
        button.click(answered, [photo, domain, rates, levels], outputs, api_name=False)
    return made.queue(default_concurrency_limit=1, max_size=WAITING, api_open=False)


def _no_requests_elsewhere() -> None:
    """Takes what is loaded from other servers out of Gradio's page."""
    from gradio.routes import templates
    from jinja2 import FunctionLoader

    whole = templates.env.loader
    templates.env.loader = FunctionLoader(lambda name: ELSEWHERE.sub("", whole.get_source(templates.env, name)[0]))


def run(args: argparse.Namespace) -> None:
    """Serves until Ctrl-C. Raises ValueError in one line for what stands in the way."""
    folder = args.examples or EXAMPLES
    if args.examples and not folder.is_dir():
        raise ValueError(f"--examples {folder}: no such folder")
    photographs = sorted(path for path in folder.glob("*") if path.suffix.lower() in PHOTOGRAPHS)[:SHOWN]

    with tempfile.TemporaryDirectory(prefix="storm_app_") as uploads:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        import torch

        from eval.model import load
        from eval.rater import Rater

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        loaded = load(args.model, args.adapter, args.image_max_pixels, CUTOFF, device)
        rater = Rater(loaded, "exact", 0, Path(uploads))

        def rate(photo: str | None, scale: Scale) -> Said:
            return said(ask(rater, photo, scale, args.strategy), scale, args.strategy)

        _no_requests_elsewhere()
        warnings.filterwarnings("ignore", ".*Gradio 6.0", DeprecationWarning)  # LLaMA-Factory's Gradio is 5
        settings = {"share": False, "show_api": False, "ssr_mode": False, "max_file_size": MOST["upload"]}
        page(rate, photographs).launch(server_name=args.host, server_port=args.port, **settings)


def main(argv: Sequence[str] | None = None) -> int:
    try:
        run(arguments().parse_args(argv))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
