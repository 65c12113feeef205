"""A method with modifiers over it, as one class of method: ``npo+sam``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from inspect import cleandoc
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError, create_model, model_validator

from ..errors import HarnessError
from .base import Method
from .config import Config, MethodConfig
from .modifier import Modifier

JOINED = "+"
"""Between a method and each modifier over it."""

HOOKS = (
    *(
        "lacks",
        "prepare",
        "stop_score",
        "start",
        "stages",
        "new_epoch",
        "trainable",
        "loss",
        "step_gradients",
    ),
    *("after_backward", "optimizer", "finish"),
)
"""The hooks of a method that a modifier may override."""


class Composition(Method):
    """A method whose hooks are those of the last modifier over it. Made by :func:`compose`.

    Its settings are the method's under their names, and a modifier's under ``modifier.name``.
    """

    parts: ClassVar[tuple[Any, ...]]
    """The class of the method, and those of the modifiers from the inside out."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        base, *modifiers = self.parts
        outermost = base(self.config)
        self.combine = outermost.combine  # type: ignore[method-assign]
        for modifier in modifiers:
            outermost = modifier(settings_for(modifier, self.config), outermost)
        for hook in HOOKS:
            setattr(self, hook, getattr(outermost, hook))

    def loss(self, model: Any, batch: Any) -> Any:
        """Of the last modifier, as every hook."""
        raise NotImplementedError


@lru_cache
def compose(base: type[Method], modifiers: tuple[type[Modifier], ...]) -> type[Composition]:
    """The method with these modifiers over it, the first innermost.

    Raises HarnessError, with the reason, for what makes no sense together.
    """
    label = JOINED.join([base.name, *(modifier.name for modifier in modifiers)])
    if reason := next(_general(base, modifiers), None):
        raise HarnessError(f"{label} makes no sense: {reason}.")

    class Composed(Composition):
        __doc__ = _manual(base, modifiers)
        name = label
        paper = ", ".join(filter(None, dict.fromkeys(each.paper for each in (base, *modifiers))))
        parts = (base, *modifiers)
        Config = _config(label, base, modifiers)
        reads = base.reads.union(*(modifier.reads for modifier in modifiers))
        needs_twin, lora, retains = base.needs_twin, base.lora, base.retains
        rate_scale, stop = base.rate_scale, base.stop
        buffers = base.buffers + sum(modifier.buffers for modifier in modifiers)

    try:
        Composed.Config()
    except ValidationError as error:  # a setting without a default is looked at when it is given
        if refused := [problem["msg"] for problem in error.errors() if not problem["loc"]]:
            reason = refused[0].removeprefix("Value error, ")
            raise HarnessError(f"{label} makes no sense: {reason}.") from None
    return Composed


def _manual(base: type[Method], modifiers: Sequence[type[Modifier]]) -> str:
    """The summary of the method, and what each modifier says of itself."""
    first = (base.__doc__ or "").strip().partition("\n")[0]
    return "\n\n".join([first, *(f"{each.name}: {cleandoc(each.__doc__ or '')}" for each in modifiers)])


def _general(base: type[Method], modifiers: Sequence[type[Modifier]]) -> Iterator[str]:
    """Why no modifier could go over a method, or these not together."""
    if base.unlearn is not Method.unlearn or not issubclass(base.Config, MethodConfig):
        yield f"'{base.name}' is no gradient method (it overrides unlearn), and a modifier changes its steps"
    names = [modifier.name for modifier in modifiers]
    if twice := [each for each in names if names.count(each) > 1]:
        yield f"'{twice[0]}' stands there twice"


def _config(name: str, base: type[Method], modifiers: Sequence[type[Modifier]]) -> type[Config]:
    """The settings of both; a model of pydantic that holds all, and asks each modifier whether they fit."""

    def fit(self: Any) -> Any:
        for modifier in modifiers:
            settings_for(modifier, self)  # its own validators
            if reason := modifier.refuses(base, self):
                raise ValueError(reason)
        return self

    fields: dict[str, Any] = {}
    for modifier in modifiers:
        for setting, info in modifier.Config.model_fields.items():
            default: Any = {"default": info.default}
            if info.default_factory is not None:
                default = {"default_factory": info.default_factory}
            own = Field(
                **default, alias=f"{modifier.name}.{info.alias or setting}", description=info.description
            )
            kind: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
            fields[_field(modifier, setting)] = kind, own
    validators: Any = {"fit": model_validator(mode="after")(fit)}
    return create_model(f"{name}.Config", __base__=base.Config, __validators__=validators, **fields)


def _field(modifier: type[Modifier], setting: str) -> str:
    return f"{modifier.name}_{setting}".replace("-", "_")


def settings_for(modifier: type[Modifier], config: Any) -> Config:
    """The settings of a modifier among those of a composition."""
    values = {name: getattr(config, _field(modifier, name)) for name in modifier.Config.model_fields}
    return modifier.Config(**values)
