"""What eval/predict.py --server refuses in one line: servers that cannot rate, options, TLS, keys."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

from eval import predict
from eval.servers import connection
from eval.servers.faults import SHOWN
from tests.helpers.asked_servers import arguments, label, make_world, of_decisions, reversed_values, row_number
from tests.helpers.stub_server import MODEL, chat, error, serving, truncated


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connection, "RETRIES", 1)


@pytest.mark.parametrize("status", [200, 400])
def test_a_key_that_a_server_repeats_is_in_no_file(world, tmp_path, monkeypatch, capsys, status):
    monkeypatch.setenv("MINE", "sk-secret-123456")
    text = "x" * (SHOWN - 12) + " sk-secret-123456" if status == 400 else "you sent sk-secret-123456"
    with serving(lambda body, stub: JSONResponse(text, status)) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, limit="1", api_key_env="MINE")) == 2
    printed = capsys.readouterr()
    files = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("sk-secret" in text for text in (printed.out, printed.err, *files))


DECISIONS, SYSTEMONE = ({"api": api, "decode": "exact"} for api in ("decisions", "systemone"))


HTML = HTMLResponse("<!DOCTYPE html><title>Welcome</title>")


@pytest.mark.parametrize(
    ("reply", "more", "fix"),
    [
        (lambda *_: HTML, {}, "/v1"),
        (lambda body, _: truncated(label(body)), {}, "cut off"),
        (lambda *_: chat("x" * 1_000_000), {}, "1,000,000"),
        (lambda *_: error(400, "demo is not a multimodal model"), {}, "not a multimodal model"),
        (lambda *_: error(400, "Invalid model name passed in model=x"), {}, "--served-model"),
        (lambda *_: error(400, "image_url is not supported: text only"), {}, "takes images"),
        (lambda *_: error(400, "maximum context length is 10 tokens"), {}, "--image-max-pixels"),
        (lambda *_: error(400, "The plain HTTP request was sent to HTTPS port"), {}, "https://"),
        (lambda *_: error(500, "Internal Server Error"), {}, "images"),
        (lambda *_: {"error": {"message": "upstream busy"}}, {}, "upstream busy"),
        (lambda *_: error(401, "Incorrect API key"), {}, "--api-key-env"),
        (lambda *_: error(404, "no such model"), {}, "--served-model"),
        (lambda *_: error(429, "no credit", "insufficient_quota"), {}, "credit"),
        (lambda *_: RedirectResponse("http://192.0.2.1/v1/chat/completions"), {}, "redirect"),
        (lambda *_: {"object": "list"}, {}, "--api"),
        (label, {"decode": "exact"}, "--decode generate"),
        (label, DECISIONS, "--api"),
        (label, SYSTEMONE, "--api"),
        (of_decisions(lambda row: row.update(strategy="cot")), DECISIONS, "--strategy cot"),
        (of_decisions(lambda row: row.update(name="other")), DECISIONS, "another question"),
        (of_decisions(lambda row: row.update(score=77)), DECISIONS, "77"),
        (of_decisions(reversed_values), DECISIONS, "values"),
        (of_decisions(lambda row: row.update(score=77), "systemone"), SYSTEMONE, "77"),
        (of_decisions(lambda row: row["legend"].update({"0": "Other"}), "systemone"), SYSTEMONE, "legend"),
        (label, {"served_model": "other"}, f"--served-model is one of {MODEL}"),
    ],
)
def test_a_server_that_cannot_rate_is_one_line_at_once(world, tmp_path, capfd, monkeypatch, reply, more, fix):
    monkeypatch.setattr(connection, "RETRIES", 0)
    with serving(reply) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url, **more)) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"error: {stub.url.removeprefix('http://')}") and fix in said and said.count("\n") == 1, said
    assert len({row_number(body) for body in stub.bodies}) <= 1, "one row, before the others"
    assert len(stub.bodies) <= 1 and not (tmp_path / "own_test.jsonl").exists()


def test_no_server_and_no_tls_are_one_line(world, tmp_path, capfd):
    assert predict.main(arguments(world, tmp_path, "http://127.0.0.1:9")) == 2
    assert "127.0.0.1:9: no server answers" in capfd.readouterr().err
    with serving(label) as stub:
        assert predict.main(arguments(world, tmp_path, stub.url.replace("http:", "https:"))) == 2
    said = capfd.readouterr().err
    assert "http://" in said and said.count("\n") == 1 and stub.bodies == []


def test_a_certificate_of_ones_own_is_trusted_for_this_machine_and_http_is_told_from_https(
    world, tmp_path, monkeypatch, capfd
):
    pem = write_pem(tmp_path / "own.pem")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with serving(label, pem=pem) as stub:
        words = arguments(world, tmp_path / "out", stub.url, limit="2")
        assert predict.main(words) == 2 and "SSL_CERT_FILE" in capfd.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", pem)
        assert predict.main(words) == 0
        capfd.readouterr()
        plain = arguments(world, tmp_path / "plain", stub.url.replace("https:", "http:"))
        assert predict.main(plain) == 2 and "https://" in capfd.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
        assert predict.main([*words, "--limit", "3"]) == 2 and "gone.pem" in capfd.readouterr().err


def write_pem(path: Path) -> str:
    """A key and a certificate of 127.0.0.1 that it signs itself, valid for an hour."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, address = datetime.now(UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = certificate.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    certificate = certificate.add_extension(x509.SubjectAlternativeName([address]), critical=False).sign(
        key, hashes.SHA256()
    )
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*plain) + certificate.public_bytes(plain[0]))
    return str(path)


@pytest.mark.parametrize(
    ("data", "url", "more", "fix"),
    [
        ("own_test", "http://192.0.2.1:8000", {}, "--allow-remote"),
        ("spaq_test", "https://192.0.2.1", {"allow_remote": True}, "--i-may-send spaq"),
        ("own_test", "http://127.0.0.1:9", {"i_may_send": "spak"}, "spaq"),
        ("own_test", "http://127.0.0.1:9", {"api_key_env": "NO_SUCH_KEY"}, "export NO_SUCH_KEY="),
        ("own_test", "https://api.openai.com/v1", {"allow_remote": True}, "export OPENAI_API_KEY="),
        ("own_test", "http://127.0.0.1:9", {"api": "decisions"}, "exact"),
        ("own_test", "http://127.0.0.1:9", {"batch_size": "4"}, "--batch-size"),
        ("own_test", "http://127.0.0.1:9,http://127.0.0.1:9/v1", {}, "twice"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    world, tmp_path, capsys, monkeypatch, data, url, more, fix
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert predict.main(arguments(world, tmp_path / "out", url, data=data, **more)) == 2
    said = capsys.readouterr().err
    assert fix in said and said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_options_of_servers_need_a_server(world, tmp_path, capsys):
    words = ["--model", "x", "--data", str(world / "own_test.jsonl"), "--out", str(tmp_path)]
    assert predict.main([*words, "--concurrency", "4"]) == 2
    assert "--concurrency goes with --server" in capsys.readouterr().err
