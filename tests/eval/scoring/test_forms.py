"""The files of other people's tools, each with the same twelve answers: read as they are, as this repository's."""

import json

import pandas
import pyarrow
import pytest

from eval.scoring.forms import FORMS
from eval.scoring.runs import load
from storm.datasets import SCALES
from storm.rows import custom_id
from tests.helpers.paths import ROOT
from tests.helpers.prediction_forms import (
    ASKED,
    IDS,
    IMAGES,
    LABEL,
    LABELS,
    LOST,
    LOST_TEXT,
    PAIR,
    SAID,
    SCALE,
    STRATEGY,
    TABLE,
    TEXT,
    batch,
    chat,
    lines,
    refused,
    responses,
    rows,
    table,
)

LLAMAFACTORY = {"prompt": [ASKED] * 12, "predict": [f"{text}<|im_end|>" for text in TEXT]}
LLAMAFACTORY["label"] = [f"<think>\n\n</think>\n\n{label}<|im_end|>\n" for label in LABEL]
TURNS = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TEXT[0]}]
CASES = {  # form -> (name of the file, its text or bytes)
    "llamafactory with special tokens": ("spaq/generated_predictions.jsonl", lines(**LLAMAFACTORY)),
    "ms-swift 2": (
        "infer_result/1.jsonl",
        lines(query=[ASKED] * 12, response=TEXT, label=LABEL, images=[[i] for i in IMAGES]),
    ),
    "ms-swift 4": (
        "ORD_Lite_answer.jsonl",
        rows(
            lambda n: (
                {"response": TEXT[n], "labels": LABEL[n], "logprobs": None, "messages": TURNS}
                | {"images": [{"bytes": None, "path": f"/data/{IMAGES[n]}"}]}
            )
        ),
    ),
    "vlmevalkit": ("M_spaq.tsv", table("\t", index=range(12), question=ASKED, answer=LABEL, prediction=TEXT)),
    "lmms-eval": (
        "1_samples_spaq.jsonl",
        lines(doc_id=range(12), target=LABEL, filtered_resps=[[t] for t in TEXT], doc_hash=["x"] * 12),
    ),
    "lmms-eval, old": (
        "spaq.json",
        json.dumps(
            {
                "args": {},
                "logs": [
                    {"doc_id": n, "target": LABEL[n], "doc": {"id": IDS[n]}, "resps": [[TEXT[n]]]} for n in range(12)
                ],
            }
        ),
    ),
    "batch by image": ("out.jsonl", batch(TEXT)),
    "batch in another order": ("out.jsonl", batch(TEXT[::-1], IMAGES[::-1])),
    "batch of an export": ("out.jsonl", batch(TEXT, [custom_id("storm_spaq_test_direct", id) for id in IDS])),
    "batch of responses": ("out.jsonl", batch(TEXT, body=responses)),
    "anthropic": (
        "out.jsonl",
        lines(
            custom_id=IDS,
            result=[{"type": "succeeded", "message": {"content": [{"type": "text", "text": t}]}} for t in TEXT],
        ),
    ),
    "completions": ("gpt.jsonl", rows(lambda n: chat(TEXT[n], image=IMAGES[n]))),
    "wrapped completions": ("gpt.jsonl", lines(image=IMAGES, response=[chat(text) for text in TEXT])),
    "llava": ("answers.jsonl", lines(question_id=IDS, prompt=[ASKED] * 12, text=TEXT, model_id=["llava"] * 12)),
    "lmdeploy": ("out.jsonl", lines(text=TEXT, generate_token_len=[9] * 12, image=IMAGES)),
    "vllm": ("spaq.jsonl", lines(outputs=[[{"index": 0, "text": t}] for t in TEXT], label=LABEL, request_id=range(12))),
    "transformers": (
        "spaq.jsonl",
        lines(generated_text=[[*TURNS[:1], {"role": "assistant", "content": t}] for t in TEXT], label=LABEL),
    ),
    "csv with an index": (
        "spaq.csv",
        pandas.DataFrame({"image": IMAGES, "Ground Truth": LABEL, "Model Output": TEXT}).to_csv(),
    ),
    "csv of numbers": ("spaq.csv", table(label=LABELS, pred=[float(n) for n in SAID])),
    "csv in UTF-16": ("spaq.csv", TABLE.to_csv(index=False).encode("utf-16")),
    "csv in UTF-16 without a mark": ("spaq.csv", TABLE.to_csv(index=False).encode("utf-16-le")),
    "words in any case": (
        "spaq.jsonl",
        lines(label=[SCALE.fine[n].word.lower() for n in LABELS], predict=[SCALE.fine[n].word.upper() for n in SAID]),
    ),
    "a list": ("spaq.json", json.dumps(TABLE.to_dict("records"), indent=4)),
    "objects one behind the other": (
        "spaq.json",
        "\n".join(json.dumps(row, indent=1) for row in TABLE.to_dict("records")),
    ),
    "texts by image": ("gpt.json", json.dumps(dict(zip(IMAGES, TEXT)))),
    "lines in UTF-16": ("spaq.jsonl", lines(**PAIR).encode("utf-16")),
    "lines with a mark": ("spaq.jsonl", b"\xef\xbb\xbf" + lines(**PAIR).encode()),
    "zstd": ("spaq.jsonl.zst", pyarrow.compress(lines(**PAIR).encode(), codec="zstd", asbytes=True)),
    "another name of the dataset": ("SPAQDataset_gpt.jsonl", lines(**PAIR)),
}
ORIENTS = ("columns", "index", "split", "records", "table")
CASES |= {f"pandas, {orient}": ("spaq.json", TABLE.to_json(orient=orient)) for orient in ORIENTS}


@pytest.mark.parametrize("case", CASES)
def test_each_form_is_read(case, tmp_path, tests):
    name, content = CASES[case]
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for given in (path, tmp_path / "out"):
        (run,), errors = load([given], SCALES, tests)
        assert errors == [] and run.strategy == STRATEGY and run.n_test == 12 and run.dataset == "spaq"
        order = [IDS.index(id) for id in run.id]
        assert sorted(order) == list(range(12))
        assert run.label.tolist() == [LABELS[n] for n in order] and run.pred.tolist() == [SAID[n] for n in order]


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "gz"])
def test_binary_tables(kind, tmp_path):
    table = pandas.DataFrame({"label": LABELS, "prediction": LOST_TEXT})
    path = tmp_path / {"gz": "spaq.csv.gz"}.get(kind, f"spaq.{kind}")
    {"xlsx": table.to_excel, "parquet": table.to_parquet, "gz": table.to_csv}[kind](path, index=False)
    (run,), errors = load([path])
    assert errors == [] and run.pred.tolist() == [-1 if n is None else n for n in LOST]
    assert run.rule[2] == "no answer"


NO_ANSWER = {
    "null": ("no answer", lines(label=LABEL, predict=LOST_TEXT)),
    "nan": ("no answer", lines(label=LABEL, predict=[float("nan") if t is None else t for t in LOST_TEXT])),
    "refused": ("refusal", batch(LOST_TEXT, body=lambda text: chat(text) if text else refused())),
    "failed": (
        "error",
        batch(LOST_TEXT, body=lambda text: chat(text) if text else {"error": {"message": "overloaded"}}),
    ),
    "of VLMEvalKit": (
        "error",
        lines(label=LABEL, prediction=[t or "Failed to obtain answer via API." for t in LOST_TEXT]),
    ),
}


@pytest.mark.parametrize("case", NO_ANSWER)
def test_a_row_without_an_answer_is_unparsed_and_stays(case, tmp_path, tests):
    rule, text = NO_ANSWER[case]
    (tmp_path / "spaq.jsonl").write_text(text)
    (run,), errors = load([tmp_path / "spaq.jsonl"], SCALES, tests)
    assert errors == [] and len(run.label) == 12
    assert run.pred.tolist() == [-1 if n is None else n for n in LOST] and run.rule[2] == rule


def test_the_docs_name_every_tool():
    text = (ROOT / "docs/scoring.md").read_text().replace("`", "")
    for form in FORMS:
        assert all(word.strip("'") in text for word in form.name.split(" or ")), form.name
