"""The run of requests with faults at a server in a process of its own, with fewer than its record has."""

from __future__ import annotations

import pytest

for name in ("transformers", "fastapi", "uvicorn", "prometheus_client"):
    pytest.importorskip(name)

from tools.serving.faults import MixedUpError, end_of, run  # noqa: E402


@pytest.mark.slow
def test_each_request_has_one_end() -> None:
    found = run(120, 32)
    assert found["ends_in_all"] == 120
    assert found["different_answers"] > 40
    assert not any(found["left_in_the_end"].values())
    assert found["exit_status"] == 0
    assert set(found["ends"]["wrong field"]) <= {"status 400", "status 429", "connection lost"}
    assert found["ends"]["whole"]["answered"] > 0
    assert found["ends"]["stream"]["answered"] > 0


def test_what_is_mixed_up_is_found() -> None:
    done = b'data: {"choices": [{"text": "ab", "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'
    assert end_of("stream", 200, done, "ab") == "answered"
    assert end_of("whole", 200, b'{"choices": [{"text": "ab"}]}', "ab") == "answered"
    assert end_of("whole", 429, b'{"error": {"message": "full"}}', "ab") == "status 429"
    for kind, answer in (
        ("whole", b'{"choices": [{"text": "ba"}]}'),
        ("stream", done.replace(b"ab", b"ba")),
        ("stream", done.replace(b"data: [DONE]", b"data: {}")),
        ("stream", done.replace(b'"length"', b"null")),
    ):
        with pytest.raises(MixedUpError):
            end_of(kind, 200, answer, "ab")
