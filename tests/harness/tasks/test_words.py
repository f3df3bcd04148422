"""Every id has a sentence, and every task can be told in words."""

from __future__ import annotations

from typing import get_args

import pytest

from harness.tasks import get_task, task_ids, words
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.spec import DatasetRef


def test_every_id_has_words_and_all_words_have_an_id() -> None:
    assert words.REWARDS.keys() == set(RewardRule)
    assert words.SEMANTICS.keys() == set(Semantics)
    assert words.SOURCES.keys() == set(Source)
    assert words.SCALES.keys() == set(Scale)
    assert words.ORIGINS.keys() == set(get_args(DatasetRef.model_fields["source"].annotation))


@pytest.mark.parametrize("task_id", [*task_ids(), "multimodal/modes-2-dim-2-noise-1-bias-0.5"])
def test_a_task_is_told_without_gaps(task_id: str) -> None:
    task = get_task(task_id)
    for sentence in (words.rewards(task), words.semantics(task), words.source(task)):
        assert sentence
        assert not {"{", "}"} & set(sentence)


def test_sentences_are_filled_with_what_the_spec_holds() -> None:
    said = words.semantics(get_task("minari/adroit/door/cloned"))
    assert "the actions of D4RL's door-cloned-v1, played back" in said
    assert "200 steps" in said
    said = words.semantics(get_task("multimodal/modes-2-dim-2-noise-2-bias-0.5"))
    assert "sd(Q) times 2 of a smooth random function and 0.5 of the excess" in said
    assert words.source(get_task("maze2d/open-dense")).endswith(", maze2d-open-dense-v0")
    own = get_task("pointmaze/umaze").model_copy(update={"description": "As I like it."})
    assert words.semantics(own).endswith("staying is what scores. As I like it.")
