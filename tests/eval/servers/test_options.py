"""Which URLs are servers, which of them are this machine, and what may be sent away."""

import pytest

from eval.predict import arguments
from eval.servers.families import family_in
from eval.servers.options import Servers, host_of, hosts, key_of, refuse_closed, url_of
from storm.datasets import DATASETS


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://host/api/v3/", "https://host/api/v3"),
        ("http://[::1]:80", "http://[::1]:80/v1"),
    ],
)
def test_a_url_ends_with_the_version(text, url):
    assert url_of(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:8000",
        "localhost",
        "file:///etc/passwd",
        "http://",
        "http://h:99999",
        "http://u:p@h",
        "http://h/v1?k=1",
    ],
)
def test_what_is_no_url_or_holds_a_secret_is_refused(text):
    with pytest.raises(ValueError):
        url_of(text)


def test_this_machine_has_one_name():
    here = ["http://localhost:1/v1", "http://127.0.0.1:2/v1", "http://127.3.4.5/v1", "http://[::1]:3/v1"]
    assert {host_of(url) for url in here} == {"localhost"}
    away = ["http://localhost.evil.com/v1", "http://127.0.0.1.nip.io/v1", "http://0.0.0.0/v1", "http://10.0.0.1/v1"]
    assert "localhost" not in {host_of(url) for url in away}
    assert hosts(Servers((*here, "http://b:1/v1", "http://a:1/v1", "http://a:2/v1"), "m")) == ["a", "b", "localhost"]


def test_the_key_of_openai_goes_to_openai(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OTHER", "o")
    plain, named = Servers((), "m"), Servers((), "m", api_key_env="OTHER")
    assert key_of(plain, "https://api.openai.com/v1") == "k" and key_of(plain, "https://openai.com.evil.org/v1") is None
    assert key_of(plain, "http://127.0.0.1:1/v1") is None and key_of(named, "http://127.0.0.1:1/v1") == "o"


def test_images_leave_only_where_the_terms_say_so():
    away = Servers(("http://example.org/v1",), "m", allow_remote=True)
    closed = [name for name, row in DATASETS.items() if not row.may_pass_on]
    assert {"ava", "spaq", "morph", "eyepacs"} <= set(closed) and {"koniq", "deepdr"}.isdisjoint(closed)
    refuse_closed(away, ["own", "koniq", "demo"])
    refuse_closed(Servers(("http://127.0.0.1:1/v1",), "m"), closed)
    for name in closed:
        with pytest.raises(ValueError, match=f"--i-may-send {name}"):
            refuse_closed(away, ["own", name])
    refuse_closed(Servers(away.server, "m", i_may_send=tuple(closed)), closed)


@pytest.mark.parametrize("price", ["0.15", "a,b", "1,2,3", "-1,2", "nan,1"])
def test_a_price_that_is_none_is_explained(price, capsys):
    with pytest.raises(SystemExit):
        arguments().parse_args(["--server", "http://127.0.0.1", "--data", "x.jsonl", "--out", "o", f"--price={price}"])
    assert price in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl"),
        ("qwen2_5_vl", "qwen2_5_vl"),
        ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl"),
        ("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl"),
        ("Qwen/Qwen3.5-9B", "qwen3_5"),
        ("Qwen3-5B", "none"),
        ("llava-hf/llava-1.5-7b-hf", "llava"),
        ("llava-onevision-qwen2-7b", "none"),
        ("llava-next-mistral-7b", "llava_next_mistral"),
        ("llava-next-34b", "none"),
        ("OpenGVLab/InternVL3-8B-hf", "internvl"),
        ("google/gemma-3-4b-it", "gemma3"),
        ("google/gemma-3n-E4B", "none"),
        ("LiquidAI/LFM2-VL-1.6B", "lfm2_vl"),
        ("gpt-4o", "none"),
        ("storm", "none"),
    ],
)
def test_a_served_models_name_says_its_family(name, family):
    assert family_in(name) == family
