"""Small data sets in the layouts in which the real ones are published."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


NLI_CLASSES = ("entailment", "neutral", "contradiction")
NER_CLASSES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
UPOS = (
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
)  # in the order of the class numbers in google/xtreme
NAMES = {"en": "English", "de": "German", "zh": "Chinese"}


def write_parquet(
    path: Path, columns: dict[str, list[Any]], classes: dict[str, Sequence[str]] | None = None
) -> Path:
    """A Parquet file as the ``datasets`` library writes it, class numbers described in its features."""
    import pyarrow
    import pyarrow.parquet
    from datasets import ClassLabel, Features, List

    table = pyarrow.table(columns)
    features = Features.from_arrow_schema(table.schema)
    for name, names in (classes or {}).items():
        label = ClassLabel(names=list(names))
        features[name] = List(label) if isinstance(columns[name][0], list) else label
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table.cast(features.arrow_schema), path)
    return path


def tagged(language: str, number: int, classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words and tags of a sentence."""
    words = sentence(language, number).split()
    return words, [classes[(number + place) % len(classes)] for place in range(len(words))]


def write_hub(root: Path, items: int = 12, part: str = "00000-of-00001") -> Path:
    """The test sets of ``write_all``, and PAN-X, as Parquet in the layouts of their repositories on the hub."""
    numbers = range(items)
    xtreme = root / "google/xtreme"
    in_all: dict[str, list[str]] = {"language": [], "sentence1": [], "sentence2": [], "gold_label": []}
    for language in WORDS:
        premises = [sentence(language, n // 3) for n in numbers]
        texts = [sentence(language, n) for n in numbers]
        columns: dict[str, list[Any]] = {
            "premise": premises,
            "hypothesis": texts,
            "label": [n % 3 for n in numbers],
        }
        write_parquet(root / f"facebook/xnli/{language}/test-{part}.parquet", columns, {"label": NLI_CLASSES})
        in_all["language"] += [language] * items
        in_all["sentence1"] += premises
        in_all["sentence2"] += texts
        in_all["gold_label"] += [NLI_CLASSES[n % 3] for n in numbers]
        columns = {
            "sentence1": [sentence(language, n) for n in range(1, items + 1)],
            "sentence2": [sentence(language, n + 1) for n in range(1, items + 1)],
            "label": [str(n % 2) for n in range(1, items + 1)],
        }
        write_parquet(xtreme / f"PAWS-X.{language}/test-{part}.parquet", columns)
        columns = {"id": list(range(1, items + 1)), **columns, "label": [n % 2 for n in range(1, items + 1)]}
        home = root / f"google-research-datasets/paws-x/{language}/test-{part}.parquet"
        write_parquet(home, columns, {"label": ("0", "1")})
        for folder, column, classes in (
            (f"PAN-X.{language}", "ner_tags", NER_CLASSES),
            (f"udpos.{NAMES[language]}", "pos_tags", UPOS),
        ):
            rows = [tagged(language, n, classes) for n in numbers]
            columns = {"tokens": [words for words, _ in rows]}
            columns[column] = [[classes.index(tag) for tag in tags] for _, tags in rows]
            write_parquet(xtreme / folder / f"test-{part}.parquet", columns, {column: classes})
        columns = {"id": [], "context": [], "question": [], "answers": []}
        for paragraph in json.loads(_squad(language, items))["data"][0]["paragraphs"]:
            for qa in paragraph["qas"]:
                columns["id"].append(qa["id"])
                columns["context"].append(paragraph["context"])
                columns["question"].append(qa["question"])
                spans = {key: [answer[key] for answer in qa["answers"]] for key in ("text", "answer_start")}
                columns["answers"].append(spans)
        write_parquet(root / f"google/xquad/xquad.{language}/validation-{part}.parquet", columns)
        write_parquet(xtreme / f"XQuAD.{language}/validation-{part}.parquet", columns)
    write_parquet(xtreme / f"XNLI/test-{part}.parquet", in_all)
    rows_of_xcopa = [json.loads(line) for line in _xcopa("zh", items).splitlines()]
    columns = {name: [row[name] for row in rows_of_xcopa] for name in rows_of_xcopa[0]}
    write_parquet(root / f"cambridgeltl/xcopa/zh/test-{part}.parquet", columns)
    for language, code in ISO3.items():
        columns = {
            "source_sentence": [f"{sentence(language, n)}\n" for n in numbers],
            "target_sentence": [f"{sentence('en', n)}\n" for n in numbers],
        }
        write_parquet(xtreme / f"tatoeba.{code}/validation-{part}.parquet", columns)
    return root


def write_xtreme_folder(root: Path, items: int = 12, *, blanked: bool = True) -> Path:
    """What XTREME's download script makes of the same sets; ``blanked=False`` keeps the test labels."""
    for language in WORDS:
        pairs = [
            (sentence(language, n // 3), sentence(language, n), NLI_CLASSES[n % 3]) for n in range(items)
        ]
        _write(root / f"xnli/test-{language}.tsv", _columns(pairs, blanked))
        pairs = [(sentence(language, n), sentence(language, n + 1), str(n % 2)) for n in range(1, items + 1)]
        _write(root / f"pawsx/test-{language}.tsv", _columns(pairs, blanked))
        for task, classes in (("panx", NER_CLASSES), ("udpos", UPOS)):
            blocks = []
            for number in range(items):
                words, tags = tagged(language, number, classes)
                blocks.append(_columns(list(zip(words, tags, strict=True)), blanked))
            _write(root / f"{task}/test-{language}.tsv", "\n".join(blocks))
        squad = json.loads(_squad(language, items))
        if blanked:
            articles = [
                {
                    "context": paragraph["context"],
                    "qas": [{**qa, "answers": [{"answer_start": 0, "text": ""}]}],
                }
                for paragraph in squad["data"][0]["paragraphs"]
                for qa in paragraph["qas"]
            ]
            squad["data"] = [{"paragraphs": [article]} for article in articles]
        _write(root / f"xquad/xquad.{language}.json", json.dumps(squad))
    rows = [json.loads(line) for line in _xcopa("zh", items).splitlines()]
    relabelled = [{**row, "label": 0} if blanked else row for row in rows]
    _write(root / "xcopa/test-zh.jsonl", "".join(f"{json.dumps(row)}\n" for row in relabelled))
    for language in ISO3:
        _write(
            root / f"tatoeba/{language}-en.{language}",
            "".join(f"{sentence(language, n)}\n" for n in range(items)),
        )
        _write(
            root / f"tatoeba/{language}-en.en",
            "".join(sorted(f"{sentence('en', n)}\n" for n in range(items))),
        )
    return root


def _columns(rows: Sequence[tuple[str, ...]], blanked: bool) -> str:
    return "".join("\t".join(row[:-1] if blanked else row) + "\n" for row in rows)
