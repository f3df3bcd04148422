"""A run's policy after its training: loaded, evaluated again, filmed, exported."""
