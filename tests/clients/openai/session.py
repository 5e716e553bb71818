"""OpenAI's own client against a running `infill serve`: one case a run, which ends with an error if it does not hold.

    python session.py CASE URL

The server at URL has the model of tests/data/translate/pairs.gguf, and wants KEY if the case is `keys`. What a case does
is left to its function below; clients are told never to try again, so that each refusal is seen.
"""

import asyncio
import sys
import time
import urllib.request

import openai

KEY = "a-token-of-some-length"
MODEL = "pairs"

CODE = "def area(width, height):\n    return "
# A conversation that the model knows by heart, and how its answer begins.
CONVERSATION = [
    {
        "role": "system",
        "content": "You are a programming assistant. Translate the code that you are given into JavaScript, so that it "
        "does the same and reads as JavaScript usually does. Answer with the code only.",
    },
    {
        "role": "user",
        "content": "```python\ndef parking_fee(hours):\n    if hours <= 1:\n        return 0\n    if hours < 8:\n"
        "        return 3 * (hours - 1)\n    return 24\n```\nTranslate this code into JavaScript.",
    },
]
ANSWER = "```javascript\nfunction parkingFee(hours) {"

# An answer that does not end by itself, so many times that all of it takes seconds.
ENDLESS = {"model": MODEL, "prompt": CODE, "max_tokens": 900, "temperature": 9, "n": 64}

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def refusal(kind, ask):
    """What the client raises, which must be of this kind and nothing more general."""
    try:
        answer = ask()
    except openai.APIStatusError as error:
        assert type(error) is kind, repr(error)
        return error
    raise AssertionError(f"no {kind.__name__}, but {answer}")


@case
def models(client, url):
    found = client.models.list()
    assert [(model.id, model.object, model.owned_by) for model in found] == [(MODEL, "model", "infill")], found
    assert abs(found.data[0].created - time.time()) < 3600, found


@case
def completes(client, url):
    def ask(**more):
        return client.completions.create(model=MODEL, prompt=CODE, temperature=0, **more)

    whole = ask(max_tokens=24)
    text = whole.choices[0].text
    assert whole.object == "text_completion" and whole.model == MODEL and len(text) > 10, whole
    assert whole.choices[0].finish_reason == "stop" and whole.usage.completion_tokens <= 24, whole
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens, whole

    short = ask(max_tokens=3)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 3, short
    assert text.startswith(short.choices[0].text) and short.choices[0].text, short

    # A stop that no token is alone.
    stop = text[3:6]
    for stopped in (ask(max_tokens=24, stop=stop), ask(max_tokens=24, stop=["never", stop])):
        assert stopped.choices[0].finish_reason == "stop", stopped
        assert stopped.choices[0].text == text.split(stop)[0], stopped

    pieces = list(ask(max_tokens=24, stream=True, stream_options={"include_usage": True}))
    counted = pieces.pop()
    assert len(pieces) > 3 and "".join(piece.choices[0].text for piece in pieces) == text, pieces
    assert [piece.choices[0].finish_reason for piece in pieces][-2:] == [None, "stop"], pieces
    assert len({piece.id for piece in pieces}) == 1 and pieces[0].id != whole.id, pieces
    assert counted.choices == [] and counted.usage.completion_tokens == whole.usage.completion_tokens, counted
    assert counted.usage.prompt_tokens == whole.usage.prompt_tokens, counted
    assert counted.usage.prompt_tokens_details.cached_tokens > 0, "the prompt was there from before"

    several = client.completions.create(model=MODEL, prompt=["fn main() {\n    ", CODE], temperature=0, max_tokens=24)
    assert [choice.index for choice in several.choices] == [0, 1], several
    assert several.choices[1].text == text != several.choices[0].text, several


@case
def chats(client, url):
    def ask(messages=CONVERSATION, **more):
        return client.chat.completions.create(model=MODEL, messages=messages, temperature=0, **more)

    whole = ask()
    said = whole.choices[0].message
    assert said.role == "assistant" and said.content.startswith(ANSWER), whole
    assert whole.object == "chat.completion" and whole.choices[0].finish_reason == "stop", whole
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens, whole

    pieces = list(ask(stream=True, stream_options={"include_usage": True}))
    counted = pieces.pop()
    deltas = [piece.choices[0].delta for piece in pieces]
    assert deltas[0].role == "assistant" and {piece.object for piece in pieces} == {"chat.completion.chunk"}, pieces
    assert "".join(delta.content or "" for delta in deltas) == said.content, pieces
    assert [piece.choices[0].finish_reason for piece in pieces][-2:] == [None, "stop"], pieces
    assert counted.choices == [] and counted.usage.completion_tokens == whole.usage.completion_tokens, counted

    # The client's own reading of a stream puts the pieces together again.
    with client.chat.completions.stream(model=MODEL, messages=CONVERSATION, temperature=0) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == said.content

    stopped = ask(stop="parkingFee")
    assert stopped.choices[0].message.content == said.content.split("parkingFee")[0], stopped
    for key in ("max_tokens", "max_completion_tokens"):
        short = ask(**{key: 4})
        assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 4, short

    system, user = (message["content"] for message in CONVERSATION)
    parts = [
        {"role": "developer", "content": system},
        {"role": "user", "content": [{"type": "text", "text": user[:40]}, {"type": "text", "text": user[40:]}]},
    ]
    assert ask(parts).choices[0].message.content == said.content, "the same conversation, in other words"


@case
def draws(client, url):
    def complete(seed):
        answer = client.completions.create(model=MODEL, prompt=CODE, max_tokens=24, temperature=1, seed=seed, n=3)
        assert [choice.index for choice in answer.choices] == [0, 1, 2], answer
        return [choice.text for choice in answer.choices]

    def chat(seed):
        pieces = client.chat.completions.create(
            model=MODEL, messages=CONVERSATION, max_tokens=40, temperature=2, seed=seed, n=3, stream=True
        )
        texts = ["", "", ""]
        for piece in pieces:
            texts[piece.choices[0].index] += piece.choices[0].delta.content or ""
        return texts

    for draw in (complete, chat):
        first = draw(7)
        assert first == draw(7), "the seed says all"
        assert len(set(first)) == 3 and first != draw(8), first


@case
def refuses(client, url):
    def complete(**more):
        return lambda: client.completions.create(**{"model": MODEL, "prompt": CODE, "max_tokens": 4, **more})

    def chat(**more):
        return lambda: client.chat.completions.create(**{"model": MODEL, "messages": CONVERSATION, "max_tokens": 4, **more})

    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    for ask, key in (
        (complete(temperature=-1), "temperature"),
        (complete(top_p=7), "top_p"),
        (complete(n=0), "n"),
        (complete(n=65), "n"),
        (complete(max_tokens=0), "max_tokens"),
        (complete(prompt=[1, 2]), "prompt"),
        (complete(logprobs=2), "logprobs"),
        (complete(suffix="}"), "suffix"),
        (chat(tools=[tool]), "tools"),
        (chat(response_format={"type": "json_object"}), "response_format"),
        (chat(messages=[{"role": "king", "content": "x"}]), "messages[0].role"),
    ):
        error = refusal(openai.BadRequestError, ask)
        assert error.param == key and f"`{key}`" in error.message and error.type == "invalid_request_error", repr(error)
    # The model reads and writes 1024 tokens.
    for ask in (complete(prompt="x = 1\n" * 4000), complete(prompt="x = 1\n" * 4000, stream=True)):
        assert "1024" in refusal(openai.BadRequestError, ask).message
    # 9 MiB are no request.
    assert refusal(openai.APIStatusError, complete(prompt="x" * (9 << 20))).status_code == 413

    error = refusal(openai.NotFoundError, lambda: client.embeddings.create(model=MODEL, input="x"))
    assert "/v1/completions" in error.message, "it says what there is"
    page = client.with_options(default_headers={"Origin": "http://page.example"})
    assert "web page" in refusal(openai.PermissionDeniedError, page.models.list).message
    assert client.models.list().data, "it goes on"


@case
def keys(client, url):
    assert client.models.list().data[0].id == MODEL
    assert client.completions.create(model=MODEL, prompt=CODE, max_tokens=2).choices[0].text
    stranger = client.with_options(api_key=KEY[:-1] + "H")
    for ask in (
        stranger.models.list,
        lambda: stranger.completions.create(model=MODEL, prompt=CODE),
        lambda: stranger.chat.completions.create(model=MODEL, messages=CONVERSATION, stream=True),
    ):
        error = refusal(openai.AuthenticationError, ask)
        assert error.type == "authentication_error" and "Bearer" in error.message, repr(error)


@case
def serves_one_model(client, url):
    """A server has one model and answers by it, whatever the name asked for; the answer says which it was."""
    answer = client.completions.create(model="some-other-model", prompt=CODE, max_tokens=2)
    assert answer.model == MODEL, answer


@case
def side_by_side(client, url):
    prompts = [CODE, "fn main() {\n    ", "x = [", "for i in "] * 4

    async def ask():
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
            asked = (
                client.completions.create(model=MODEL, prompt=prompt, max_tokens=24, temperature=0) for prompt in prompts
            )
            return [answer.choices[0].text for answer in await asyncio.gather(*asked)]

    alone = [
        client.completions.create(model=MODEL, prompt=prompt, max_tokens=24, temperature=0).choices[0].text
        for prompt in prompts[:4]
    ]
    assert asyncio.run(ask()) == alone * 4 and len(set(alone)) > 1, alone


@case
def leaves_a_stream(client, url):
    stream = client.completions.create(**ENDLESS, stream=True)
    assert next(iter(stream)).choices[0].text
    assert jobs(url) > 0, "the others are being written"
    stream.close()
    wait_until(lambda: jobs(url) == 0, "it goes on")
    written_little(url)


@case
def leaves_a_whole(client, url):
    async def leave():
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
            asking = asyncio.create_task(client.completions.create(**ENDLESS))
            await asyncio.to_thread(wait_until, lambda: jobs(url) > 0, "it never begins")
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled(), asking

    asyncio.run(leave())
    wait_until(lambda: jobs(url) == 0, "it goes on")
    written_little(url)


def figure(url, name):
    """A figure of `/metrics`."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split(" ")[-1]) for line in lines if line.startswith(name + " "))


def jobs(url):
    return figure(url, "infill_jobs_running") + figure(url, "infill_jobs_waiting")


def written_little(url):
    written = figure(url, 'infill_tokens_total{kind="written"}')
    assert written < 0.5 * ENDLESS["n"] * ENDLESS["max_tokens"], f"{written} tokens"


def wait_until(holds, otherwise):
    last = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < last, otherwise
        time.sleep(0.02)


if __name__ == "__main__":
    name, url = sys.argv[1:]
    CASES[name](openai.OpenAI(base_url=url, api_key=KEY, max_retries=0), url)
