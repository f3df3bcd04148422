"""What data must satisfy."""
