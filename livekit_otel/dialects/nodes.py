"""Own work of an agent's ``llm_node``, ``on_enter`` and ``on_exit``.

For a ``tts_node``, only failures are known, because no span has the arrival times of its input text.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import attributes as attr
from ..spans import nanoseconds
from .names import NativeSpan
from .requests import Attributes, Stage
from .tree import Tree

__all__ = ["failed_voice", "hooks_of", "node_of"]

#: nanoseconds; less own work is ignored, because a request's span starts some milliseconds after its node's span
_SHORTEST = 50_000_000


def node_of(node: NativeSpan, tree: Tree, speech: Attributes) -> Iterator[Stage]:
    """The stage of an ``llm_node`` run that did work of its own, or that failed by itself."""
    requests = [one for one in tree.inside(node) if one.name == "llm_request"]
    offset = nanoseconds(node.fields, "ttft")
    output = None if offset is None else node.start_ns + offset
    failed = node.failed and not any(one.failed or tree.failed(one) for one in requests)
    work = [one for one in _between(node, requests, output) if one[1] > one[0]]
    if sum(end - start for start, end in work) < _SHORTEST and not failed:
        return
    found: Attributes = {attr.NODE_NAME: "llm_node", **speech}
    found[attr.NODE_OWN_WORK] = [(moment - node.start_ns) / 1e9 for stretch in work for moment in stretch]
    if offset is not None:
        found[attr.NODE_FIRST_OUTPUT] = offset / 1e9
    yield attr.KIND_NODE, node, node.start_ns, node.end_ns, found | (_error(node) if failed else {})


def failed_voice(node: NativeSpan, requests: list[NativeSpan], tree: Tree, speech: Attributes) -> Iterator[Stage]:
    """The stage of a ``tts_node`` run that failed by itself. ``requests``: the TTS requests of its speech."""
    own = [one for one in requests if node.start_ns <= one.start_ns <= node.end_ns]
    if node.failed and not any(one.failed or tree.failed(one) for one in own):
        found = {attr.NODE_NAME: "tts_node", **speech, **_error(node)}
        yield attr.KIND_NODE, node, node.start_ns, node.end_ns, found


def _error(node: NativeSpan) -> Attributes:
    kind = {attr.ERROR_TYPE: node.fields[attr.ERROR_TYPE]} if attr.ERROR_TYPE in node.fields else {}
    return {attr.OUTCOME: attr.OUTCOME_ERROR, **kind}


def _between(node: NativeSpan, requests: list[NativeSpan], output: int | None) -> Iterator[tuple[int, int]]:
    """Periods in which the node ran without a request, until its first output. A node without requests produces all of
    its output itself."""
    at, until = node.start_ns, output if output is not None and requests else node.end_ns
    for one in requests:
        if one.start_ns >= until:
            break
        yield at, one.start_ns
        at = max(at, one.end_ns)
    yield at, until


def hooks_of(tree: Tree) -> Iterator[Stage]:
    """The stages of the agents' ``on_enter`` and ``on_exit``, until they made the agent speak."""
    turns = iter(tree.by_name["agent_turn"])
    spoke = next(turns, None)
    for one in sorted((*tree.by_name["on_enter"], *tree.by_name["on_exit"]), key=lambda one: one.start_ns):
        while spoke is not None and spoke.start_ns < one.start_ns:
            spoke = next(turns, None)
        end = one.end_ns if spoke is None else min(one.end_ns, spoke.start_ns)
        if end - one.start_ns >= _SHORTEST:
            yield attr.KIND_NODE, one, one.start_ns, end, {attr.NODE_NAME: one.name}
