"""OpenAI's chat form: /v1/chat/completions, as text, or as the probability of every valid answer (vLLM).

The messages are those of training: the family's system message, then the image and the question. Measured with vLLM
0.32 and Qwen2.5-VL: the tokens of the prompt are training's, and probabilities our own engine's within 1e-6.
"""

import asyncio
import math
from collections.abc import Coroutine, Sequence

from eval.servers.connection import Server, post
from eval.servers.faults import Fault, first_line
from eval.servers.reply import LONGEST, Question, Reply
from storm.prompts import question

PATH = "/chat/completions"
# Whole answers, and those that are counted as odd: OpenAI's words, and two of Text Generation Inference for "stop".
FINISHED = ("stop", "length", "content_filter", "eos_token", "stop_sequence")
LIMIT = "max_completion_tokens"
ROUNDED = 0.001  # the most that the logarithm of a probability can be, by rounding only
NO_LOGPROBS = "gives no log-probabilities of a prompt (vLLM does); write --decode generate"


def asking(server: Server, asked: Question) -> dict:
    """Of a request: the model and its messages. The blank behind <image> stays, as in training."""
    text = question(asked.scale, asked.strategy).removeprefix("<image>")
    parts = [{"type": "image_url", "image_url": {"url": asked.image}}, {"type": "text", "text": text}]
    family, messages = server.family, [{"role": "user", "content": parts}]
    if family and family.system:
        messages.insert(0, {"role": "system", "content": family.system})
    return {"model": server.model, "messages": messages} | (
        {"chat_template_kwargs": dict(family.keys)} if family and family.keys else {}
    )


async def generate(server: Server, asked: Question) -> Reply:
    """Greedy text, if the model lets its caller choose. Raises Fault."""
    answer = None
    while answer is None:
        body = asking(server, asked) | {server.limit: asked.max_new_tokens}
        try:
            answer = await post(server, PATH, body | ({"temperature": 0} if server.greedy else {}))
        except Fault as fault:
            if not _adapted(server, fault):
                raise
    server.counts["not greedy"] += not server.greedy
    try:
        choice = answer["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text, refusal = (_whole(message.get(key) or "") for key in ("content", "refusal"))
        if not (isinstance(text, str) and isinstance(refusal, str)):
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Fault(f"{server.name}: the answer has no choices with a message; correct --api", "again") from None
    if max(len(text), len(refusal)) > LONGEST:
        about = f"{len(text) or len(refusal):,} letters where at most {asked.max_new_tokens} tokens were asked for"
        raise Fault(f"{server.name}: answers {about}; is it the server of a model?", "again")
    if refusal:
        return Reply(text or refusal, odd="refusal")
    if finish is not None and finish not in FINISHED:
        server.counts["broken off"] += 1
        about = f"the answer broke off (finish_reason {first_line(finish, server.key)!r})"
        raise Fault(f"{server.name}: {about}; see what the server printed, then start the same command again", "again")
    odd = {"content_filter": "content filter", "length": "cut off"}.get(str(finish), "")
    return Reply(text, odd=odd or ("" if text.strip() else "empty"))


def _whole(text: object) -> object:
    """Text that a file can hold: half a character (a lone surrogate, which JSON may spell) becomes "?"."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


def _adapted(server: Server, fault: Fault) -> bool:
    """Whether a refused request can be sent again in another way: OpenAI's models since o1 call the limit
    max_completion_tokens, and most of them take no temperature."""
    refusal_text = str(fault) if fault.kind == "row" else ""
    if LIMIT in refusal_text and server.limit != LIMIT:
        server.limit = LIMIT
    elif "temperature" in refusal_text and server.greedy:
        server.greedy = False
    else:
        return False
    return True


async def exact(server: Server, asked: Question) -> Reply:
    """log P(answer | image and question) of each valid answer: each is sent as the assistant's turn, and the server
    gives the log-probabilities of its tokens, up to and with the one that ends the turn. Raises Fault."""
    key = asked.scale, asked.strategy
    if key not in server.tails:
        prompt = len((await _read(server, asked, None))[0])
        whole = await together([_read(server, asked, text) for text in asked.answers])
        server.tails[key] = _tails(server, prompt, whole, asked.answers)
    else:
        whole = await together([_read(server, asked, text) for text in asked.answers])
    logp = []
    for (ids, logprobs, _), (tokens, scored) in zip(whole, server.tails[key], strict=True):
        start = len(ids) - len(tokens)
        if tuple(ids[start:]) != tokens:
            raise Fault(f"{server.name}: the tokens of an answer changed; does a proxy share several models?", "again")
        logp.append(sum(logprobs[start : start + scored]))
    if max(logp) == -math.inf:
        raise Fault(f"{server.name}: no valid answer has a probability above 0; write --decode generate", "row")
    return Reply(logp=tuple(logp))


def _tails(server: Server, prompt: int, whole: Sequence[tuple], texts: Sequence[str]) -> list[tuple[tuple, int]]:
    """Of each answer (its tokens to the end of the text, how many of them count): a newline behind the end token is
    not generated, so it does not count. prompt: how many tokens stand before an answer. Raises Fault."""
    tails, ends = [], set()
    for (ids, _, words), text in zip(whole, texts, strict=True):
        scored = len(ids)
        while scored > prompt and not words[scored - 1].strip():
            scored -= 1
        ends.add(ids[scored - 1])
        if scored - prompt < 2 or text.endswith(words[scored - 1].strip()):
            ends.add(-1)
        tails.append((tuple(ids[prompt:]), scored - prompt))
    if len(ends) > 1 or len({ids[:prompt] for ids, _, _ in whole}) > 1:
        text = "its chat template does not put an answer and one end token behind the prompt"
        raise Fault(f"{server.name}: {text}; write --decode generate", "server")
    return tails


async def _read(server: Server, asked: Question, answer: str | None) -> tuple[tuple[int, ...], list[float], list[str]]:
    """(ids, log-probabilities, texts) of the tokens of a prompt, with this answer in it. Raises Fault."""
    body = asking(server, asked) | {"temperature": 0, "max_tokens": 1, "prompt_logprobs": 0}
    body["messages"] += [] if answer is None else [{"role": "assistant", "content": answer}]
    body |= {"add_generation_prompt": answer is None, "return_token_ids": True}
    try:
        read = await post(server, PATH, body)
    except Fault as fault:
        if fault.kind == "row" and "logprob" in str(fault):
            raise Fault(f"{fault}; {server.name} {NO_LOGPROBS}", "server") from None
        raise
    ids, logprobs = read.get("prompt_token_ids"), read.get("prompt_logprobs")
    if not (isinstance(ids, list) and isinstance(logprobs, list) and len(ids) == len(logprobs) > 1):
        raise Fault(f"{server.name} {NO_LOGPROBS}", "server")
    try:
        tokens = [at[str(id)] for id, at in zip(ids[1:], logprobs[1:])]  # the first token has nothing before it
        values, words = [float(token["logprob"]) for token in tokens], [str(token["decoded_token"]) for token in tokens]
    except (KeyError, TypeError, ValueError):
        raise Fault(f"{server.name} {NO_LOGPROBS}", "server") from None
    if max(values) == -math.inf or not all(value <= ROUNDED for value in values):
        odd = next((value for value in values if not value <= ROUNDED), -math.inf)
        text = f"gives {odd} as the log-probability of a token; are the model's weights damaged?"
        raise Fault(f"{server.name} {text} --decode generate asks without them", "row")
    return tuple(ids), [0.0, *values], ["", *words]


async def together(calls: Sequence[Coroutine]) -> list:
    """All results, in order; after the first error the other calls are stopped, and it is raised."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
