"""Topics of translated messages: labelled by where they stand, split by the English message."""

from xeval.sources import DjangoTopicSource
from xeval.sources.django import TOPIC_LABELS

SOURCE = DjangoTopicSource()


def ids(language: str, split: str) -> dict[str, str]:
    return {example.item_id: example.label for example in SOURCE.load(None, language, split)}  # type: ignore[union-attr]


def test_splits_are_disjoint_in_every_language_and_labels_are_parallel() -> None:
    english = {split: ids("en", split) for split in ("train", "dev", "test")}
    assert len(english["train"]) > 200
    assert len(english["test"]) > 150
    for language in ("de", "ru", "zh", "ar"):
        foreign = ids(language, "test")
        assert len(foreign) > 100
        assert not set(foreign) & (set(english["train"]) | set(english["dev"]))
        shared = set(foreign) & set(english["test"])
        assert len(shared) > 0.9 * len(foreign)
        assert all(foreign[item] == english["test"][item] for item in shared)


def test_every_label_is_in_every_split_and_none_is_a_giveaway() -> None:
    for split in ("train", "test"):
        labels = list(ids("en", split).values())
        assert set(labels) == set(TOPIC_LABELS)
        assert max(labels.count(label) for label in TOPIC_LABELS) < 0.6 * len(labels)


def test_texts_are_translations_and_digests_follow_them() -> None:
    texts = {e.item_id: e.first for e in SOURCE.load(None, "en", "test")}  # type: ignore[union-attr]
    german = {e.item_id: e.first for e in SOURCE.load(None, "de", "test")}  # type: ignore[union-attr]
    assert not [item for item in german if texts.get(item) == german[item]]
    assert SOURCE.digest(None, "de", "test") == SOURCE.digest(None, "de", "test")
    assert SOURCE.digest(None, "de", "test") != SOURCE.digest(None, "de", "train")
    assert SOURCE.digest(None, "de", "test") != SOURCE.digest(None, "fr", "test")
