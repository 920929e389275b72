"""What a run function may return, and what becomes of its inputs."""

import numpy as np
import supervision as sv

from tests.chain.behaviours import reasons
from tests.chain.behaviours.row import Behaviour, block, differing, giving, returning
from tests.chain.workflows import IMAGE, PARAMETER, single, workflow
from tests.chain.workflows import block as definition

PICTURE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
PICTURES = [np.full((4, 4, 3), level, dtype=np.uint8) for level in (10, 20, 30)]
FOUND = sv.Detections(
    xyxy=np.array([[1, 2, 30, 40], [5, 6, 7, 8]], dtype=np.float32),
    confidence=np.array([0.9, 0.1], dtype=np.float32),
    class_id=np.array([3, 4]),
    data={"class_name": np.array(["cat", "dog"])},
)


SPLIT = definition(
    "Split",
    """
    def run(self, image):
        halves = np.hsplit(image.numpy_image, 2)
        return [{"half": WorkflowImageData.copy_and_replace(image, numpy_image=half)} for half in halves]
    """,
    ("image",),
    ("half",),
    manifest={"output_dimensionality_offset": 1},
)
WIDTH = definition(
    "Width", "def run(self, half):\n    return {'width': half.numpy_image.shape[1]}\n", ("half",), ("width",)
)
JOIN = definition(
    "Join",
    "def run(self, widths):\n    return {'total': sum(widths), 'kind': type(widths).__name__}\n",
    ("widths",),
    ("total", "kind"),
    manifest={"output_dimensionality_offset": -1},
)
TREE = workflow(
    [SPLIT, WIDTH, JOIN],
    [
        {"type": "Split", "name": "split", "image": "$inputs.image"},
        {"type": "Width", "name": "width", "half": "$steps.split.half"},
        {"type": "Join", "name": "join", "widths": "$steps.width.width"},
    ],
    {"width": "width.width", "total": "join.total", "kind": "join.kind"},
    {"image": IMAGE},
)
NOTHING = definition(
    "Nothing",
    "def run(self, image):\n    return []\n",
    ("image",),
    ("part",),
    manifest={"output_dimensionality_offset": 1},
)
COUNT = definition(
    "Count",
    "def run(self, part):\n    return {'value': [len(part), list(part)]}\n",
    ("part",),
    manifest={"output_dimensionality_offset": -1, "accepts_empty_values": True},
)
EMPTY = workflow(
    [NOTHING, COUNT],
    [
        {"type": "Nothing", "name": "nothing", "image": "$inputs.image"},
        {"type": "Count", "name": "count", "part": "$steps.nothing.part"},
    ],
    {"value": "count.value"},
    {"image": IMAGE},
)
CHANGE = definition(
    "Change", "def run(self, value):\n    value.append(9)\n    return {'value': len(value)}\n", ("value",)
)
LOOK = definition("Look", "def run(self, value, after):\n    return {'value': value}\n", ("value", "after"))
PASSED_ON = workflow(
    [CHANGE, LOOK],
    [
        {"type": "Change", "name": "change", "value": "$inputs.value"},
        {"type": "Look", "name": "look", "value": "$inputs.value", "after": "$steps.change.value"},
    ],
    {"value": "look.value"},
    {"value": PARAMETER},
)
PAINT = definition(
    "Paint",
    "def run(self, image):\n    image.numpy_image[:] = 7\n    return {'image': image}\n",
    ("image",),
    ("image",),
)
SHOW = definition(
    "Show", "def run(self, image, painted):\n    return {'value': int(image.numpy_image.max())}\n", ("image", "painted")
)
PAINTED = workflow(
    [PAINT, SHOW],
    [
        {"type": "Paint", "name": "paint", "image": "$inputs.image"},
        {"type": "Show", "name": "show", "image": "$inputs.image", "painted": "$steps.paint.image"},
    ],
    {"value": "show.value", "image": "paint.image"},
    {"image": IMAGE},
)

QUIET = "import warnings\nwarnings.filterwarnings('ignore', 'coroutine .* was never awaited')\n"

ROWS = (
    returning("None", "None"),
    returning("a list", "[{'value': 1}]"),
    returning("a list of dicts where one is due", "[{'value': 1}, {'value': 2}]"),
    returning("a tuple", "({'value': 1},)"),
    returning("a text", "'value'"),
    returning("a number", "7"),
    returning("an empty dict", "{}"),
    returning("a dict without an output", "{'other': 1}"),
    returning("a dict with one output too many", "{'value': 1, 'other': 2}"),
    returning("a dict with keys that are no texts", "{'value': 1, 2: 3, None: 4}"),
    returning("a defaultdict", "collections.defaultdict(int, value=1)", "import collections\n"),
    returning("an OrderedDict", "collections.OrderedDict(value=1)", "import collections\n"),
    returning("a dict of a class of its own", "Mine(value=1)", "class Mine(dict):\n    pass\n"),
    block("no return statement", "def run(self):\n    pass\n"),
    block("a generator function", "def run(self):\n    yield {'value': 1}\n"),
    block("an async run function", QUIET + "async def run(self):\n    return {'value': 1}\n"),
    block("an async generator", "async def run(self):\n    yield {'value': 1}\n"),
    block(
        "asyncio.run",
        """\
        import asyncio
        async def work():
            await asyncio.sleep(0)
            return 3
        def run(self):
            return {'value': asyncio.run(work())}
        """,
    ),
    giving("None as a value", "None"),
    giving("text, numbers and truth", "['ü', 1, 2.5, True, 2**70, -0.0, 1e300]"),
    giving("infinity and what is no number", "[math.inf, -math.inf, math.nan, np.float32('nan')]"),
    giving("containers", "{'t': (1, (2,)), 'l': [], 'd': {}, 's': {3}, 'f': frozenset({4})}"),
    giving("a dict with keys of several types", "{1: 'a', 'b': 2, (3, 4): 5, None: 6}"),
    giving("NumPy scalars", "[np.int64(3), np.float32(0.5), np.bool_(True), np.uint8(255), np.str_('a')]"),
    giving("NumPy arrays", "[np.arange(6).reshape(2, 3), np.zeros((0, 4), np.float32), np.array(['a', 'bü'])]"),
    giving("an array in Fortran's order", "np.asfortranarray(np.arange(6).reshape(2, 3))"),
    giving("a view of an array with a negative step", "np.arange(6)[::-2]"),
    giving("an array of objects", "np.array([1, 'a', None], dtype=object)"),
    giving(
        "times",
        "[datetime.datetime(2024, 2, 29, 1), datetime.date(2024, 2, 29), datetime.timedelta(seconds=1.5)]",
        "import datetime\n",
    ),
    giving(
        "Decimal, UUID and complex numbers",
        "[Decimal('1.10'), uuid.UUID(int=5), 1+2j]",
        "import uuid\nfrom decimal import Decimal\n",
    ),
    giving("bytes", "[b'\\x00\\xff', bytearray(b'ab'), memoryview(b'ab').tobytes()]"),
    giving("nesting of 30 levels", "deep", "deep = []\nfor _ in range(29):\n    deep = [deep]\n"),
    giving("the same list twice", "[one, one]", "one = [1]\n"),
    giving("8 MB of bytes", "b'x' * 8_000_000"),
    block("an image as it came", "def run(self, image):\n    return {'value': image}\n", {"image": PICTURE}),
    block(
        "an image changed",
        """\
        def run(self, image):
            flipped = image.numpy_image[:, ::-1]
            return {'value': WorkflowImageData.copy_and_replace(image, numpy_image=flipped)}
        """,
        {"image": PICTURE},
    ),
    block(
        "an image cropped",
        """\
        def run(self, image):
            return {'value': WorkflowImageData.create_crop(image, 'crop', image.numpy_image[1:3, 1:3], 1, 1)}
        """,
        {"image": PICTURE},
    ),
    block(
        "an image drawn on with OpenCV",
        """\
        def run(self, image):
            drawn = cv2.rectangle(image.numpy_image.copy(), (0, 0), (2, 2), (255, 0, 0), 1)
            return {'value': WorkflowImageData.copy_and_replace(image, numpy_image=drawn)}
        """,
        {"image": PICTURE},
    ),
    block(
        "an image that is read-only or not",
        """\
        def run(self, image):
            return {'value': image.numpy_image.flags.writeable}
        """,
        {"image": PICTURE},
    ),
    block("detections as they came", "def run(self, found):\n    return {'value': found}\n", {"found": FOUND}),
    block(
        "detections filtered",
        """\
        def run(self, found):
            return {'value': found[found.confidence > 0.5]}
        """,
        {"found": FOUND},
    ),
    block(
        "detections changed in place",
        """\
        def run(self, found):
            found.xyxy += 1
            found['new'] = np.array([1, 2])
            return {'value': found}
        """,
        {"found": FOUND},
    ),
    block("detections without any", "def run(self):\n    return {'value': sv.Detections.empty()}\n"),
    block(
        "inputs are what was given",
        """\
        def run(self, value):
            return {'value': [type(value).__name__, value]}
        """,
        {"value": {"a": [1, (2, 3)], "b": {4}, 5: None}},
    ),
    Behaviour("a dimension up, a scalar step, and down again", TREE, {"image": [PICTURE, PICTURE]}),
    block(
        "a dimension up with an empty list",
        """\
        def run(self, image):
            return []
        """,
        {"image": PICTURE},
        manifest={"output_dimensionality_offset": 1},
    ),
    block(
        "a dimension up without a list",
        """\
        def run(self, image):
            return {'value': 1}
        """,
        {"image": PICTURE},
        manifest={"output_dimensionality_offset": 1},
    ),
    block(
        "a dimension up with None in the list",
        """\
        def run(self, image):
            return [{'value': 1}, None, {'value': 3}]
        """,
        {"image": PICTURE},
        manifest={"output_dimensionality_offset": 1},
    ),
    block(
        "a scalar input beside images",
        """\
        def run(self, image, number):
            return {'value': number + int(image.numpy_image.max())}
        """,
        {"image": PICTURES, "number": 5},
    ),
    block(
        "a batch whole",
        """\
        def run(self, image):
            seen = [type(image).__name__, len(image), image.indices]
            return [{'value': [*seen, int(each.numpy_image.max())]} for each in image]
        """,
        {"image": PICTURES},
        manifest={"accepts_batch_input": True},
    ),
    block(
        "a batch with a scalar",
        """\
        def run(self, image, number):
            return [{'value': [number, len(image)]} for _ in image]
        """,
        {"image": PICTURES, "number": 5},
        manifest={"accepts_batch_input": True},
    ),
    block(
        "a batch answered with too few",
        """\
        def run(self, image):
            return [{'value': 1}]
        """,
        {"image": PICTURES},
        manifest={"accepts_batch_input": True},
    ),
    block(
        "a batch answered with a dict",
        """\
        def run(self, image):
            return {'value': 1}
        """,
        {"image": PICTURES},
        manifest={"accepts_batch_input": True},
    ),
    block(
        "a batch answered by a generator",
        """\
        def run(self, image):
            return ({'value': 1} for _ in image)
        """,
        {"image": PICTURES},
        manifest={"accepts_batch_input": True},
    ),
    Behaviour("an empty batch from a step before", EMPTY, {"image": PICTURE}),
    block(
        "an empty batch",
        """\
        def run(self, image):
            return [{'value': 1} for _ in image]
        """,
        {"image": []},
        manifest={"accepts_batch_input": True},
    ),
    block("an element that is empty", "def run(self, image):\n    return {'value': None}\n", {"image": PICTURES}),
    Behaviour("an output used as a whole", single("def run(self):\n    return {'a': 1, 'b': [2]}\n", {}, ("a", "b"))),
    *differing(
        reasons.DEPTH,
        ("outcome",),
        giving("nesting of 300 levels", "deep", "deep = []\nfor _ in range(299):\n    deep = [deep]\n"),
    ),
    *differing(
        reasons.NOT_DATA,
        ("outcome",),
        giving("a path", "pathlib.PurePosixPath('/a')", "import pathlib\n"),
        giving("an OrderedDict as a value", "collections.OrderedDict(a=1)", "import collections\n"),
        giving("an enum of the block's", "Colour.RED", "import enum\nclass Colour(enum.Enum):\n    RED = 1\n"),
        giving("a named tuple", "Point(1, 2)", "import collections\nPoint = collections.namedtuple('Point', 'x y')\n"),
        giving("an int of a class of its own", "Mine(3)", "class Mine(int):\n    pass\n"),
        giving("an object of the block's class", "Mine()", "class Mine:\n    pass\n"),
        giving("a function", "run"),
        giving("a module", "math"),
        giving("an open file", "open(os.devnull)"),
        giving("a lock", "threading.Lock()", "import threading\n"),
        giving("a generator", "(n for n in (1, 2))"),
        giving("range", "range(3)"),
        giving("dict views", "{'a': 1}.keys()"),
        giving("an exception as a value", "ValueError('as data')"),
        giving("the block itself", "self"),
        giving("Shapely geometry", "shapely.Point(1, 2)"),
    ),
    *differing(
        reasons.TREE,
        ("error class", "context", "message", "traceback"),
        giving("a list that holds itself", "endless", "endless = []\nendless.append(endless)\n"),
    ),
    *differing(
        reasons.COPY,
        ("result",),
        Behaviour("an image painted in place, seen by a later step", PAINTED, {"image": PICTURE.copy()}),
        Behaviour("an input changed in place, seen by a later step", PASSED_ON, {"value": [1, 2]}),
    ),
    *differing(
        reasons.IDENTITY,
        ("result",),
        block(
            "the identity of a returned input",
            """\
        def run(self, value, other):
            return {'value': value is other}
        """,
            {"value": (shared := ["x"]), "other": shared},
        ),
    ),
)
