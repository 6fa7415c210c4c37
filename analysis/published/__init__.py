"""Published scores, analysed as far as they allow."""
