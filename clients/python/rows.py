"""What the Python clients make of two running daemons, a row each, as lines of JSON.

Use: rows.py URL CALLING_URL; the second has the model that calls tools (calling-model.mjs).
Answers are validated strictly by openai-python. `llm` is run as the program that it is.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
import ollama
from openai import OpenAI

URL, CALLING_URL = sys.argv[1:3]
MODEL = "attune"
ASKED = [{"role": "user", "content": "Soup or salad?"}]
CALL = {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
CALLED = [
    *ASKED,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "sunny"},
]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "The weather of a city.", "parameters": CITY}
TOOLS = [{"type": "function", "function": WEATHER}]


def openai_at(url: str) -> OpenAI:
    options = {"api_key": "none", "max_retries": 0, "_strict_response_validation": True}
    return OpenAI(base_url=f"{url}/v1", **options)


client = openai_at(URL)
ours = ollama.Client(host=URL)


def check(is_true, found):
    if not is_true:
        raise AssertionError(f"not as expected: {found!r}")
    return found


def words(text):
    return check(isinstance(text, str) and text.strip() != "", text)


def chat(at=client, **more):
    given = {"messages": ASKED, "max_tokens": 8, "model": MODEL, **more}
    return at.chat.completions.create(**given)


def said(**more):
    return words(chat(**more).choices[0].message.content)


def streamed():
    parts = list(chat(stream=True, stream_options={"include_usage": True}))
    words("".join(part.choices[0].delta.content or "" for part in parts if part.choices))
    return check(parts[-1].usage.total_tokens > 0, parts[-1]) and parts[-1].usage.total_tokens


def logprobs():
    found = chat(logprobs=True, top_logprobs=2).choices[0]
    spoken = bytes(byte for one in found.logprobs.content for byte in one.bytes).decode()
    return check(found.message.content.strip() in spoken, spoken)


def events():
    with client.responses.stream(model=MODEL, input="Hi.", max_output_tokens=8) as stream:
        return words("".join(one.delta for one in stream if one.type.endswith("text.delta")))


def called():
    calls = chat(openai_at(CALLING_URL), tools=TOOLS, max_tokens=24).choices[0].message.tool_calls
    return check(json.loads(calls[0].function.arguments) == {"city": "Rome"}, calls) and "Rome"


OPENAI = {
    "models": lambda: [one.id for one in client.models.list()],
    "chat": lambda: said(temperature=0),
    "chat, streamed with usage": streamed,
    "chat, two choices": lambda: check(len(chat(n=2, seed=3).choices) == 2, 2),
    "chat, prefill": lambda: said(messages=[*ASKED, {"role": "assistant", "content": "I like"}]),
    "chat, a system message alone": lambda: said(messages=[{"role": "system", "content": "Hi."}]),
    "chat, penalties and logit_bias": lambda: said(presence_penalty=0.5, logit_bias={"5": -100}),
    "chat, logprobs with bytes": logprobs,
    "chat, a history with tools": lambda: said(messages=CALLED),
    "tools": called,
    "completions": lambda: words(
        client.completions.create(model=MODEL, prompt="Once", max_tokens=8).choices[0].text
    ),
    "responses": lambda: words(
        client.responses.create(model=MODEL, input="Hi.", max_output_tokens=8).output_text
    ),
    "responses, streamed": events,
}
OPENAI_REFUSED = {
    "response_format": lambda: chat(response_format={"type": "json_object"}),
    "input": lambda: client.embeddings.create(model=MODEL, input="x"),
    "temprature": lambda: chat(extra_body={"temprature": 1}),
}


def ollama_chat(at=ours, **more):
    return at.chat(model=MODEL, messages=ASKED, options={"num_predict": 8}, **more)


def ollama_tools():
    at = ollama.Client(host=CALLING_URL)
    calls = at.chat(model=MODEL, messages=ASKED, tools=TOOLS).message.tool_calls
    return check(calls[0].function.arguments == {"city": "Rome"}, calls) and "Rome"


OLLAMA = {
    "list": lambda: [one.model for one in ours.list().models],
    "show": lambda: ours.show(MODEL).capabilities,
    "chat": lambda: words(ollama_chat().message.content),
    "chat, streamed": lambda: words(
        "".join(part.message.content for part in ollama_chat(stream=True))
    ),
    "generate": lambda: words(
        ours.generate(model=MODEL, prompt="Hi", options={"num_predict": 8}).response
    ),
    "tools": ollama_tools,
}
OLLAMA_REFUSED = {"format": lambda: ollama_chat(format="json")}


def lite(provider="openai/", url=f"{URL}/v1", **more):
    given = {"messages": ASKED, "max_tokens": 8, "api_key": "none", "num_retries": 0, **more}
    return litellm.completion(model=f"{provider}{MODEL}", api_base=url, **given)


def lite_stream(**more):
    parts = list(lite(stream=True, **more))
    return words("".join(part.choices[0].delta.content or "" for part in parts))


def lite_tools():
    found = lite(url=f"{CALLING_URL}/v1", tools=TOOLS, max_tokens=24)
    return check(found.choices[0].message.tool_calls[0].function.name == "weather", found) and "Rome"


LITELLM = {
    "completion": lambda: words(lite().choices[0].message.content),
    "completion, streamed": lite_stream,
    "completion, two choices": lambda: check(len(lite(n=2).choices) == 2, 2),
    "tools": lite_tools,
    "text_completion": lambda: words(
        litellm.text_completion(
            model=f"text-completion-openai/{MODEL}",
            **{"prompt": "Once", "max_tokens": 8, "api_base": f"{URL}/v1", "api_key": "none"},
        )
        .choices[0]
        .text
    ),
    "responses": lambda: words(
        litellm.responses(
            model=f"openai/{MODEL}",
            **{"input": "Hi.", "max_output_tokens": 8, "api_base": f"{URL}/v1", "api_key": "none"},
        )
        .output[0]
        .content[0]
        .text
    ),
    "hosted_vllm/, a provider by address": lambda: words(
        lite("hosted_vllm/").choices[0].message.content
    ),
    "ollama_chat/, by Ollama's routes": lambda: words(
        lite("ollama_chat/", URL).choices[0].message.content
    ),
    "ollama_chat/, streamed": lambda: lite_stream(provider="ollama_chat/", url=URL),
}
LITELLM_REFUSED = {
    "response_format": lambda: lite(response_format={"type": "json_object"}),
}

LLM_MODELS = f"""\
- model_id: attune
  model_name: attune
  api_base: {URL}/v1
  supports_schema: true
- model_id: attune-calling
  model_name: attune
  api_base: {CALLING_URL}/v1
  supports_tools: true
- model_id: attune-text
  model_name: attune
  api_base: {URL}/v1
  completion: true
"""
FUNCTION = "def weather(city: str) -> str:\n    'The weather.'\n    return 'sunny in ' + city"


class Llm:
    """The program in a folder of its own."""

    def __init__(self, folder: str):
        Path(folder, "extra-openai-models.yaml").write_text(LLM_MODELS)
        self.env = {**os.environ, "LLM_USER_PATH": folder, "OPENAI_API_KEY": "none"}

    def __call__(self, *arguments: str) -> str:
        program = Path(sys.executable).with_name("llm")
        options = {"capture_output": True, "text": True, "env": self.env, "timeout": 120}
        done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, **options)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-400:])
        return words(done.stdout + done.stderr)


def llm_rows(llm: Llm):
    short = ["-o", "max_tokens", "8"]
    rows = {
        "a question, streamed": lambda: llm("-m", "attune", *short, "Soup or salad?"),
        "whole, with options": lambda: llm(
            "-m", "attune", "--no-stream", *short, "-o", "temperature", "0", "-s", "Be brief.", "Hi"
        ),
        "the conversation goes on": lambda: llm("-m", "attune", "-c", *short, "And then?"),
        "a tool": lambda: check(
            "sunny" in (found := llm("-m", "attune-calling", "--functions", FUNCTION, "Weather?")),
            found,
        ),
        "completion": lambda: llm("-m", "attune-text", *short, "Once upon a time"),
    }
    refused = {"response_format": lambda: llm("-m", "attune", "--schema", "dish str", "Soup?")}
    return rows, refused


def show(client_name: str, row: str, result: str, detail: object) -> None:
    found = {"client": client_name, "row": row, "result": result, "detail": str(detail)}
    print(json.dumps(found), flush=True)


def run(client_name: str, rows, refused) -> None:
    for name, ask in rows.items():
        try:
            show(client_name, name, "ok", ask())
        except Exception as error:  # noqa: BLE001: each row stands for itself
            show(client_name, name, "failed", f"{type(error).__name__}: {error}")
    for name, ask in refused.items():
        try:
            show(client_name, name, "failed", f"not refused: {ask()}")
        except Exception as error:  # noqa: BLE001
            is_named = name in f"{getattr(error, 'param', '')} {error}" and "not" in str(error)
            result = "refused by name" if is_named else "failed"
            show(client_name, name, result, name if is_named else error)


with tempfile.TemporaryDirectory() as folder:
    run("openai (Python)", OPENAI, OPENAI_REFUSED)
    run("ollama (Python)", OLLAMA, OLLAMA_REFUSED)
    run("litellm", LITELLM, LITELLM_REFUSED)
    run("llm", *llm_rows(Llm(folder)))
