"""Tokens of training rows by the sizes of their images are those of LLaMA-Factory, which decodes the images."""

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from storm.families import FAMILIES
from storm.models import config
from storm.rows import turns
from storm.scales import IQA
from tests.helpers.tiny_models import save

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory
SIZES = [(56, 56), (112, 84), (84, 112), (200, 64), (64, 200), (57, 91), (300, 31), (56, 56), (140, 140)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lengths")
    for number, size in enumerate(SIZES):
        Image.new("RGB", size).save(folder / f"{number}.png")
    return folder


def examples(folder, names) -> dict[str, list]:
    """Rows as the host gives them to its encoder."""
    columns = {key: [] for key in ("_prompt", "_response", "_system", "_tools", "_images", "_videos", "_audios")}
    for name in names:
        for label in (0, 3):
            human, gpt = turns(IQA, "cot", label)
            columns["_prompt"].append([{"role": "user", "content": human["value"]}])
            columns["_response"].append([{"role": "assistant", "content": gpt["value"]}])
            columns["_images"].append([str(folder / name)])
            for key, empty in (("_system", ""), ("_tools", ""), ("_videos", None), ("_audios", None)):
                columns[key].append(empty)
    return columns


def processor_of(base, cutoff: int, supervised: bool):
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.data.processor import SupervisedDatasetProcessor, UnsupervisedDatasetProcessor
    from llamafactory.hparams import get_infer_args
    from llamafactory.model import load_tokenizer

    family = FAMILIES[base.name]
    keys = {"model_name_or_path": str(base), "template": family.template, **family.keys, "image_max_pixels": 12544}
    model_args, data_args, _, _ = get_infer_args(keys | {"cutoff_len": cutoff})
    modules = load_tokenizer(model_args)
    kind = SupervisedDatasetProcessor if supervised else UnsupervisedDatasetProcessor
    return kind(get_template_and_fix_tokenizer(modules["tokenizer"], data_args), **modules, data_args=data_args)


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_are_the_hosts(folder, name, monkeypatch):
    from train.training import lengths

    base = save(name, folder / name)
    names, asked = [f"{number}.png" for number in range(len(SIZES))], []
    for supervised, cutoff in ((True, 2048), (False, 2048), (True, 300)):  # 300 cuts rows, of some sizes only
        processor = processor_of(base, cutoff, supervised)
        host, encode = processor.preprocess_dataset(examples(folder, names)), type(processor)._encode_data_example

        def counted(*given, encode=encode, **more):
            asked.append(given)
            return encode(*given, **more)

        monkeypatch.setattr(type(processor), "_encode_data_example", counted)
        with lengths.quick_lengths(str(base)):
            assert json.dumps(processor.preprocess_dataset(examples(folder, names))) == json.dumps(host)
        monkeypatch.undo()
        # Pixtral has an own line of tokens for each line of patches: the host is asked for each new grid.
        assert "pixtral" in name or cutoff == 300 or len(asked) < 2 * len(SIZES), "the host was asked for each row"
        asked.clear()


def test_a_count_that_is_not_the_hosts_is_seen(folder, monkeypatch):
    from train.training import lengths

    base, names = folder / "qwen2_5_vl", [f"{number}.png" for number in range(len(SIZES))]
    monkeypatch.setattr(lengths.models, "lines_of", lambda config, size, *_: (size[0] % 7 + 1,))
    host = processor_of(base, 2048, True).preprocess_dataset(examples(folder, names[:4]))
    with lengths.quick_lengths(str(base)):
        assert processor_of(base, 2048, True).preprocess_dataset(examples(folder, names[:4])) == host


def test_a_family_that_is_not_known_is_left_to_the_host(tmp_path, capsys):
    from train.training import lengths

    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with lengths.quick_lengths(str(tmp_path)):
        pass
    assert "LLaMA-Factory" in capsys.readouterr().err


def test_the_header_is_all_that_is_read(folder, monkeypatch):
    from train.training import lengths

    quick = lengths.Quick(config(str(save("qwen2_5_vl", folder / "header" / "qwen2_5_vl"))))
    limits = SimpleNamespace(image_max_pixels=12544, image_min_pixels=0, settings={}, cutoff_len=2048)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("the image was decoded"))
    assert quick._lines(limits, str(folder / "1.png")) == ((112, 84), (12,))
    assert quick._lines(limits, str(folder / "missing.png"))[1] is None


def test_rows_of_the_same_size_do_not_prove_that_others_are_made_right(folder, monkeypatch):
    """Four rows of one size, then one of another whose number of tokens we would count wrongly."""
    from train.training import lengths

    base, names = save("qwen2_5_vl", folder / "same" / "qwen2_5_vl"), ["0.png", "7.png", "0.png", "7.png", "1.png"]
    monkeypatch.setattr(lengths.models, "lines_of", lambda config, size, *_: (4 if size == (56, 56) else 7,))
    host = processor_of(base, 2048, True).preprocess_dataset(examples(folder, names))
    with lengths.quick_lengths(str(base)):
        assert processor_of(base, 2048, True).preprocess_dataset(examples(folder, names)) == host
