"""Small data sets in the layouts in which the real ones are published."""

import json
from pathlib import Path

WORDS = {
    "en": "Anna works in Berlin and Boris lives near the old river".split(),
    "de": "Anna arbeitet in Berlin und Boris wohnt nahe dem alten Fluss".split(),
    "zh": "安娜 在 柏林 工作 鲍里斯 住 在 古老 的 河 边".split(),
}
TAGS = "PROPN VERB ADP PROPN CCONJ PROPN VERB ADP DET ADJ NOUN".split()
ISO3 = {"de": "deu", "zh": "cmn"}


def sentence(language: str, number: int) -> str:
    """A sentence that differs from number to number."""
    words = WORDS[language]
    turned = words[number % len(words) :] + words[: number % len(words)]
    return " ".join([*turned, str(number)])


def write_all(root: Path, items: int = 12) -> Path:
    """XNLI, PAWS-X, UDPOS, XQuAD, XCOPA (as zh) and Tatoeba in en, de and zh, ``items`` each."""
    _write(root / "XNLI-1.0/xnli.test.tsv", _xnli(items))
    for language in WORDS:
        _write(root / f"x-final/{language}/test_2k.tsv", _pawsx(language, items))
        _write(root / f"udpos/UD_{language}-Tiny/{language}_tiny-ud-test.conllu", _conllu(language, items))
        _write(root / f"xquad/xquad.{language}.json", _squad(language, items))
    _write(root / "xcopa/zh/test.zh.jsonl", _xcopa("zh", items))
    for language, code in ISO3.items():
        for side, of in ((code, language), ("eng", "en")):
            text = "".join(f"{sentence(of, number)}\n" for number in range(items))
            _write(root / f"tatoeba/tatoeba.{code}-eng.{side}", text)
    return root


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _xnli(items: int) -> str:
    labels = ("entailment", "neutral", "contradiction")
    rows = ["language\tgold_label\tsentence1\tsentence2\tpromptID\tpairID"]
    for language in WORDS:
        rows += [
            f"{language}\t{labels[n % 3]}\t{sentence(language, n // 3)}\t{sentence(language, n)}\t{n // 3}\t{n}"
            for n in range(items)
        ]
    return "\n".join(rows) + "\n"


def _pawsx(language: str, items: int) -> str:
    rows = [
        f"{n}\t{sentence(language, n)}\t{sentence(language, n + 1)}\t{n % 2}" for n in range(1, items + 1)
    ]
    return "\n".join(["id\tsentence1\tsentence2\tlabel", *rows]) + "\n"


def _conllu(language: str, items: int) -> str:
    blocks = []
    for number in range(items):
        lines = [f"# sent_id = s{number}", f"# text = {sentence(language, number)}"]
        words = sentence(language, number).split()
        tags = [*TAGS[number % len(TAGS) :], *TAGS[: number % len(TAGS)], "NUM"]
        lines += [
            f"{n}\t{w}\t_\t{t}\t_\t_\t0\t_\t_\t_" for n, (w, t) in enumerate(zip(words, tags, strict=True), 1)
        ]
        blocks.append("\n".join(lines) + "\n\n")
    return "".join(blocks)


def _squad(language: str, items: int) -> str:
    paragraphs = []
    for number in range(0, items, 2):
        context = ". ".join(sentence(language, number + shift) for shift in range(4))
        answer = context.split()[2]
        paragraphs.append(
            {
                "context": context,
                "qas": [
                    {
                        "id": f"q{number + i}",
                        "question": sentence(language, number + i) + "?",
                        "answers": [{"text": answer, "answer_start": context.index(answer)}],
                    }
                    for i in range(2)
                ],
            }
        )
    return json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]})


def _xcopa(language: str, items: int) -> str:
    rows = [
        {
            "premise": sentence(language, n),
            "choice1": sentence(language, n + 1),
            "choice2": sentence(language, n + 2),
            "question": ("cause", "effect")[n % 2],
            "label": n % 2,
            "idx": n,
            "changed": False,
        }
        for n in range(items)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)
