"""What a program written for OpenAI sees of a gateway: run as `openai_client.py URL UNFUNDED_URL LOCKED_URL KEY`."""

import base64
import struct
import sys
import time

import openai
from openai import OpenAI

CHAT, EMBED = "bombyx-chat-tiny", "all-minilm-l6-v2"
QUESTION = [{"role": "user", "content": "What is 17 plus 25?"}]


def refused(kind, call, **facts):
    """Sees that `call` raises exactly this kind of error, with these facts."""
    try:
        call()
    except kind as error:
        assert type(error) is kind, error
        for name, value in facts.items():
            assert getattr(error, name) == value, (name, getattr(error, name), str(error))
        assert error.body["message"], error
        return error
    raise AssertionError(f"no {kind.__name__}: {facts}")


def models(client):
    listed, until = {}, time.monotonic() + 60
    # Providers are found within seconds of joining.
    while not {CHAT, EMBED} <= set(listed):
        assert time.monotonic() < until, listed
        listed = {model.id: model for model in client.models.list()}
        time.sleep(0.2)
    assert listed[CHAT].object == "model" and listed[CHAT].bombyx["providers"] == 1
    assert client.models.retrieve(EMBED).bombyx["task"] == "embeddings"
    refused(openai.NotFoundError, lambda: client.models.retrieve("no-such-model"), code="model_not_found")


def chat_whole(client):
    raw = client.chat.completions.with_raw_response.create(model=CHAT, messages=QUESTION)
    answer = raw.parse()
    assert answer.choices[0].message.content.strip() == "42", answer
    assert answer.choices[0].finish_reason == "stop" and answer.object == "chat.completion"
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert answer.bombyx["cost_nano"] > 0 and answer.bombyx["receipts"] > 0
    assert raw.headers["x-bombyx-provider"] == answer.bombyx["providers"][-1]
    assert int(raw.headers["x-bombyx-cost-nano"]) == answer.bombyx["cost_nano"]
    assert raw.headers["x-request-id"]
    cut = client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "Count from 10 to 20."}],
                                         max_tokens=4)
    assert cut.choices[0].finish_reason == "length" and cut.usage.completion_tokens == 4, cut


def chat_streamed(client):
    chunks = list(client.chat.completions.create(
        model=CHAT, messages=QUESTION, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text.strip() == "42", text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0, chunks[-1]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].bombyx["cost_nano"] > 0
    assert len({chunk.id for chunk in chunks}) == 1
    plain = list(client.chat.completions.create(model=CHAT, messages=QUESTION, stream=True))
    assert plain[-1].choices[0].finish_reason == "stop" and plain[-1].bombyx["cost_nano"] > 0
    # Walking away in the middle is everyone's right; the next request must not suffer from it.
    stream = client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": "Count from 10 to 20."}], stream=True)
    next(iter(stream))
    stream.close()
    assert client.chat.completions.create(model=CHAT, messages=QUESTION).choices[0].message.content.strip() == "42"


def embeddings(client):
    one = client.embeddings.create(model=EMBED, input="A silk moth spins.", encoding_format="float")
    vector = one.data[0].embedding
    assert len(vector) == 384 and abs(sum(x * x for x in vector) - 1) < 1e-4
    assert one.usage.prompt_tokens > 0 and one.object == "list"
    texts = [f"text number {number}" for number in range(9)] + ["A silk moth spins."]
    many = client.embeddings.create(model=EMBED, input=texts, encoding_format="float")
    assert [item.index for item in many.data] == list(range(10))
    assert max(abs(a - b) for a, b in zip(many.data[9].embedding, vector)) < 1e-5
    # The client asks for base64 by itself when numpy is there; here it is asked for by hand.
    raw = client.embeddings.with_raw_response.create(model=EMBED, input=["A silk moth spins."],
                                                     encoding_format="base64")
    encoded = raw.http_response.json()["data"][0]["embedding"]
    decoded = struct.unpack("<384f", base64.b64decode(encoded))
    assert max(abs(a - b) for a, b in zip(decoded, vector)) < 1e-5


def errors(client):
    chat = client.chat.completions.create
    refused(openai.NotFoundError, lambda: chat(model="gpt-5", messages=QUESTION), code="model_not_found", param="model")
    refused(openai.BadRequestError, lambda: chat(model=CHAT, messages=QUESTION, n=2), param="n")
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    refused(openai.BadRequestError, lambda: chat(model=CHAT, messages=QUESTION, tools=[tool]), param="tools")
    refused(openai.BadRequestError, lambda: chat(model=CHAT, messages=QUESTION, temperature=9), param="temperature")
    refused(openai.BadRequestError, lambda: chat(model=CHAT, messages=[]))
    refused(openai.BadRequestError, lambda: chat(model=EMBED, messages=QUESTION), param="model")
    refused(openai.BadRequestError, lambda: client.embeddings.create(model=EMBED, input=[[1, 2]]), param="input")
    refused(openai.UnprocessableEntityError,
            lambda: chat(model=CHAT, messages=QUESTION, extra_body={"bombyx": {"max_cost_nano": 1}}),
            code="price_ceiling_too_low")
    # The words, the code and the type by which LangChain and LiteLLM know that a conversation is too long.
    for length in (2_046, 60_000):
        long = [{"role": "user", "content": "x" * length}]
        error = refused(openai.BadRequestError, lambda: chat(model=CHAT, messages=long),
                        code="context_length_exceeded", param="messages", type="invalid_request_error")
        assert "This model's maximum context length is 2048 tokens" in str(error), error
    texts = ["short", "silk " * 300]
    error = refused(openai.BadRequestError, lambda: client.embeddings.create(model=EMBED, input=texts),
                    code="context_length_exceeded", param="input")
    assert "This model's maximum context length is 256 tokens" in str(error), error
    error = refused(openai.BadRequestError,
                    lambda: chat(model=CHAT, messages=QUESTION, extra_body={"temprature": 0.5}),
                    code="unknown_parameter", param="temprature")
    assert "did you mean `temperature`?" in str(error), error
    for limits, near in (({"max_cost_nanos": 1}, "max_cost_nano"), ({"deadline": 1}, "deadline_ms")):
        error = refused(openai.BadRequestError,
                        lambda: chat(model=CHAT, messages=QUESTION, extra_body={"bombyx": limits}),
                        param=f"bombyx.{next(iter(limits))}")
        assert f"did you mean `{near}`?" in str(error), error
    refused(openai.BadRequestError,
            lambda: chat(model=CHAT, messages=QUESTION, extra_body={"bombyx": {"tier": "confidential"}}),
            code="unsupported_parameter", param="bombyx.tier")
    # What asks for nothing, or for what happens anyway, is taken.
    assert chat(model=CHAT, messages=QUESTION, user="someone", n=1, tools=[tool], tool_choice="none",
                max_tokens=1_000_000, frequency_penalty=0, store=False, service_tier="auto",
                response_format={"type": "text"}, extra_body={"top_k": 5}).choices
    assert client.embeddings.create(model=EMBED, input="silk", dimensions=384).data


def unfunded(client):
    error = refused(openai.RateLimitError,
                    lambda: client.chat.completions.create(model=CHAT, messages=QUESTION), code="insufficient_quota")
    assert error.status_code == 429


def locked(url, key):
    wrong = OpenAI(base_url=url, api_key="not the key", max_retries=0)
    refused(openai.AuthenticationError, lambda: wrong.models.list(), code="invalid_api_key")
    right = OpenAI(base_url=url, api_key=key, max_retries=0)
    assert right.models.list() is not None


def main():
    url, unfunded_url, locked_url, key = sys.argv[1:]
    # With its retries, as programs use it: a gateway that wanted some would be slow here.
    client = OpenAI(base_url=url, api_key="any", timeout=60)
    for check in (models, chat_whole, chat_streamed, embeddings, errors):
        check(client)
        print("held:", check.__name__)
    unfunded(OpenAI(base_url=unfunded_url, api_key="any", timeout=60))
    print("held: unfunded")
    locked(locked_url, key)
    print("held: locked")


main()
