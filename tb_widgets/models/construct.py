"""From the text of a model.py to an ``nn.Module``: run the file, find the model in it, call its constructor."""

from __future__ import annotations

import dataclasses
import inspect
import linecache
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tb_widgets.errors import ModelError, UndecidedError
from tb_widgets.models import source_text, syntax
from tb_widgets.models.quoted_error import quoted_error
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


def construct(
    source: ModelSource, entry: str | None = None, on_step: Callable[[str], None] = lambda step: None
) -> nn.Module:
    """Execute a model's code and build the model.

    Parameters
    ----------
    entry
        Class or function of the file that builds the model; ``None`` finds it.
    on_step
        Called with what is done next, in words.

    Raises
    ------
    ModelError
        If the code fails, holds no model or several, or its constructor needs arguments that config.json lacks.
    """
    from torch import nn

    on_step(f"Importing {CODE}")
    module = _execute(source)
    on_step("Building the model")
    builder, name = _chosen(module, entry) if entry else _found(module, source)
    try:
        model = builder(**_Filler(module, source.config).arguments(builder, name))
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{name} could not be built: {quoted_error(error)}.",
            hint="Fix the code or the sizes in config.json.",
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} returned {type(model).__name__}, not an nn.Module.", hint="Return the model itself.")
    return model


def _filename(source: ModelSource) -> str:
    return f"<model {source.origin['sha256'][CODE][:12]}>/model.py"


def _execute(source: ModelSource) -> ModuleType:
    code, filename = source.files[CODE], _filename(source)
    tree = code_tree(source)
    # A private name, so that a user's model.py never shadows another module; dataclasses look themselves up by it.
    module = ModuleType(f"tb_widgets_user_model_{source.origin['sha256'][CODE][:16]}")
    module.__file__ = filename
    # Lets tracebacks, inspect.getsource and torch.compile show lines of a file that is on no disk.
    linecache.cache[filename] = (len(code), None, source_text.lines(code, keepends=True), filename)
    sys.modules[module.__name__] = module
    try:
        exec(compile(tree, filename, "exec"), module.__dict__)  # noqa: S102  (running the user's model is the point)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"model.py imports {error.name!r}, which is not installed.",
            hint="Install the package, or move its code into model.py: a run keeps only model.py and config.json.",
        ) from error
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"model.py fails to load: {quoted_error(error)}.", hint="Fix that line and try again."
        ) from error
    return module


def _chosen(module: ModuleType, entry: str) -> tuple[Callable[..., Any], str]:
    """Return the class or function that the user named."""
    choices = [*_models(module), *_functions(module)]
    if entry not in choices:
        raise ModelError(
            f"model.entry: model.py defines no model class or function {entry!r}.",
            hint=f"It defines {', '.join(choices)}." if choices else "It defines none.",
        )
    builder: Callable[..., Any] = getattr(module, entry)
    return builder, entry if isinstance(builder, type) else f"{entry}()"


def _found(module: ModuleType, source: ModelSource) -> tuple[Callable[..., Any], str]:
    """Find what builds the model: ``build_model``, the class that config.json names, or the one that stands out."""
    factory = getattr(module, syntax.FACTORY, None)
    if callable(factory):
        return factory, f"{syntax.FACTORY}()"
    classes = _models(module)
    if not classes:
        raise ModelError(
            "model.py defines no model: it has no subclass of nn.Module and no build_model().",
            hint="Name the class Model or CustomTransformer, or define a build_model() that returns it.",
        )
    named = source.config.get("architectures")
    for name in named if isinstance(named, list) else []:
        if name in classes:
            return classes[name], name
    chosen = syntax.choose_class(list(classes), code_tree(source))
    if len(chosen) > 1:
        # Files whose parts are put together by a function, such as make_model(src_vocab, tgt_vocab).
        functions = {name: function for name, function in _functions(module).items() if _MAKES_MODELS.search(name)}
        if len(functions) == 1:
            name, function = functions.popitem()
            return function, f"{name}()"
    if len(chosen) > 1:
        raise UndecidedError(
            f"model.py defines several models: {', '.join(chosen)}.",
            field="model.entry",
            answers=chosen,
            hint="Choose one in model.entry, rename it to Model, or define a build_model() that returns it.",
        )
    return classes[chosen[0]], chosen[0]


_MAKES_MODELS = re.compile(
    r"^(make|build|create|get|init|new)_?\w*(model|transformer|net|gpt|bert|lm|vit)", re.IGNORECASE
)


def _models(module: ModuleType) -> dict[str, type]:
    from torch import nn

    return {name: value for name, value in _classes(module).items() if issubclass(value, nn.Module)}


def _classes(module: ModuleType) -> dict[str, type]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    }


_CONFIG_NAMES = ("config", "cfg", "args", "hparams", "params", "conf", "configs", "model_args", "opt", "c", "hps")
_CONFIG_CLASS = re.compile(r"(config|configuration|args|arguments|params|hyperparameters|settings|cfg)$", re.I)
# What a config.json holds beside sizes.
_STRUCTURE = ("nodes", "edges", "version", "model_name", "architectures", "task")


class _Filler:
    """Fills constructors and config objects from a config.json, by name or another spelling of it."""

    def __init__(self, module: ModuleType, config: dict[str, Any]) -> None:
        self.module = module
        self.found = syntax.sizes_in(config)

    def arguments(self, builder: Callable[..., Any], name: str, *, depth: int = 0) -> dict[str, Any]:
        """Return the arguments of a constructor or function; what has a default may stay out.

        Raises
        ------
        ModelError
            If one without a default is not given.
        """
        arguments: dict[str, Any] = {}
        missing = []
        parameters = inspect.signature(builder).parameters.values()
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD and len(parameters) == 1:
                arguments |= self._sizes()
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            value = syntax.size(parameter.name, self.found)
            annotated = self._own_class(parameter.annotation)
            if value is not None and annotated is None:
                arguments[parameter.name] = value
            elif self._is_config(parameter, annotated):
                arguments[parameter.name] = self._config_object(parameter, annotated, builder)
            elif parameter.default is not parameter.empty:
                continue
            elif annotated is not None and depth < 3:
                inner = self.arguments(annotated, annotated.__name__, depth=depth + 1)
                arguments[parameter.name] = annotated(**inner)
            else:
                missing.append(parameter.name)
        if missing:
            raise ModelError(
                f"{name} needs arguments that config.json lacks: {', '.join(missing)}.",
                hint="Add them to config.json or to model.config, give them defaults in model.py, or define "
                "build_model() there.",
            )
        return arguments

    def _sizes(self) -> dict[str, Any]:
        return {name: value for name, value in self.found.items() if name not in _STRUCTURE}

    def _own_class(self, annotation: Any) -> type | None:
        """Return the class of the same file that an annotation names."""
        classes = _classes(self.module)
        return next((classes[word] for word in re.findall(r"\w+", _text_of(annotation)) if word in classes), None)

    def _is_config(self, parameter: inspect.Parameter, annotated: type | None) -> bool:
        if annotated is not None:
            return annotated not in _models(self.module).values()
        unset = parameter.default is parameter.empty or parameter.default is None
        return parameter.name in _CONFIG_NAMES and (unset or type(parameter.default) in _classes(self.module).values())

    def _config_object(self, parameter: inspect.Parameter, annotated: type | None, builder: Callable[..., Any]) -> Any:
        if re.match(r"(typing\.)?(dict|Dict|Mapping)\b", _text_of(parameter.annotation)):
            return Config(self.found)
        kind = annotated or self._config_class(builder)
        if callable(default := getattr(builder, "get_default_config", None)):
            return self._adjusted(default())
        if kind is not None:
            return self.config(kind)
        if parameter.default not in (parameter.empty, None):
            return self._adjusted(parameter.default)
        return Config(self.found)

    def _config_class(self, builder: Callable[..., Any]) -> type | None:
        """Return the class of the file that holds the sizes, where nothing but its name says so."""
        models = _models(self.module).values()
        own = [kind for kind in _classes(self.module).values() if kind not in models]
        kinds = [kind for kind in own if _CONFIG_CLASS.search(kind.__name__)]
        own = [kind for kind in kinds if kind.__name__.lower().startswith(builder.__name__.lower())]
        kinds = own or kinds
        if len(kinds) > 1:
            raise ModelError(
                f"{builder.__name__} takes a config, but model.py defines several config classes: "
                f"{', '.join(kind.__name__ for kind in kinds)}.",
                hint="Annotate the argument in model.py, for example config: " + kinds[0].__name__ + ".",
            )
        return kinds[0] if kinds else None

    def config(self, kind: type) -> Any:
        """Build a config object of the file's own class: config.json by field name, its defaults otherwise."""
        if not dataclasses.is_dataclass(kind):
            parameters = inspect.signature(kind).parameters.values()
            takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
            known = {p.name for p in parameters}
            more = {name: v for name, v in self._sizes().items() if takes_all and name not in known}
            return self._adjusted(kind(**self.arguments(kind, kind.__name__), **(more if len(parameters) > 1 else {})))
        arguments, missing = {}, []
        for field in dataclasses.fields(kind):
            if not field.init:
                continue
            value = syntax.size(field.name, self.found)
            if value is not None or field.name in self.found:
                arguments[field.name] = tuple(value) if isinstance(value, list) else value
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                missing.append(field.name)
        if missing:
            raise ModelError(
                f"{kind.__name__} needs values that config.json lacks: {', '.join(missing)}.",
                hint="Add them to config.json or to model.config, or give them defaults in model.py.",
            )
        return kind(**arguments)

    def _adjusted(self, config: Any) -> Any:
        """Set the plain attributes of a config object that config.json names."""
        if dataclasses.is_dataclass(config) and not isinstance(config, type):
            fields = [field.name for field in dataclasses.fields(config) if field.init]
            given = {name: syntax.size(name, self.found) for name in fields}
            return dataclasses.replace(config, **{name: value for name, value in given.items() if value is not None})
        holders = [vars(kind) for kind in reversed(type(config).__mro__[:-1])] + [getattr(config, "__dict__", {})]
        names = [name for holder in holders for name in holder if not name.startswith("_")]
        for name in dict.fromkeys(names):
            value = getattr(config, name)
            if callable(value) or isinstance(getattr(type(config), name, None), property):
                continue
            said = syntax.size(name, self.found)
            if said is not None or name in self.found:
                setattr(config, name, said)
        return config


def _text_of(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
