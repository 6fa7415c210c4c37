"""Token sequences through an encoder: tokens, batches by token budget, the forward loop, pooling."""
