#!/usr/bin/env bash
# An error that ends a stream is raised in one of OpenAI's interfaces and handed on as data in the other.
# Versions: openai 3.57.0, httpx 0.28.1.
# A server that fails while it streams can only say so in the stream. For chat completions the `openai` package
# raises APIError at `data: {"error": ...}`. For responses the event of the type `error`, which the interface's
# own reference has for this, is given to the caller like any other event, and the stream then ends as if all
# were well: code that joins the deltas takes half a text for a whole one. Callers must look at the last event.
# Seen:
#   chat completions: APIError the step failed
#   responses: ['response.output_text.delta', 'error'], no exception
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openai==3.57.0 httpx==0.28.1
"$work/venv/bin/python" - <<'END'
import json

import httpx
import openai

CHAT = [{"id": "a", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [
    {"index": 0, "delta": {"content": "half"}, "finish_reason": None}]}, {"error": {"message": "the step failed"}}]
RESPONSES = [
    {"type": "response.output_text.delta", "sequence_number": 0, "item_id": "i", "output_index": 0,
     "content_index": 0, "delta": "half", "logprobs": []},
    {"type": "error", "sequence_number": 1, "code": "failed", "message": "the step failed", "param": None},
]


def answer(request):
    given = CHAT if request.url.path.endswith("completions") else RESPONSES
    text = "".join(
        (f"event: {one['type']}\n" if "type" in one else "") + f"data: {json.dumps(one)}\n\n" for one in given
    )
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)


transport = httpx.MockTransport(answer)
client = openai.OpenAI(api_key="x", base_url="http://server/v1", http_client=httpx.Client(transport=transport))
raised = None
try:
    list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True))
except openai.APIError as error:
    raised = error
print("chat completions:", type(raised).__name__, raised)
kinds = [event.type for event in client.responses.create(model="m", input="x", stream=True)]
print(f"responses: {kinds}, no exception")
assert "the step failed" in str(raised)
assert kinds == ["response.output_text.delta", "error"]
END
