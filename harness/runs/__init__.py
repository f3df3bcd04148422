"""What a run is and the files it leaves; one writer and reader each."""
