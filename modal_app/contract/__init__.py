"""What crosses the border between an inference server and a container: requests, responses, and values as data.

A request is a dict of plain Python objects that Modal pickles. A response is data only: None, bool, int, float, str,
bytes, lists and str-keyed dicts, which Modal encodes as CBOR. Any other value is a dict whose "$kind" names what it is.
"""
