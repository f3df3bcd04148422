"""What `import harness` offers to notebooks and programs: runs, their results, their policies."""

from harness.api.frames import Results, results
from harness.api.policies import load_policy
from harness.api.runs import run
from harness.errors import UserError
from harness.policies.policy import Policy

__all__ = ["Policy", "Results", "UserError", "load_policy", "results", "run"]
