"""Puts words that an OCR model read into lines, and reads fields from them by their masks."""

import numpy as np
import supervision as sv
from roboflow_workflows.prototypes.block import BlockResult

LOOKS_LIKE_DIGIT = str.maketrans("OoQDIl|ZSsBG", "000011125586")
LOOKS_LIKE_LETTER = str.maketrans("015862", "OISBGZ")


def lines_of(words: sv.Detections) -> list[list[int]]:
    """The words' indices in reading order: a word continues a line when its middle lies within the line's height."""
    lines: list[list[int]] = []
    for index in np.argsort(words.xyxy[:, 1]).tolist():
        middle = words.xyxy[index][[1, 3]].mean()
        for line in lines:
            if words.xyxy[line[0]][1] < middle < words.xyxy[line[0]][3]:
                line.append(index)
                break
        else:
            lines.append([index])
    return [sorted(line, key=lambda index: words.xyxy[index][0]) for line in lines]


def fit(text: str, mask: str) -> str | None:
    """`text` as `mask` wants it, or None: 9 stands for a digit, A for a letter, anything else for itself."""
    if len(text) != len(mask):
        return None
    fitted = ""
    for character, wanted in zip(text, mask, strict=True):
        if wanted == "9":
            fitted += character.translate(LOOKS_LIKE_DIGIT)
        elif wanted == "A":
            fitted += character.translate(LOOKS_LIKE_LETTER)
        else:
            fitted += character
        kinds = {"9": fitted[-1].isdigit(), "A": fitted[-1].isalpha()}
        if not kinds.get(wanted, fitted[-1] == wanted):
            return None
    return fitted


def spell(text: str) -> str:
    """A word of letters without the digits that were taken for letters."""
    letters = sum(character.isalpha() for character in text)
    return text.translate(LOOKS_LIKE_LETTER) if letters > len(text) / 2 else text


def run(self, words: sv.Detections, fields: dict) -> BlockResult:
    """`fields` maps a field's name to `after`, the word that its line begins with, and `mask`, what it looks like."""
    read = [str(text) for text in words.data["class_name"]]
    texts = [spell(text) for text in read]
    lines, places = lines_of(words), {}
    for line in lines:
        for name, field in fields.items():
            if texts[line[0]].startswith(field["after"]):
                for index in line[1:]:
                    value = fit(read[index], field["mask"])
                    if value and name not in places:
                        places[name], texts[index] = index, value

    found = words[list(places.values())]
    found.data["class_name"] = np.array([f"{name}: {texts[index]}" for name, index in places.items()])
    return {
        "text": "\n".join(" ".join(texts[index] for index in line) for line in lines),
        "fields": {name: texts[index] for name, index in places.items()},
        "unread": [name for name in fields if name not in places],
        "found": found,
    }
