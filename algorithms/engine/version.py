"""The engine's version: part of every run's hash. Raise it when an update's numbers
change by more than rounding, which CPUs and libraries change as well."""

ENGINE_VERSION = 2
