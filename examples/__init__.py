"""Five workflows with custom blocks, each in a folder: the workflow, its block, its inputs. `make example NAME=…`."""
