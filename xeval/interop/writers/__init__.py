"""What a store holds, in the formats of other programs: tables, LaTeX, records of other projects, SQL."""

from xeval.interop.writers.every_eval_ever import export_records
from xeval.interop.writers.latex import export_latex
from xeval.interop.writers.model_card import model_index, write_model_index
from xeval.interop.writers.sql import Answer, query
from xeval.interop.writers.tables import export_table

__all__ = [
    "Answer",
    "export_latex",
    "export_records",
    "export_table",
    "model_index",
    "query",
    "write_model_index",
]
