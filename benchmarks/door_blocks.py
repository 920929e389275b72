"""The blocks that are measured through every door: a tiny one, one that gets an image, one that gives it back."""

SHAPE = (1080, 1920, 3)
"""Of the image."""

TINY = "def run(self, number):\n    return {'number': number + 1}\n"
SEE = "def run(self, image, back):\n    return {'shape': list(image.numpy_image.shape)}\n"
RETURN = "def run(self, image, back):\n    return {'image': image}\n"
