"""10% BC: behaviour cloning of the tenth of the episodes that earned the most.

Paper: Chen et al., Decision Transformer: Reinforcement Learning via Sequence Modeling,
arXiv:2106.01345, Section 5.1, its baseline %BC.
Code: tinkoff-ai/CORL at 6afec90, `algorithms/offline/any_percent_bc.py`.

Deviations:
    - Data: an episode ends where the data say so, by a time limit too. CORL: at terminals and after
      every 1000 transitions, counted without the last one of episodes that a time limit cut.
    - Budget: the suite's (CORL: 10⁶ updates, 10 episodes every 5000).

What follows is as in CORL, and the paper differs:
    - The best tenth of the episodes, at least one. Paper: the best episodes with a tenth of the
      timesteps, which are fewer where good episodes are long.
    - Observations are normalised by the chosen episodes' mean and standard deviation (paper: by all
      data's).
    - Two hidden layers that see one state. Paper's code: three, with dropout 0.1, that see the last
      20 states.
"""

from __future__ import annotations

import numpy as np

from algorithms.fields import Share
from algorithms.transitions import Transitions
from baselines.bc import BC, BCConfig


class PercentBCConfig(BCConfig):
    """10% BC's settings: behaviour cloning's and one more."""

    fraction: Share = 0.1  # X of X% BC: how many of the episodes are cloned


class PercentBC(BC):
    """min_π E |π(s) − a|² over the episodes with the largest returns."""

    Config = PercentBCConfig

    @classmethod
    def select(cls, config: BCConfig, transitions: Transitions) -> Transitions:
        """The best episodes, in time order; of equal ones the later."""
        assert isinstance(config, PercentBCConfig)
        returns = transitions.episode_returns()
        count = max(1, int(config.fraction * len(returns)))
        chosen = np.zeros(len(returns), bool)
        chosen[np.argsort(returns, kind="stable")[-count:]] = True
        return transitions.episodes(chosen)
