"""The tiny model is an ordinary Qwen2.5-VL folder: same token rules, same turns as LLaMA-Factory writes."""

import pytest

pytestmark = pytest.mark.slow  # imports torch and LLaMA-Factory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from demo import model

    patch = pytest.MonkeyPatch()
    patch.setattr(model, "OUT", tmp_path_factory.mktemp("saves") / "demo_base")
    model.main([])
    model.main([])  # a second run replaces the first
    yield model.OUT
    patch.undo()


@pytest.fixture(scope="module")
def processor(folder):
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder)


def test_digits_are_split_one_by_one_and_text_comes_back(processor):
    tokenizer = processor.tokenizer
    assert [t for t in tokenizer.tokenize("116 years old, rate3-4") if t[-1].isdigit()] == ["1", "1", "6", "3", "4"]
    text = "Früher: <|vision_start|>\n 3%"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_special_tokens_are_one_token_each_and_generation_stops(folder, processor):
    from transformers import GenerationConfig

    from demo.model import SPECIAL

    tokenizer = processor.tokenizer
    ids = [tokenizer(token).input_ids for token in SPECIAL]
    assert all(len(i) == 1 for i in ids) and len({i[0] for i in ids}) == len(SPECIAL) == 14
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.eos_token_id in GenerationConfig.from_pretrained(folder).eos_token_id


def test_the_chat_template_writes_llamafactorys_turns(processor):
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    from storm.prompts import answer, question
    from storm.scales import IQA

    ask, say = question(IQA, "cot").removeprefix("<image> "), answer(IQA, "cot", 3)
    tokenizer = processor.tokenizer
    turns = [{"role": "user", "content": ask}, {"role": "assistant", "content": say}]
    ours = tokenizer(processor.apply_chat_template(turns, tokenize=False)).input_ids
    template = get_template_and_fix_tokenizer(tokenizer, DataArguments(template="qwen2_vl"))
    prompt, response = template.encode_oneturn(tokenizer, turns)
    assert ours == prompt + response


def test_a_crop_becomes_sixteen_image_tokens_and_the_model_answers(folder, processor):
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    content = [{"type": "image"}, {"type": "text", "text": " Rate it."}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=[prompt], images=[Image.new("RGB", (112, 112))], return_tensors="pt")
    pads = inputs["input_ids"] == processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert pads.sum() == 16
    with torch.no_grad():
        logits = model(**inputs).logits
    assert logits.shape[-1] == len(processor.tokenizer) and torch.isfinite(logits).all()
