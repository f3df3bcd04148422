"""What a suite costs: measured rates, and what follows from them. Nothing here trains a run."""
