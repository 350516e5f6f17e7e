"""Write ``customers/readings.txt``: how Chinese characters are read, from pypinyin's dictionaries (MIT).

    python tools/pinyin_readings.py

Made ahead, because the library's own dictionaries cost every process 57 MB and 130 ms at its start, nearly all of it
for phrases that names are not made of (ADR 0016). The phrases serve here once, to tell a living reading from an archaic
one: a character's further readings are kept when at least a tenth of the phrases with it have them.
"""

import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from pypinyin.phrases_dict import phrases_dict
from pypinyin.pinyin_dict import pinyin_dict

TARGET = Path(__file__).resolve().parents[1] / "src/crm_api/customers/readings.txt"
LIVING = 0.1
TONES = {"\u0300", "\u0301", "\u0304", "\u030c"}


def plain(marked: str) -> str:
    """Return a syllable without its tone, ``lǚ`` as ``lv``, as it is typed; empty when it is no ordinary syllable."""
    letters = (unicodedata.normalize("NFD", letter) for letter in unicodedata.normalize("NFC", marked))
    bare = (unicodedata.normalize("NFC", "".join(p for p in parts if p not in TONES)) for parts in letters)
    syllable = "".join("v" if letter == "ü" else letter for letter in bare)
    return syllable if syllable.isascii() and syllable.isalpha() else ""


def main() -> None:
    """Write the file."""
    spoken: Counter[tuple[str, str]] = Counter()
    for phrase, syllables in phrases_dict.items():
        if len(phrase) == len(syllables):
            spoken.update((character, plain(each[0])) for character, each in zip(phrase, syllables, strict=True))
    usual: dict[str, list[str]] = defaultdict(list)
    further: dict[str, list[str]] = defaultdict(list)
    for code, marked in sorted(pinyin_dict.items()):
        character = chr(code)
        known = list(dict.fromkeys(filter(None, map(plain, marked.split(",")))))
        if not known:
            continue
        total = sum(spoken[character, each] for each in known)
        usual[known[0]].append(character)
        for other in known[1:]:
            if total and spoken[character, other] >= LIVING * total:
                further[other].append(character)
    lines = [f"{syllable} {''.join(characters)}" for syllable, characters in sorted(usual.items())]
    lines += [f"~{syllable} {''.join(characters)}" for syllable, characters in sorted(further.items())]
    header = "# Made by tools/pinyin_readings.py from pypinyin (MIT, © mozillazg); '~': a further reading."
    TARGET.write_text("\n".join([header, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
