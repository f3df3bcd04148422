"""What a manifest tells of its dataset that whoever trains on it should know (light)."""

from __future__ import annotations

from typing import Any

CLIPPED_ACTIONS, CONSTANT_REWARDS = "clipped-actions", "constant-rewards"

_SHARE = 0.01  # of the steps; fewer clipped actions are not worth a warning


def remarks(manifest: dict[str, Any]) -> dict[str, str]:
    """A sentence on everything odd, by its id; the manifests of older versions tell nothing."""
    found: dict[str, str] = {}
    intake, dataset_id = manifest.get("intake", {}), manifest["dataset"]["id"]
    clipped, steps = intake.get("clipped_steps", 0), manifest["steps"]
    if clipped > _SHARE * steps:
        found[CLIPPED_ACTIONS] = (
            f"{dataset_id}: the actions of {clipped:,} of its {steps:,} steps "
            f"({clipped / steps:.1%}) were outside [-1, 1] and have been clipped. If they are in "
            "other units, scale them where the data are from."
        )
    if "constant_reward" in intake:
        found[CONSTANT_REWARDS] = (
            f"{dataset_id}: every one of its {steps:,} rewards is {intake['constant_reward']:g}, "
            "so they do not tell good actions from bad ones."
        )
    return found
