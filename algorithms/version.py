"""The engine's version: part of every run's hash. Raise it when an update's numbers change."""

ENGINE_VERSION = 1
