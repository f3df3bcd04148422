"""Where downloaded data come from."""
