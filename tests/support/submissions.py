"""Small submissions in XTREME's layout: predictions and labels of every task and language, by arithmetic."""

import json
from pathlib import Path

from xeval.interop.submission import SUBMISSION_TASKS, SubmissionTask

NLI = ("entailment", "neutral", "contradiction")
POS = ("NOUN", "VERB", "SCONJ", "ADP", "NOUN", "SYM", "PUNCT")
NER = ("O", "B-PER", "I-PER", "O", "B-LOC", "B-ORG", "I-ORG")
GOLD = ("the old river", "Anna", "新しい 川", "في المدينة", "a house, by the sea", "ในเมือง", "der alte Fluss")
ANSWERS = ("old river", "anna", "川", "المدينة", "the house by sea", "เมือง", "alte der Fluss!")


def write_submission(root: Path, *, added: bool = False, items: int = 12) -> tuple[Path, Path]:
    """Folders of predictions and labels of XTREME's tasks, with ``added`` also of what XTREME-R adds to them."""
    for task in SUBMISSION_TASKS.values():
        for code in task.known_languages if added else task.languages:
            texts = _texts(task, task.known_languages.index(code), items)
            for folder, text in zip(("predictions", "labels"), texts, strict=True):
                write(root / folder / task.name / task.file_name(code), text)
    return root / "predictions", root / "labels"


def write(path: Path, text: str) -> Path:
    """Write a file byte for byte as UTF-8, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def questions(gold: dict[str, list[str]]) -> str:
    """SQuAD's JSON for gold answers by question id."""
    qas = [
        {"id": name, "question": "?", "answers": [{"text": text, "answer_start": 0} for text in texts]}
        for name, texts in gold.items()
    ]
    return json.dumps({"version": "1.1", "data": [{"paragraphs": [{"context": "", "qas": qas}]}]})


def _texts(task: SubmissionTask, number: int, items: int) -> tuple[str, str]:
    def wrong(item: int) -> bool:
        return (item * 7 + number * 3) % 5 < 2

    if task.form == "answers":
        gold = {f"q{n}": [GOLD[(n + number) % 7], GOLD[(n + number + wrong(n)) % 7]] for n in range(items)}
        answers = {f"q{n}": (ANSWERS if wrong(n) else GOLD)[(n + number) % 7] for n in range(items)}
        return json.dumps(answers), questions(gold)
    if task.form == "tags":
        tags = POS if task.name == "udpos" else NER
        sentences = [
            (
                [tags[(n * 3 + word + wrong(n + word)) % 7] for word in range(n % 4 + 1)],
                [tags[(n * 3 + word) % 7] for word in range(n % 4 + 1)],
            )
            for n in range(items)
        ]
        predicted, gold_tags = (
            "\n".join("".join(f"{tag}\n" for tag in s) for s in side) for side in zip(*sentences, strict=True)
        )
        return predicted, gold_tags
    if task.form == "pairs":
        pairs = [f"de-{n}\ten-{n}" for n in range(items)]
        return "\n".join(f"de-{n}\ten-{n + wrong(n)}" for n in range(items - 2)), "\n".join(pairs)
    names: tuple[str, ...] = {"xnli": NLI, "tatoeba": tuple(map(str, range(items)))}.get(
        task.name, ("0", "1")
    )
    rows = [(names[(n + wrong(n)) % len(names)], names[n % len(names)]) for n in range(items)]
    line = '{{"label": {}}}\n' if task.form == "choices" else "{}\n"
    return "".join(line.format(p) for p, _ in rows), "".join(line.format(g) for _, g in rows)
