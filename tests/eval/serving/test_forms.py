"""eval/serving/forms.py: what a request's fault is called."""

import json

import pytest

from eval.serving.admission import Refused
from eval.serving.forms import Decisions, SystemOne, read
from tests.helpers.hostile_requests import decisions, systemone

IMAGE = {"type": "input_image", "image_url": "u"}


@pytest.mark.parametrize(
    ("form", "body", "place"),
    [
        (SystemOne, systemone("u") | {"images": ["u"] * 17}, "images: 17 "),
        (Decisions, decisions("u", input=[{"role": "user", "content": [IMAGE] * 17}]), "input.0.content: 17 "),
        (Decisions, decisions("u", input=[{"role": "user", "content": "x"}] * 17), "input: 17 "),
        (Decisions, decisions(3), "input.0.content.0."),
    ],
)
def test_a_fault_is_named_by_its_place_in_the_request(form, body, place):
    with pytest.raises(Refused) as refused:
        read(form, json.dumps(body).encode())
    assert str(refused.value).startswith(place) and "list[" not in str(refused.value)
