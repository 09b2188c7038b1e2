"""Errors that a user can act on.

Every message is safe to show: it names the file or setting at fault and gives the next step.
One class per kind of trouble; anything else that escapes this package is a bug.
"""

from __future__ import annotations


class GMIError(Exception):
    """Base of every error whose message is meant for the user."""


class ImageError(GMIError):
    """An image file cannot be read, or is not an image."""


class EncoderError(GMIError):
    """An encoder is unknown, misuses its contract, or its weights are damaged."""


class InterrogatorError(GMIError):
    """An interrogator is unknown, or cannot describe an image."""


class InterrogationStoppedError(GMIError):
    """The user stopped a description. Nothing went wrong."""


class MissingExtraError(GMIError):
    """A feature needs an optional package that is not installed."""


class PromptSetError(GMIError):
    """A prompt set is malformed, or a prompt is not in it."""


class SpecificationError(GMIError):
    """A specification, or the file that holds one, is malformed."""


class SchemaVersionError(SpecificationError):
    """A file was written by a newer, incompatible version of this program."""


class LibraryError(GMIError):
    """The library folder cannot be read or written, or does not hold what was asked for."""


class PackError(GMIError):
    """A pack of specifications is malformed, hostile or damaged, or cannot be written."""


class RankingError(GMIError):
    """Nothing can be ranked, or the method asked for cannot run on this library."""


class RequestError(GMIError):
    """A request to a route is malformed; the message says how."""


class SearchError(GMIError):
    """There is nothing to search, or the query asks for nothing."""


class HostError(GMIError):
    """The host lacks a checkpoint, refused to generate, or generated with another checkpoint."""


class SampleUnavailableError(HostError):
    """The host has no image for this prompt and cannot make one; others may still work."""


class StoppedError(Exception):
    """A job was interrupted. Nothing went wrong, and nothing has to be reported."""
