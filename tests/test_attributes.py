"""The schema: one home for every name, and a reference page that says the same."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from livekit_otel import attributes as attr

ROOT = Path(__file__).parent.parent


def test_reference_page_is_generated_from_the_schema() -> None:
    """docs/attributes.md equals what docs/generate_attributes.py writes today."""
    spec = importlib.util.spec_from_file_location("generate_attributes", ROOT / "docs" / "generate_attributes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "attributes.md").read_text(encoding="utf-8") == module.render()


@pytest.mark.parametrize("name", sorted(attr.REGISTRY))
def test_names_suit_every_backend(name: str) -> None:
    """Names are lower-case dotted words, and no segment is a number (Phoenix takes it for a list position)."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", name)


def test_content_is_told_by_the_key() -> None:
    """An attribute is content exactly when LiveKit's own filter would withhold its key."""
    assert {one.name for one in attr.REGISTRY.values() if one.content} == {
        name for name in attr.REGISTRY if attr.is_content(name)
    }


def test_every_field_of_livekits_metrics_is_declared() -> None:
    """The schema declares every field of every metrics class of the newest LiveKit, nested ones included."""
    base = pytest.importorskip("livekit.agents.metrics.base")
    for stage, cls in attr._METRICS_CLASS.items():
        metrics_class = getattr(base, cls, None)
        if metrics_class is None:
            continue
        assert set(_fields(metrics_class)) <= set(attr.STAGE_METRICS[stage]), cls


def _fields(model: type, prefix: str = "") -> list[str]:
    import typing

    names: list[str] = []
    hints = typing.get_type_hints(model)
    for name in model.model_fields:  # type: ignore[attr-defined]
        if name == "type":
            continue
        inner = [one for one in (hints[name], *typing.get_args(hints[name])) if hasattr(one, "model_fields")]
        names += _fields(inner[0], f"{prefix}{name}.") if inner else [prefix + name]
    return names
