"""A tokenizer trained on a few lines in six scripts."""

from typing import Any

ALPHABET_TEXT = [
    "the quick brown fox jumps over the lazy dog, 0123456789 times. Anna works in Berlin for Acme!",
    "Der schnelle Fuchs springt über den faulen Hund; wo arbeitet Anna? Sie wohnt in München.",
    "Быстрая лиса прыгает через ленивую собаку. Анна работает в городе Берлин.",
    "敏捷的棕色狐狸跳过了懒狗。安娜在柏林工作。谁住在巴黎?",
    "तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है। अन्ना बर्लिन में काम करती है।",
    "الثعلب البني السريع يقفز فوق الكلب الكسول. تعمل آنا في برلين.",
]


def byte_pair_tokenizer() -> Any:
    """A byte-pair tokenizer with XLM-R's special tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(ALPHABET_TEXT * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=512,
    )
