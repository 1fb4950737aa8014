"""eval/serve.py with a tiny model: the official SDK is answered as eval/predict.py answers, and no body stops it."""

import io
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI, RateLimitError
from openai.types import Decision

from eval import predict, serve
from eval.servers.decisions import STATE
from storm.datasets import SCALES
from storm.files import read_jsonl, write_jsonl
from storm.rows import Example, to_row
from storm.scales import IQA
from tests.helpers.hostile_requests import JSON, WORDS, data_url, decisions, hostile, score, systemone
from tests.helpers.paths import ROOT
from tests.helpers.served import PATIENCE, served

slow = pytest.mark.slow  # starts a server, imports torch
KEY = "a key of the tests"
DIGITS = 1.1e-6  # 1e-6, and what six digits lose
APPEAL = ROOT / "examples/product_photos/scale.yaml"


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """Photographs: small, large, narrow, gray, transparent, of several formats, and one that lies on its side."""
    import numpy as np
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("media"), np.random.default_rng(0)

    def image(width: int, height: int) -> Image.Image:
        return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))

    for number in range(8):
        image(*rng.integers(40, 160, 2)).save(folder / f"{number}.png")
    image(900, 700).save(folder / "large.jpg", quality=90)
    image(1000, 20).save(folder / "narrow.webp", lossless=True)
    image(64, 64).convert("L").save(folder / "gray.png")
    image(64, 64).convert("RGBA").save(folder / "transparent.png")
    turned = image(120, 60)
    tags = turned.getexif()
    tags[0x112] = 6
    turned.save(folder / "turned.jpg", exif=tags)
    return folder


@pytest.fixture(scope="module")
def predicted(base, media, tmp_path_factory) -> dict[tuple[str, str], dict]:
    """(dataset, image) -> its row of eval/predict.py."""
    folder = tmp_path_factory.mktemp("predicted")
    for dataset in ("spaq", "utk"):
        scale = SCALES[dataset]
        rows = (Example(path.name, dataset, path.name, scale.lo, scale, "cot") for path in sorted(media.iterdir()))
        write_jsonl(folder / f"{dataset}_test.jsonl", map(to_row, rows))
    words = ["--model", base, "--media", media, "--out", folder / "out", "--image-max-pixels", 12544]
    words += ["--batch-size", 1, "--data", folder / "spaq_test.jsonl", folder / "utk_test.jsonl"]
    assert predict.main(list(map(str, words))) == 0
    return {
        (line.row["dataset"], line.row["image"]): line.row
        for dataset in ("spaq", "utk")
        for line in read_jsonl(folder / "out" / f"{dataset}_test.jsonl")
    }


@pytest.fixture(scope="module")
def server(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with served(base, folder, "--api-key-env", "STORM_KEY", STORM_KEY=KEY) as one:
        yield one


@pytest.fixture(scope="module")
def client(server, base) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=PATIENCE)


def url_of(path: Path) -> str:
    return data_url(path.read_bytes(), f"image/{'jpeg' if path.suffix == '.jpg' else path.suffix[1:]}")


def ask(client: OpenAI, base: Path, path: Path, *questions: dict) -> Decision:
    part = {"type": "input_image", "image_url": url_of(path)}
    return client.decisions.create(
        model=base.name, input=[{"role": "user", "content": [part]}], questions=list(questions)
    )


AGES = score([{"label": str(age)} for age in range(1, 117)], name="age")


def check(decision: Decision, image: str, predicted: dict, digits: float) -> None:
    """Every number of an answer to the two questions is that of eval/predict.py."""
    Decision.model_validate(decision.model_dump(), strict=True)
    assert decision.usage.input_tokens == decision.usage.total_tokens > 400
    assert [answer.name for answer in decision.answers] == ["quality", "age"]
    for answer, dataset in zip(decision.answers, ("spaq", "utk"), strict=True):
        row, scale = predicted[dataset, image], SCALES[dataset]
        probs = [level.probability for level in answer.probabilities]
        assert probs == pytest.approx(row["probs"], abs=digits), image
        assert [level.value for level in answer.probabilities] == list(range(len(probs)))
        assert answer.score == pytest.approx(row["mean"] - scale.lo, abs=len(probs) * digits)
        assert answer.mass == pytest.approx(row["mass"], abs=digits)
        assert answer.confidence == pytest.approx(max(row["probs"]) * row["mass"], abs=2 * digits)
        groups = [group["probability"] for group in answer.coarse["probabilities"]]
        assert groups == pytest.approx(row["coarse"], abs=10 * digits)
        assert (answer.scale, answer.trained, answer.predict) == (scale.name, True, row["predict"])
    assert [level.label for level in decision.answers[0].probabilities] == WORDS


@slow
def test_the_sdk_gets_what_predict_writes(client, base, media, predicted):
    images = sorted(media.iterdir())
    assert len(images) == 13
    for path in images:
        check(ask(client, base, path, score(name="quality"), AGES), path.name, predicted, DIGITS)


@slow
def test_requests_that_are_rated_together_get_the_same(server, client, base, media, predicted):
    """But for the rounding of float32, which is another one in another batch, as with --batch-size of predict.py."""

    def both(path: Path) -> tuple[Path, Decision]:
        return path, ask(client, base, path, score(name="quality"), AGES)

    before = int(re.search(r"storm_batch_size_count (\d+)", page_of(server))[1])
    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(both, sorted(media.iterdir()) * 2))
    for path, decision in answered:
        check(decision, path.name, predicted, 1e-5)
    batches = int(re.search(r"storm_batch_size_count (\d+)", page_of(server))[1]) - before
    assert batches < 2 * len(answered) * 0.7


@slow
def test_a_choice_of_the_same_words_in_any_order(client, base, media, predicted):
    words = WORDS[::-1]
    question = {"type": "choice", "instructions": "Which?", "choices": [{"value": word} for word in words]}
    [answer] = ask(client, base, media / "0.png", question).answers
    row = predicted["spaq", "0.png"]
    assert [option.probability for option in answer.probabilities] == pytest.approx(row["probs"][::-1], abs=DIGITS)
    assert answer.choice == WORDS[row["probs"].index(max(row["probs"]))]


@slow
def test_other_levels_are_answered_with_a_warning(client, base, media):
    levels = [{"label": "None", "description": "as new"}, {"label": "Torn"}, {"label": "Lost"}]
    truth = {"type": "choice", "instructions": "A cat?", "choices": [{"value": True}, {"value": False}]}
    scored, chosen = ask(client, base, media / "0.png", score(levels, instructions="How damaged?"), truth).answers
    assert sum(level.probability for level in scored.probabilities) == pytest.approx(1, abs=1e-5)
    assert not scored.trained and scored.scale is None and scored.mass < 0.5 and scored.warning
    assert [option.value for option in chosen.probabilities] == [True, False] and chosen.choice in (True, False)
    assert not hasattr(chosen, "coarse")


@slow
def test_systemone_gives_the_same_numbers(server, base, media, predicted):
    question = {"type": "score", "criteria": WORDS}
    choice = {"type": "choice", "criteria": dict.fromkeys(WORDS[::-1])}
    body = systemone(url_of(media / "1.png"), question) | {"model": base.name}
    body["questions"]["second"] = choice
    answer = post(server, "/v1/systemone", json.dumps(body).encode()).json()
    row = predicted["spaq", "1.png"]
    scored, chosen = answer["answers"]["q"], answer["answers"]["second"]
    assert list(scored["probabilities"].values()) == pytest.approx(row["probs"], abs=DIGITS)
    assert scored["legend"] == {str(number): word for number, word in enumerate(WORDS)}
    assert scored["score"] == pytest.approx(row["mean"], abs=5 * DIGITS)
    assert [chosen["probabilities"][word] for word in WORDS] == pytest.approx(row["probs"], abs=DIGITS)
    assert answer["diagnostics"]["q"]["label_mass"] == pytest.approx(row["mass"], abs=DIGITS)
    assert (answer["object"], answer["model"]) == ("structured_decision", base.name)
    for state, status in ((None, 200), (STATE, 200), ("a text that has no place in the trained question", 400)):
        assert post(server, "/v1/systemone", json.dumps(body | {"state": state}).encode()).status_code == status
    assert answer["usage"]["output_tokens"] == 0


def post(server, path: str, body: bytes, headers: dict | None = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}"} | (JSON if headers is None else headers)
    return httpx.post(server.url + path, headers=headers, content=body, timeout=PATIENCE)


@slow
def test_the_sdk_knows_our_errors(server, client, base, media):
    with pytest.raises(BadRequestError, match="lowest first"):
        ask(client, base, media / "0.png", score([{"label": word} for word in WORDS[::-1]]))
    with pytest.raises(NotFoundError, match=base.name):
        ask(client, Path("other"), media / "0.png", score())
    with pytest.raises(AuthenticationError):
        ask(client.with_options(api_key="another"), base, media / "0.png", score())
    assert [model.id for model in client.models.list()] == [base.name]
    assert httpx.get(f"{server.url}/metrics").status_code == 401
    assert httpx.get(f"{server.url}/health", headers={"host": "evil.example"}).status_code == 400


@slow
def test_no_body_stops_it_and_memory_stays(server, media):
    png = (media / "0.png").read_bytes()
    bodies = hostile(png)
    assert len(bodies) >= 200
    sound = json.dumps(decisions(data_url(png))).encode()
    expected = post(server, "/v1/decisions", sound).json()["answers"]

    def all_of_them() -> dict[str, int]:
        return {name: post(server, path, body, head).status_code for name, (path, head, body) in bodies.items()}

    wrong = {name: status for name, status in all_of_them().items() if not 400 <= status < 500}
    assert wrong == {}
    before = server.memory
    all_of_them()
    assert server.memory < before + 30
    assert post(server, "/v1/decisions", sound).json()["answers"] == expected
    page = page_of(server)
    assert 'storm_errors_total{kind="bad_request"}' in page and "storm_queue_length 0" in page
    assert "Traceback" not in server.log.read_text()


def page_of(server) -> str:
    return httpx.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {KEY}"}).text


@slow
def test_a_body_without_end_is_cut_off(server):
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    head = f"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    before = server.memory
    closed, end = False, time.monotonic() + 60
    with socket.create_connection(address, timeout=60) as place:
        place.sendall(head.encode())
        while not closed and time.monotonic() < end:
            try:
                place.sendall(b"%x\r\n%s\r\n" % (1 << 16, b"a" * (1 << 16)))
            except OSError:
                closed = True
    assert closed
    assert server.memory < before + 60
    assert 'storm_errors_total{kind="too_large"}' in page_of(server)


@slow
def test_a_decoded_bomb_within_the_limit_is_rated(server):
    """25 megapixels in 0.1 MB of PNG: allowed, but it does not stay in the memory."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (5000, 5000), (9, 9, 200)).save(file, "PNG")
    body = json.dumps(decisions(data_url(file.getvalue()))).encode()
    memory = []
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda _: post(server, "/v1/decisions", body).status_code, range(4)))
        assert done == [200] * 4
        memory.append(server.memory)
    assert memory[2] < memory[0] + 300, "the twelve images, kept, would be 900 MB"


@slow
def test_a_full_queue_is_429_and_the_end_answers_what_is_queued(base, media, tmp_path):
    sound = json.dumps(decisions(url_of(media / "large.jpg"), [AGES] * 8)).encode()
    with served(base, tmp_path, "--queue", 16, "--batch-size", 1) as server:
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        with ThreadPoolExecutor(12) as pool:
            done = [pool.submit(post, server, "/v1/decisions", sound) for _ in range(12)]
            deadline = time.monotonic() + PATIENCE
            while "storm_queue_length 0" in page_of(server):
                assert time.monotonic() < deadline
            try:
                while True:  # until the queue is full
                    ask(client, base, media / "0.png", *[AGES] * 16)
                    assert time.monotonic() < deadline
            except RateLimitError as error:
                assert int(error.response.headers["retry-after"]) >= 1
            assert server.stop() == 0
            statuses = [one.result().status_code for one in done]
    assert set(statuses) <= {200, 429} and statuses.count(200) >= 2
    assert "Traceback" not in server.log.read_text()


@slow
def test_who_leaves_is_not_waited_for(server, media):
    before = page_of(server)
    body = json.dumps(decisions(url_of(media / "0.png"), [AGES] * 16)).encode()

    def impatient() -> None:
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{server.url}/v1/decisions", headers=JSON | {"authorization": f"Bearer {KEY}"}, content=body,
                       timeout=0.02)  # fmt: skip

    threads = [threading.Thread(target=impatient) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    deadline = time.monotonic() + PATIENCE
    while "storm_queue_length 0" not in (page := page_of(server)) or "in_flight 0" not in page:
        assert time.monotonic() < deadline
    assert 'kind="client_left"' in page and page != before


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--scale", "spak"], "spaq"),
        (["--scale", "gone.yaml"], "gone.yaml"),
        (["--api-key-env", "STORM_NO_KEY"], "export STORM_NO_KEY="),
        (["--host", "no.such.host.invalid"], "--host"),
    ],
)
def test_what_stands_in_the_way_is_one_line_before_the_model_is_loaded(words, part, capsys):
    assert serve.main(["--model", "gone", *words]) == 2
    error = capsys.readouterr().err
    assert part in error and error.count("\n") == 1


def test_a_port_in_use_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert serve.main(["--model", "gone", "--port", str(port)]) == 2
    assert str(port) in capsys.readouterr().err


def test_the_scales_that_are_served():
    args = serve.arguments().parse_args(["--model", "m", "--scale", str(APPEAL), "spaq", "koniq"])
    assert [scale.name for scale in serve.known_of(args).scales] == ["appeal", IQA.name]
    args = serve.arguments().parse_args(["--model", "m"])
    assert len(serve.known_of(args).scales) == len(set(SCALES.values()))
