"""What stands where something else should: values, and entries of the journal."""

from __future__ import annotations

from typing import Any

__all__ = ["ENTRIES", "ODD"]

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 0.0, -0.0, 0.1, 1e308,
    -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), "@@1e999@@", "@@-1e999@@", "@@1e-999@@",
    "@@99999999999999999999999999999999@@", "@@" + "9" * 5_000 + "@@",
    "", " ", "0", "-1", "NaN", "Infinity", "1e999", "9" * 5_000, "null", "true", "[]", "{}", "\x00", "\x1b]52;c;AA\x07",
    "\u202e", "\ud800", "\udfff\ud83d", "é" * 50, "x" * 5_000, "=1+1", "<script>", "</script>", "{{7*7}}", "[" * 3_000,
    [], [None], [[]], [1, "a", None], ["a"] * 50, {}, {"": None}, {"id": []}, {"type": {}}, {"values": None},
    {"stringValue": 5}, {"intValue": "x"}, {"doubleValue": "Infinity"}, {"arrayValue": {}},
    {"kvlistValue": {"values": [{}]}},
)  # fmt: skip

ENTRIES: tuple[Any, ...] = (
    ["u", {"type": "session_usage_updated"}, [[20_000_000, {}]]], ["u", {}, [["x", {}]]], ["u", {}, ["a"]],
    ["u", {}, [[99, {"type": "llm_usage", "provider": 5, "model": []}]]], ["u", {}, []],
    ["i", None, {"id": "a", "created_at": "soon"}], ["i", None, {"id": "a", "created_at": 1e308}],
    ["i", None, {"id": ["a"]}], ["i", "?", {"id": "a", "type": "message", "content": "x"}], ["e", {"type": []}],
    ["i", None, {"id": "m", "type": "message", "role": "user", "content": [5, {}, None, "x"], "created_at": -1e18}],
    ["i", None, {"id": "m", "type": [], "role": {}, "content": {}}], ["i", None, {"id": "m", "type": "agent_handoff"}],
    ["e", {"type": "error", "error": {"type": {}, "label": [], "error": {}}, "created_at": 1e308}],
    ["e", {"type": "close", "reason": {}}], ["e", {"type": "error", "error": "x"}],
    ["fe", -1, {}], ["fe", 10**9, {"type": "x"}], ["fe", 0, {}], ["fb", 0, 0, []], ["fb", 0, 1, []], ["fo", []],
    ["ft", ["a", "a"]], ["n", -1, 10**18], ["h", {"usage": 5, "options": [], "tags": {}}], ["h", {"usage": [5]}],
    ["h", {"events": 5, "job_id": [], "room": {}, "agent_name": 5, "timestamp": "x", "duration_ms": []}],
    ["c", None, {"item": 5}], ["c", None, {"item": {"id": "b", "type": "function_call_output", "output": {}}}],
    ["h", {"usage": [{"provider": {}, "type": [], "input_tokens": "@@1e999@@"}]}], ["h", {"usage": ["a"]}],
)  # fmt: skip
