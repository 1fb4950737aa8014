"""Hostile requests to a running app: each gets a status and one line, nothing is fetched, and the server stays up."""

import io
import json
import re
import threading
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from eval.serving.running import hosts
from tests.helpers.served_page import SLOW, served_page

pytestmark = pytest.mark.slow  # starts a server, imports Gradio
KEY, QUOTA = "a key of the tests", 3_000_000
EVIL = "evil.example"
META = {"_type": "gradio.FileData"}
JOIN, RUN, UPLOAD = "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/upload"


def png(color: int = 0) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (64, 48), (color, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An app with a key and a small quota; it must end at once although a rating is running and a stream is open."""
    folder = tmp_path_factory.mktemp("app")
    with served_page(folder, "--api-key-env", "STORM_KEY", "--upload-quota", QUOTA, STORM_KEY=KEY) as running:
        yield running
        assert running.process.poll() is None
        with client_of(running) as client:
            file = uploaded(client, f"{SLOW}.png")
            assert client.post(JOIN, json=click(client, file, session="stopped")).status_code == 200
            with client.stream("GET", "/gradio_api/queue/data?session_hash=stopped") as events:
                next(events.iter_lines())
                start = time.monotonic()
                assert running.stop() == 0
                assert time.monotonic() - start < 10
        assert [path for path in folder.iterdir() if path.is_dir()] == []  # the uploads go with the program
        log = running.log.read_text()
        assert "Traceback" not in log, log
        assert set(re.findall("DNS: (.*)", log)) <= {"127.0.0.1"}, log  # to bind


def client_of(server) -> httpx.Client:
    return httpx.Client(base_url=server.url, auth=("anybody", KEY), timeout=30)


@pytest.fixture(scope="module")
def client(server):
    with client_of(server) as one:
        yield one


def uploaded(client: httpx.Client, name: str = "a.png", color: int = 0) -> dict:
    answer = client.post(UPLOAD, files={"files": (name, png(color))})
    assert answer.status_code == 200, answer.text
    return {"path": answer.json()[0], "meta": META}


def functions(client: httpx.Client) -> dict[int, int]:
    """How many values the page's functions take, by their index."""
    [text] = re.findall(r"window\.gradio_config = (\{.*?\});</script>", client.get("/").text, re.DOTALL)
    return {row["id"]: len(row["inputs"]) for row in json.loads(text)["dependencies"]}


def click(client: httpx.Client, photo: object, session: str = "hostile", **more: object) -> dict:
    """The body of a click on Rate."""
    [number] = [number for number, inputs in functions(client).items() if inputs == 4]
    data = [photo, "Image quality", "", ""]
    return {"data": data, "fn_index": number, "session_hash": session, "event_data": None, "trigger_id": 1} | more


def events(client: httpx.Client, session: str) -> list[dict]:
    lines = client.get(f"/gradio_api/queue/data?session_hash={session}").text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


def refused(answer: httpx.Response, *statuses: int) -> None:
    """A status, and one line that names neither a path of the server nor its code."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    text = json.loads(answer.text)["detail"] if answer.headers["content-type"] == "application/json" else answer.text
    assert text and "\n" not in text and len(text) < 300
    assert not re.search(r'/work|/tmp|site-packages|Traceback|File "', text), text


def test_a_sound_click_is_answered(client):
    """Else the refusals below would prove nothing."""
    assert client.post(JOIN, json=click(client, uploaded(client), session="sound")).status_code == 200
    [done] = [event for event in events(client, "sound") if event["msg"] == "process_completed"]
    assert done["success"] and done["output"]["data"][5] == "rate0(Bad)"


def test_the_program_answers_clients_of_serve_too(server, client):
    bearer = {"Authorization": f"Bearer {KEY}"}
    models = httpx.get(f"{server.url}/v1/models", headers=bearer).json()
    assert "iqa" in [scale["name"] for scale in models["data"][0]["scales"]]
    assert "storm_ratings_total" in httpx.get(f"{server.url}/metrics", headers=bearer).text


def test_the_key_is_asked_for_on_every_path(server):
    for path in ("/", "/theme.css", "/v1/models", "/metrics", "/gradio_api/file=/etc/passwd"):
        for wrong in (None, ("anybody", "wrong"), ("anybody", ""), (KEY, "")):
            assert httpx.get(f"{server.url}{path}", auth=wrong).status_code == 401
    for path in (JOIN, RUN, UPLOAD):
        answer = httpx.post(f"{server.url}{path}", json={})
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic ")
    for header in ("Basic !", "Basic " + "A" * 5000, "Bearer", "x", "Basic é".encode()):
        assert httpx.get(server.url, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("host", [EVIL, f"{EVIL}:80", "127.0.0.1.evil.example", "", "[evil", "10.0.0.1", "0.0.0.0"])  # noqa: S104
def test_another_host_is_refused(client, host):
    for path in ("/", "/health", "/v1/models"):
        assert client.get(path, headers={"Host": host}).status_code == 400


def test_names_of_this_machine_are_answered(server, client):
    for host in ("localhost", "127.0.0.1:7860", "[::1]:7860", "[::1]"):
        assert client.get("/", headers={"Host": host}).status_code == 200


def test_which_hosts_are_answered():
    assert hosts("127.0.0.1") == ["127.0.0.1", "[", "localhost"]
    assert {"192.0.2.7", "Rater.Example.org".lower()} < set(hosts("192.0.2.7", ["Rater.Example.org"]))
    assert "[2001" in hosts("2001:db8::5")
    assert "0.0.0.0" not in hosts("0.0.0.0") and "127.0.0.1" in hosts("0.0.0.0")  # noqa: S104
    for wrong in ("http://x", "x:80", "a*b", ""):
        with pytest.raises(ValueError, match="--allow-host"):
            hosts("127.0.0.1", [wrong])


UNNEEDED = "config info openapi.json login_check user token app_id startup-events theme.css dev/reload heartbeat/x"
UNNEEDED += " upload_progress?upload_id=x queue/status deep_link?session_hash=x file/etc/passwd call/predict/x mcp/sse"
UNNEEDED += " custom_component/x/client/y/z.js stream/x/1/2/playlist.m3u8 proxy=http://evil.example/x"
POSTS = "call/predict run/x api/predict component_server stream/x stream/x/close reset cancel process_recording"
POSTS += " vibe-edit undo-vibe-edit vibe-code"
OUTER = "config login logout monitoring monitoring/summary monitoring/x manifest.json pwa_icon robots.txt svelte/x docs"


def test_routes_that_the_page_does_not_need_are_not_there(client):
    for path in (*(f"/gradio_api/{name}" for name in UNNEEDED.split()), *(f"/{name}" for name in OUTER.split())):
        refused(client.get(path), 404)
    for name in POSTS.split():
        refused(client.post(f"/gradio_api/{name}", json={"url": f"http://{EVIL}/"}), 404)
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        refused(client.request(method, JOIN), 404)


def places(client: httpx.Client) -> dict[str, str]:
    """Paths and URLs that are no uploads."""
    own = Path(uploaded(client)["path"])
    run = own.parent.parent.parent
    return {
        "url": f"http://{EVIL}/a.png",
        "https": f"https://{EVIL}/a.png",
        "scheme": "//evil.example/a.png",
        "loopback": f"{client.base_url}health",
        "file url": f"file://{own}",
        "ftp": f"ftp://{EVIL}/a.png",
        "data": "data:image/png;base64,AAAA",
        "system": "/etc/passwd",
        "relative": "README.md",
        "source": str(Path(__file__)),
        "lock": str(run / "lock"),
        "folder": str(own.parent),
        "up": f"{own.parent}/../../lock",
        "in and out": f"{own.parent}/../{own.parent.name}/{own.name}",
        "double slash": f"/{own}",
        "empty": "",
        "gone": str(own.with_name("b.png")),
        "long": "/" + "a" * 5000,
        "backslash": f"{own.parent}\\..\\..\\lock",
    }


def test_a_file_of_another_place_is_not_sent(client):
    own = uploaded(client)["path"]
    answer = client.get(
        f"/gradio_api/file={own}", headers={"Range": "bytes=0-3", "Cookie": "secret=1", "X-Secret": "2"}
    )
    assert answer.content == png() and "secret" not in str(answer.headers).lower()
    for name, path in places(client).items():
        answer = client.get(f"/gradio_api/file={quote(path, safe='')}", follow_redirects=False)
        assert answer.status_code == 403, (name, answer.status_code)
        refused(answer, 403)
    refused(client.get("/gradio_api/file=/etc/passwd%00.png"), 403)


@pytest.mark.parametrize("route", [JOIN, RUN])
def test_a_file_in_a_click_must_be_an_upload(client, route):
    """Nothing is fetched from its path or URL: the fixture looks at what the server asked the DNS."""
    own = uploaded(client)
    wrong = {name: {"path": path, "meta": META} for name, path in places(client).items()}
    wrong |= {f"url {name}": own | {"url": url} for name, url in places(client).items()}
    wrong["url of another host"] = own | {"url": f"http://{EVIL}/gradio_api/file={own['path']}"}
    wrong["stream"] = own | {"is_stream": True}
    wrong["no path"] = {"url": f"http://{EVIL}/a.png", "meta": META}
    wrong["no meta"] = {"path": own["path"]}
    wrong["other meta"] = own | {"meta": {"_type": "x"}}
    wrong["number"] = own | {"path": 1}
    wrong["more"] = own | {"more": wrong["url"]}
    for name, file in wrong.items():
        for place in (file, [own, file], [[[file]]]):
            answer = client.post(route, json=click(client, place))
            assert answer.status_code == 400, (name, answer.status_code)
            refused(answer, 400)


def test_a_click_of_another_form_is_refused(client):
    sound = click(client, None)
    deep = b"[" * 15_000 + b"]" * 15_000
    bodies = {
        "no JSON": b"x",
        "empty": b"",
        "list": b"[]",
        "cut off": json.dumps(sound).encode()[:-5],
        "deep": b'{"data":' + deep + b"}",
        "NaN": json.dumps(sound | {"data": [None, "x", float("nan"), ""]}).encode(),
        "not UTF-8": b'{"data": "\xff"}',
    }
    changes = [{"data": []}, {"data": "x"}, {"data": {}}, {"data": [None] * 17}, {"fn_index": 99}, {"fn_index": -1}]
    changes += [
        {"fn_index": True},
        {"fn_index": None},
        {"fn_index": "1"},
        {"session_hash": None},
        {"session_hash": "../x"},
    ]
    changes += [{"session_hash": "x" * 33}, {"event_data": {"path": f"http://{EVIL}/"}}, {"trigger_id": "x"}]
    changes += [{"simple_format": True}, {"batched": True}, {"request": {}}, {"event_id": "x"}]
    bodies |= {str(change): json.dumps(sound | change).encode() for change in changes}
    for name, body in bodies.items():
        for route in (JOIN, RUN):
            answer = client.post(route, content=body, headers={"Content-Type": "application/json"})
            assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
            refused(answer, answer.status_code)
    large = json.dumps(sound | {"data": [None, "x" * 21_000_000, "", ""]}).encode()
    refused(client.post(JOIN, content=large, headers={"Content-Type": "application/json"}), 413)
    refused(client.post(JOIN, content=json.dumps(sound).encode(), headers={"Content-Type": "text/plain"}), 415)
    for session in ("", "../x", "x" * 33, "%00"):
        refused(client.get(f"/gradio_api/queue/data?session_hash={session}"), 400)


def test_another_site_cannot_click(server, client):
    body = click(client, None)
    for origin in (f"http://{EVIL}", "null", "http://127.0.0.1:1", f"{server.url}.{EVIL}"):
        refused(client.post(JOIN, json=body, headers={"Origin": origin}), 403)
        refused(client.post(UPLOAD, files={"files": ("a.png", png())}, headers={"Origin": origin}), 403)
    assert client.post(RUN, json=body, headers={"Origin": server.url}).status_code != 403


def test_the_page_believes_no_other_address(client):
    told = {"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https", "X-Gradio-Server": f"http://{EVIL}"}
    page = client.get("/?deep_link=../../../x&page=x&view=api", headers=told)
    assert page.status_code == 200 and EVIL not in page.text
    for path in ("/assets/%2e%2e/%2e%2e/x", "/static/..%2f..%2fx", "/assets//etc/passwd"):
        assert client.get(path).status_code in (403, 404)


def folder_of(server) -> Path:
    [folder] = server.log.parent.glob("storm_app_*")
    return folder


def no_parts(server) -> None:
    """No upload leaves something behind; the answer to one comes before that is deleted."""
    end = time.monotonic() + 10
    while list((folder_of(server) / "parts").iterdir()):
        assert time.monotonic() < end
        time.sleep(0.01)


def form(name: str, parts: object) -> object:
    yield f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    yield from parts
    yield b"\r\n--b--\r\n"


def multipart(client: httpx.Client, content: object) -> httpx.Response:
    return client.post(UPLOAD, content=content, headers={"Content-Type": "multipart/form-data; boundary=b"})


def test_uploads_together_stay_below_the_quota(server, client):
    folder = folder_of(server)
    refused(multipart(client, b"x" * (QUOTA + 1)), 507)  # announced
    refused(multipart(client, form("chunked.png", (b"x" * 50_000 for _ in range(100)))), 507)  # as it arrives
    no_parts(server)
    answers: list[httpx.Response] = []

    def some(color: int) -> None:
        with client_of(server) as one:
            answers.append(multipart(one, form(f"{color}.png", (bytes([color]) * 100_000 for _ in range(10)))))

    threads = [threading.Thread(target=some, args=(color,)) for color in range(6)]  # 6 MB at once
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 507} and 1 <= statuses.count(200) <= 3
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= QUOTA
    no_parts(server)
    for answer in answers:
        if answer.status_code == 200:  # room for what follows
            Path(answer.json()[0]).unlink()
    uploaded(client)


def test_a_form_that_cannot_be_read_leaves_nothing(server, client):
    whole = b"".join(form("a.png", [png()]))
    assert multipart(client, b"").json() == []
    for body in (b"x", b"--b\r\n\r\n--b--", whole.replace(b'name="files"; ', b""), whole.replace(b"\r\n", b"\n")):
        refused(multipart(client, body), 400)
    refused(client.post(UPLOAD, json={"files": f"http://{EVIL}/"}), 400)
    refused(client.post(f"{UPLOAD}?upload_id=x", data={"files": f"http://{EVIL}/a.png"}), 400)
    refused(multipart(client, whole.replace(b'; filename="a.png"', b"")), 400)
    multipart(client, whole[:-20])  # cut off
    no_parts(server)
    for name in ("../../lock", "..", "/etc/passwd", "a\0b.png", "x" * 4000, ""):
        answer = multipart(client, form(name, [png(1)]))
        if answer.status_code == 200:
            assert all(Path(path).is_relative_to(folder_of(server) / "uploads") for path in answer.json())
        else:
            refused(answer, 400)
