"""What the Python clients make of a running daemon, a row each: rows.py [http://127.0.0.1:4747].

Answers are validated strictly by openai-python. Exit code 1: a row is not as it should be.
"""

import sys

import ollama
from openai import OpenAI

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4747"
MODEL = "attune"
ASKED = [{"role": "user", "content": "Soup or salad?"}]
CALL = {"id": "1", "type": "function", "function": {"name": "w", "arguments": "{}"}}
CALLED = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "sunny"},
]

client = OpenAI(
    base_url=f"{URL}/v1", api_key="none", max_retries=0, _strict_response_validation=True
)
ours = ollama.Client(host=URL)


def chat(**more):
    more = {"messages": ASKED, "max_tokens": 8, "model": MODEL, **more}
    return client.chat.completions.create(**more)


def streamed():
    options = {"include_usage": True}
    return [part.usage for part in chat(stream=True, stream_options=options)][-1].total_tokens


def events():
    with client.responses.stream(model=MODEL, input="Hi.", max_output_tokens=8) as stream:
        return [one.type for one in stream][-1]


def ollama_chat(**more):
    return ours.chat(model=MODEL, messages=ASKED, options={"num_predict": 8}, **more)


ROWS = {
    "models": lambda: [one.id for one in client.models.list()],
    "chat": lambda: chat(temperature=0).choices[0].message.content,
    "chat, two choices": lambda: len(chat(n=2, seed=3).choices),
    "chat, prefill": lambda: chat(messages=[*ASKED, {"role": "assistant", "content": "I like"}]),
    "chat, system alone": lambda: chat(messages=[{"role": "system", "content": "Greet."}]),
    "chat, penalties": lambda: chat(presence_penalty=0.5, logit_bias={"5": -100}),
    "chat, bytes": lambda: chat(logprobs=True, top_logprobs=2).choices[0].logprobs.content[0].bytes,
    "chat, history of tools": lambda: chat(messages=[*ASKED, *CALLED]),
    "chat, streamed": streamed,
    "completions": lambda: client.completions.create(model=MODEL, prompt="Once", max_tokens=8),
    "responses": lambda: client.responses.create(model=MODEL, input="Hi.", max_output_tokens=8),
    "responses, streamed": events,
    "ollama chat": lambda: ollama_chat().message.content,
    "ollama chat, streamed": lambda: len(list(ollama_chat(stream=True))),
    "ollama generate": lambda: ours.generate(model=MODEL, prompt="Hi", options={"num_predict": 8}),
    "ollama list": lambda: [one.model for one in ours.list().models],
    "ollama show": lambda: ours.show(MODEL).capabilities,
}
REFUSED = {
    "response_format": lambda: chat(response_format={"type": "json_object"}),
    "input": lambda: client.embeddings.create(model=MODEL, input="x"),
    "temprature": lambda: chat(extra_body={"temprature": 1}),
}


def main() -> int:
    failed = 0
    for name, run in ROWS.items():
        try:
            print(f"ok      {name}: {str(run())[:60]!r}")
        except Exception as error:  # noqa: BLE001: each row stands for itself
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:200]}")
    for param, run in REFUSED.items():
        try:
            run()
            found = "not refused"
        except Exception as error:  # noqa: BLE001
            found = getattr(error, "param", None)
        failed += found != param
        print(f"{'ok     ' if found == param else 'FAILED '} refused by its name: {param}: {found}")
    return 1 if failed else 0


sys.exit(main())
