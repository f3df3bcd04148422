"""What methods share: flows, diffusion, critics, pretraining."""
