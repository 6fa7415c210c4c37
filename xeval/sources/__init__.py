"""Where examples come from: files in the layouts in which data sets are published, or made by a generator."""

from xeval.sources.base import Source
from xeval.sources.catalogue import DjangoSource, DjangoTopicSource
from xeval.sources.files import FileSource
from xeval.sources.generated import GeneratedSource
from xeval.sources.joined import JoinedSource

__all__ = ["DjangoSource", "DjangoTopicSource", "FileSource", "GeneratedSource", "JoinedSource", "Source"]
