"""What a store holds, in the formats of other programs: tables, LaTeX, records of other projects, SQL."""

from xeval.exports.every_eval_ever import export_records
from xeval.exports.latex import export_latex
from xeval.exports.model_card import model_index, write_model_index
from xeval.exports.sql import Answer, query
from xeval.exports.tables import export_table

__all__ = [
    "Answer",
    "export_latex",
    "export_records",
    "export_table",
    "model_index",
    "query",
    "write_model_index",
]
