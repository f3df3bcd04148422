"""Whether a method is right, beyond the contract (`algorithms/contract`): short trainings."""
