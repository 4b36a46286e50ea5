"""From the text of a model.py to an ``nn.Module``: run the file, find the model in it, call its constructor."""

from __future__ import annotations

import inspect
import linecache
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tb_widgets.errors import ModelError
from tb_widgets.models import written
from tb_widgets.models.source import CODE, ModelSource, code_tree

if TYPE_CHECKING:
    from torch import nn


class Config(dict[str, Any]):
    """The sizes of a config.json, as ``config["n_layer"]`` and as ``config.n_layer``: both are in use."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"config.json has no {name!r}") from None


def construct(source: ModelSource, entry: str | None = None) -> nn.Module:
    """Execute a model's code and build the model.

    Raises
    ------
    ModelError
        If the code fails, holds no model or several, or its constructor needs arguments that config.json lacks.
    """
    from torch import nn

    module = _execute(source)
    builder, name = _builder(module, source)
    arguments = _arguments(builder, name, source.config)
    try:
        model = builder(**arguments)
    except Exception as error:
        raise ModelError(
            f"{name} could not be built: {explain(error, source)}.",
            hint="Mend the code or the sizes in config.json.",
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} gave {type(model).__name__}, not an nn.Module.", hint="Return the model itself.")
    return model


def explain(error: BaseException, source: ModelSource) -> str:
    """Say what went wrong in the user's code: the error, and the last line of model.py that it passed through."""
    filename = _filename(source)
    text = " ".join(str(error).split()) or "no message"
    said = f"{type(error).__name__}: {text.rstrip('.')}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == filename:
            return f"{said} (model.py, line {frame.lineno}: {frame.line})"
    return said


def _filename(source: ModelSource) -> str:
    # A live module has no files, and then no frame of its traceback bears this name.
    return f"<model {source.origin.get('sha256', {}).get(CODE, 'live')[:12]}>/model.py"


def _execute(source: ModelSource) -> ModuleType:
    code, filename = source.files[CODE], _filename(source)
    tree = code_tree(source)
    # A private name, so that a user's model.py never shadows another module; dataclasses look themselves up by it.
    module = ModuleType(f"tb_widgets_user_model_{source.origin['sha256'][CODE][:16]}")
    module.__file__ = filename
    # Lets tracebacks, inspect.getsource and torch.compile show lines of a file that is on no disk.
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    sys.modules[module.__name__] = module
    try:
        exec(compile(tree, filename, "exec"), module.__dict__)  # noqa: S102  (running the user's model is the point)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"model.py imports {error.name!r}, which is not installed.",
            hint="A run keeps model.py and config.json only: install the package, or move its code into model.py.",
        ) from error
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"model.py fails while it is loaded: {explain(error, source)}.", hint="Mend that line and try again."
        ) from error
    return module


def _builder(module: ModuleType, source: ModelSource) -> tuple[Callable[..., Any], str]:
    from torch import nn

    factory = getattr(module, written.FACTORY, None)
    if callable(factory):
        return factory, f"{written.FACTORY}()"
    classes = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    }
    if not classes:
        raise ModelError(
            "model.py defines no model: there is no class derived from nn.Module and no build_model().",
            hint="Name the class Model or CustomTransformer, or define build_model() that returns it.",
        )
    chosen = written.choose_class(list(classes), code_tree(source))
    if len(chosen) > 1:
        raise ModelError(
            f"model.py defines several models: {', '.join(chosen)}.",
            hint="Rename the one you mean to Model, or define build_model() that returns it.",
        )
    return classes[chosen[0]], chosen[0]


def _arguments(builder: Callable[..., Any], name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Take each argument of the constructor from config.json, by its name or another spelling of it."""
    found = written.sizes_in(config)
    arguments: dict[str, Any] = {}
    missing = []
    for parameter in inspect.signature(builder).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = written.size(parameter.name, found)
        if value is not None:
            arguments[parameter.name] = value
        elif parameter.default is not parameter.empty:
            continue
        elif parameter.name in ("config", "cfg", "args", "hparams"):
            arguments[parameter.name] = Config(found)
        else:
            missing.append(parameter.name)
    if missing:
        raise ModelError(
            f"{name} needs arguments that config.json does not give: {', '.join(missing)}.",
            hint="Add them to config.json or to model.config, or give them defaults in model.py.",
        )
    return arguments
