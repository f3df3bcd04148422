"""Steps of other people's samplers, recorded once, that ours must repeat: see ../README.md."""
