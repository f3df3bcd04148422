"""Target networks that nothing reads are asked about; those that anything reads are not."""

from __future__ import annotations

import pytest

from algorithms.contract import Subject
from algorithms.contract.targets import unread_targets
from tests.algorithms.planted import ID, Package

MEANT = "nets.target.critic(batch.next_observations"
FROZEN = (MEANT, "nets.frozen.critic(batch.next_observations")


def test_a_target_that_nothing_reads_is_asked_about(package: Package) -> None:
    package.write(FROZEN)
    [found] = unread_targets(Subject(ID))
    assert found.sentence == (
        "nothing reads the target of 'critic': write nets.target.critic where it is meant, or "
        "leave it out of self.targets and updates_targets"
    )
    assert found.where == package.line('self.targets = {"critic": 0.005}')
    assert found.advice


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (MEANT, MEANT),
        (MEANT, "nets.frozen.target.critic(batch.next_observations"),
        (
            "actions = torch.tanh(",
            "actions = 0 * nets.target.critic(observations, noise['gaussian'])[:, 0].unsqueeze(-1) "
            "+ torch.tanh(",
        ),
        (
            "    def act(self",
            "    def action_value(self, nets, observations, actions):\n"
            "        return nets.target.critic(observations, actions).amin(1)\n\n"
            "    def act(self",
        ),
        (
            "self.stages = (Stage((critic, actor)),)",
            "self.networks['old'] = self.networks['critic']\n"
            "        self.stages = (Stage((critic, actor), copies={'old': 'critic'}),)",
        ),
    ],
    ids=["a loss", "a frozen network's", "act", "action_value", "copies"],
)
def test_a_target_that_anything_reads_is_not(package: Package, old: str, new: str) -> None:
    package.write((old, new)) if old == MEANT else package.write(FROZEN, (old, new))
    assert unread_targets(Subject(ID)) == []
