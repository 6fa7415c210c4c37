"""Forward throughput of the evaluation loop against what the machine can do, and against fixed batches.

    python tests/bench/forward.py CHECKPOINT TEXTS [TEXTS...]

Prints, from one run: matrix-product speed, the loop's floating-point rate as a share of it, and the time of the
same texts in batches of 32 in file order padded to the longest (what a plain script does), as a ratio.
Operations are counted for the dense layers only (2 x weights x tokens), so the share is a lower bound.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from xeval.checkpoints import Checkpoint
from xeval.encoder.batches import Sequences
from xeval.encoder.loop import Batch, Loop, best_device
from xeval.encoder.pooling import pool
from xeval.encoder.tokens import TextEncoder


def matrix_rate(device: torch.device) -> float:
    """FLOP/s of square matrix products in float32, the best of five."""
    a = torch.randn(2048, 2048, device=device)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        (a @ a).sum().item()
        best = max(best, 2 * 2048**3 / (time.perf_counter() - started))
    return best


def main() -> None:
    path, files = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    checkpoint, device = Checkpoint(path, path.name), best_device()
    encoder, model = TextEncoder(checkpoint.load_tokenizer()), checkpoint.load("AutoModel").to(device)
    texts = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    started = time.perf_counter()
    pieces = encoder.pieces(texts)
    ids = [encoder.single(pieces[text].ids, 512)[0] for text in texts]
    tokenised = time.perf_counter() - started
    sequences = Sequences(ids, None, np.asarray([[0, len(i)] for i in ids]))

    def reduce(batch: Batch) -> dict[str, torch.Tensor]:
        assert batch.marks is not None
        return {"x": pool(model(**batch.inputs()).last_hidden_state, batch.marks)}

    loop = Loop(device, encoder.pad_id)
    started = time.perf_counter()
    embeddings = loop.run(sequences, reduce)["x"]
    ours = time.perf_counter() - started
    started = time.perf_counter()
    rows = []
    with torch.inference_mode():
        for first in range(0, len(texts), 32):
            batch = encoder.tokenizer(texts[first : first + 32], return_tensors="pt", padding=True).to(device)
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).float()
            rows.append(((hidden * mask).sum(1) / mask.sum(1)).cpu())
    plain = time.perf_counter() - started
    difference = np.abs(torch.cat(rows).numpy() - embeddings).max()
    weights = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "embeddings" not in n)
    rate, peak = 2 * weights * loop.tokens / ours, matrix_rate(device)
    print(f"{len(texts)} texts, {sequences.lengths.sum()} tokens, {loop.tokens} of them in distinct texts")
    print(f"tokenising {tokenised:.2f} s; loop {ours:.2f} s = {loop.tokens / ours:,.0f} tokens/s")
    print(
        f"matrix products {peak / 1e9:.0f} GFLOP/s; loop {rate / 1e9:.0f} GFLOP/s = {rate / peak:.0%} of them"
    )
    print(f"batches of 32 in file order: {plain:.2f} s = {plain / ours:.2f} x the loop;", end=" ")
    print(f"largest difference of an embedding {difference:.1e}")


if __name__ == "__main__":
    main()
