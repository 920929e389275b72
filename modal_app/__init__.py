"""What runs on Modal, and how an inference server calls it."""
