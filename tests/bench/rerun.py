"""How long a finished store of 5,000 units takes to find nothing to do.

    python tests/bench/rerun.py [UNITS]

Builds tiny checkpoints and data below a temporary folder, fills a store by really running them once, then times
whole `xeval run` processes over the finished store. Prints the median of five and the share per unit.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

LANGUAGES = 33


def build(root: Path, checkpoints: int) -> None:
    import torch
    from support.published import TAGS, sentence
    from support.tiny_models import ALPHABET_TEXT
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

    from xeval.tasks import task

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(ALPHABET_TEXT, trainers.BpeTrainer(vocab_size=400, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>")
    labels = task("udpos").labels
    config = BertConfig(
        vocab_size=400,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=dict(enumerate(labels)),
    )
    for number in range(checkpoints):
        torch.manual_seed(number)
        path = root / "models" / f"seed-{number:03}"
        BertForTokenClassification(config).save_pretrained(path)
        fast.save_pretrained(path)
    for language in task("udpos").languages:
        words = sentence("de", 1).split()
        rows = [
            f"{n}\t{w}\t_\t{t}\t_\t_\t0\t_\t_\t_"
            for n, (w, t) in enumerate(zip(words, TAGS, strict=False), 1)
        ]
        path = root / "data/udpos" / f"UD_{language}-Tiny" / f"{language}_tiny-ud-test.conllu"
        path.parent.mkdir(parents=True)
        path.write_text("# sent_id = 1\n" + "\n".join(rows) + "\n\n")


def main() -> None:
    units = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    checkpoints = -(-units // LANGUAGES)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        build(root, checkpoints)
        command = [sys.executable, "-m", "xeval", "run", str(root / "models"), "--tasks", "udpos"]
        command += ["--data", str(root / "data"), "--store", str(root / "store"), "--json", "--device", "cpu"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        filled = time.perf_counter() - started
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds.append(time.perf_counter() - started)
        median = statistics.median(seconds)
        print(done.stdout)
        print(f"{checkpoints * LANGUAGES} units of {checkpoints} checkpoints: filled in {filled:.1f} s")
        print(
            f"finished store: median {median:.2f} s of 5 ({min(seconds):.2f} to {max(seconds):.2f}),", end=" "
        )
        print(f"{1e6 * median / (checkpoints * LANGUAGES):.0f} us a unit")


if __name__ == "__main__":
    main()
