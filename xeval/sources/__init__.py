"""Where examples come from: files in the layouts in which data sets are published, or made by a generator."""

from xeval.sources.base import HUB, MissingDataError, NotDownloadedError, Source, data_root
from xeval.sources.django import DjangoSource, DjangoTopicSource
from xeval.sources.files import FileSource
from xeval.sources.generated import GeneratedBitext, GeneratedSource
from xeval.sources.hub import HubSource
from xeval.sources.joined import FirstOf, JoinedSource

__all__ = [
    "HUB",
    "DjangoSource",
    "DjangoTopicSource",
    "FileSource",
    "FirstOf",
    "GeneratedBitext",
    "GeneratedSource",
    "HubSource",
    "JoinedSource",
    "MissingDataError",
    "NotDownloadedError",
    "Source",
    "data_root",
]
