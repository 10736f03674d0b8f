"""The few errors that people see. Each message says what is wrong, where, with which value, and what to do."""


class LifecycleError(Exception):
    """Base of every error that is meant for people: its text stands alone, no traceback is needed to act on it."""


class SettingsError(LifecycleError):
    """A configuration file or an override holds something that is not a setting, or a value that is not allowed."""


class InputError(LifecycleError):
    """An input cannot be read at all: missing, truncated, still growing, or of an unknown kind."""


class InputNotReadyError(InputError):
    """An input that may well be readable in a minute: it still grows, is locked, or its connection was lost."""


class ContractError(LifecycleError):
    """A table breaks its contract: a required column is missing, or too many rows break a rule."""


class DispatchError(LifecycleError):
    """A batch cannot be made, written or taken back."""


class ModelStoreError(LifecycleError):
    """A stored model is damaged, or there is none to go back to."""
