"""What is served over plain HTTP: health and blobs."""
