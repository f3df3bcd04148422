"""Decision Flow: the Flow MDP and its two variants."""
