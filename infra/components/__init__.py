"""The parts of a stack, one concern each: access, secrets, the app that executes, and what a server needs of it all."""
