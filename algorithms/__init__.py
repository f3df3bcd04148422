"""Learning, and nothing else: the engine, the building blocks, and Decision Flow."""
