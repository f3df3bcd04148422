"""Updates of other people's code, recorded once, that ours must repeat: see README.md."""
