"""Recipes regenerate public datasets on this machine; one module each."""
