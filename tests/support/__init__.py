"""What several tests share: tiny models, studies, sets and submissions."""
