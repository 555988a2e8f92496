"""Read an imported module's plugin class into `PluginFacts`.

Type hints are evaluated and decorators' marks collected; nothing is constructed or called. All
that is wrong with a class is reported at once, each with the line of the field or method.
"""

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, TypeGuard, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from ringfence.author import Plugin, annotations_of, field_names
from ringfence.contracts.payload import describe
from ringfence.errors import AppError, Finding
from ringfence.kernel.loader import Feature
from ringfence.kernel.manifest import (
    Need,
    Offer,
    PluginFacts,
    RequestValue,
    ServiceNeed,
    SettingsNeed,
    ToolNeed,
)
from ringfence.kernel.ports import REQUIRED, Declaration, Declared, Parameter, Signature
from ringfence.reading.events import handler_faults, read_events

_MARKS = ("__ringfence_tool__", "__ringfence_requires__")
_APPLIED = {
    "route": '@get("/orders")',
    "service": '@service("orders.place")',
    "every": '@every("5m")',
    "cron": '@cron("@daily")',
}
_NAMED = "correct the name, or import it"  # of an annotation that cannot be evaluated


class Place(Feature, frozen=True):
    """A feature, and where its classes and fields stand (`Class.field` → line)."""

    lines: Mapping[str, int]

    def finding(self, name: str, rule: str, message: str, fix: str = "") -> Finding:
        line = self.lines.get(name) or self.lines.get(name.partition(".")[0], 1)
        return Finding(self.file, line, rule, message, fix)


def read_plugin(
    module: types.ModuleType,
    feature: Feature,
    lines: Mapping[str, int],
    request_types: frozenset[type],
) -> tuple[PluginFacts | None, list[Finding]]:
    """Read the one plugin that a feature's module declares.

    Args:
        module: The imported module.
        feature: Which feature it is.
        lines: Where its classes and fields stand.
        request_types: Parameter types that the kernel and tools fill in for each request.

    Returns:
        The plugin, or None where the module has not exactly one; and all that is wrong with it.
    """
    place = Place(feature.domain, feature.name, feature.path, lines)
    own = [v for v in vars(module).values() if _is_class_of(module, v)]
    plugins = [cls for cls in own if issubclass(cls, Plugin)]
    if len(plugins) != 1:
        return None, [_wrong_number(plugins, place)]
    named = (cls for cls in vars(module).values() if _is_declared_error(cls))
    errors = tuple(dict.fromkeys(named))  # also those that its domain's helpers declare
    doc = inspect.cleandoc(module.__doc__ or plugins[0].__doc__ or "")
    reading = _Reading(plugins[0], place, request_types, doc, errors)
    events, wrong = read_events(module, feature, lines)
    facts = PluginFacts(
        id=place.id,
        domain=place.domain,
        cls=plugins[0],
        file=place.file,
        line=place.lines.get(plugins[0].__name__, 1),
        doc=doc,
        needs=tuple(reading.needs()),
        offers=tuple(reading.offers()),
        error_codes={cls.code: place.lines.get(cls.__name__, 1) for cls in errors if cls in own},
        events=events,
    )
    return facts, [*reading.findings, *wrong]


def _is_class_of(module: types.ModuleType, value: object) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def _is_declared_error(value: object) -> TypeGuard[type[AppError]]:
    """Whether it is an error that an application has given a code of its own."""
    is_error = isinstance(value, type) and issubclass(value, AppError) and "code" in vars(value)
    return is_error and value.__module__ != AppError.__module__


def _wrong_number(plugins: list[type[Plugin]], place: Place) -> Finding:
    if not plugins:
        return Finding(
            place.file,
            1,
            "RF103",
            "this module declares no plugin; expected one class derived from Plugin",
            "derive one, or rename the file to start with `_` if it is the domain's helper",
        )
    names = ", ".join(cls.__name__ for cls in plugins)
    return place.finding(
        plugins[1].__name__,
        "RF104",
        f"this module declares {len(plugins)} plugins ({names}); expected one",
        "a feature is one file: move each to a file of its own",
    )


class _Reading:
    """One pass over one class, collecting what is wrong with it."""

    def __init__(
        self,
        cls: type[Plugin],
        place: Place,
        request_types: frozenset[type],
        doc: str,
        errors: tuple[type[AppError], ...],
    ) -> None:
        self.cls = cls
        self.place = place
        self.request_types = request_types
        self.doc = doc
        self.errors = errors
        self.findings: list[Finding] = []

    def needs(self) -> Iterator[Need]:
        """Yield what each constructor parameter asks for."""
        written = vars(self.cls).get("__init__")
        try:
            hints = get_type_hints(written or self.cls, include_extras=True)
        except Exception as error:  # evaluating an annotation runs the author's code
            self._report("", "RF110", f"its annotations cannot be evaluated: {error}", _NAMED)
            return
        written_names = list(inspect.signature(written).parameters)[1:] if written else None
        names = field_names(self.cls) if written_names is None else written_names
        for name in names:
            need = self._need(name, hints.get(name))
            if need is not None:
                yield need
        self._unannotated(names)

    def _unannotated(self, names: Sequence[str]) -> None:
        """Report each `db = Database`, which is a class and no need: `db: Database` is meant."""
        for base in self.cls.__mro__:
            annotated = {*names, *annotations_of(base)}
            for name, value in vars(base).items():
                declared = f"{base.__qualname__}.{name}"  # a class written inside the plugin's
                if name not in annotated and _is_need(value) and value.__qualname__ != declared:
                    self._report(
                        name,
                        "RF117",
                        f"field {name!r} has no annotation",
                        f"write `{name}: {value.__name__}`",
                    )

    def _need(self, name: str, hint: object) -> Need | None:
        unapplied = getattr(hint, "__ringfence_unapplied__", None)
        if isinstance(unapplied, type):
            self._report(
                unapplied.__name__,
                "RF110",
                "@requires stands without its parentheses",
                'name the service: @requires("inventory.stock_level")',
            )
            return None
        target, optional = _strip_none(hint)
        if isinstance(target, type):
            marks = vars(target)
            if "__ringfence_tool__" in marks:
                return ToolNeed(name, marks["__ringfence_tool__"], target)
            if "__ringfence_requires__" in marks:
                return self._service_need(name, target, marks["__ringfence_requires__"], optional)
            if _is_need(target):
                return SettingsNeed(name, target)
        shown = getattr(hint, "__name__", str(hint)) if hint is not None else "no annotation"
        self._report(
            name,
            "RF110",
            f"field {name!r} cannot be injected; expected a tool's contract, a Protocol under "
            f"@requires or a Settings class, got {shown}",
            "annotate it with one of these; what is no need is a constant, or a `ClassVar`",
        )
        return None

    def _service_need(
        self, field: str, protocol: type, service: str, optional: bool
    ) -> ServiceNeed | None:
        call = vars(protocol).get("__call__")
        if not inspect.iscoroutinefunction(call):
            self._report(
                protocol.__name__,
                "RF112",
                f"view {protocol.__name__} of {service} has no async method __call__",
                "write `async def __call__(self, *, ...) -> View: ...`",
            )
            return None
        view, values = self._signature(protocol.__name__, call)
        for value in values:
            self._report(
                protocol.__name__,
                "RF112",
                f"view {protocol.__name__} sends {value.parameter!r}, which the kernel fills in",
                "leave it out: the provider is given its own",
            )
        line = self.place.lines.get(protocol.__name__, 1)
        return ServiceNeed(field, service, view, optional, line) if view else None

    def offers(self) -> Iterator[Offer]:
        """Yield every decorated method, its own and inherited."""
        attributes: dict[str, object] = {}
        for base in reversed(self.cls.__mro__):
            attributes |= vars(base)
        for name, function in attributes.items():
            unapplied = getattr(function, "__ringfence_unapplied__", None)
            if isinstance(unapplied, Declaration):
                message = f"a decorator for a {unapplied.kind} stands without its parentheses"
                fix = f"write its arguments: {_APPLIED.get(unapplied.kind, _APPLIED['route'])}"
                self._report(name, "RF116", message, fix)
            inner = getattr(function, "__func__", None)  # of a @staticmethod
            below: tuple[Declaration, ...] = getattr(inner, "__ringfence__", ())
            marks: tuple[Declaration, ...] = getattr(function, "__ringfence__", below)
            if marks and not inspect.isfunction(function):
                self._report(
                    name,
                    "RF112",
                    "it is no method; expected one that takes self",
                    "remove @staticmethod or @classmethod, and let it take `self`",
                )
            elif marks and inspect.isfunction(function):
                offer = self._offer(name, function, tuple(reversed(marks)))
                if offer is not None:
                    yield offer

    def _offer(
        self, name: str, function: Callable[..., object], marks: tuple[Declaration, ...]
    ) -> Offer | None:
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            self._report(
                name,
                "RF112",
                f"{name} is a generator; expected def or async def",
                "return all of it, as in `-> list[Order]`",
            )
            return None
        signature, values = self._signature(name, function)
        if signature is None:
            return None
        line = self.place.lines.get(f"{self.cls.__name__}.{name}", 1)
        declared = tuple(
            Declared(
                declaration=mark,
                plugin=self.place.id,
                domain=self.place.domain,
                method=name,
                signature=signature,
                file=self.place.file,
                line=line,
                doc=self.doc,
                errors=self.errors,
            )
            for mark in marks
        )
        is_async = inspect.iscoroutinefunction(function)
        offer = Offer(name, function, declared, values, signature, is_async)
        for said, fix in handler_faults(offer):
            self._report(name, "RF127", said, fix)
        return offer

    def _signature(
        self, name: str, function: Callable[..., object]
    ) -> tuple[Signature | None, tuple[RequestValue, ...]]:
        try:
            hints = get_type_hints(function, include_extras=True)
        except Exception as error:  # evaluating an annotation runs the author's code
            self._report(name, "RF112", f"its annotations cannot be evaluated: {error}", _NAMED)
            return None, ()
        taken: list[Parameter] = []
        values: list[RequestValue] = []
        known = len(self.findings)
        for parameter in list(inspect.signature(function).parameters.values())[1:]:
            hint = hints.get(parameter.name)
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                self._report(
                    name, "RF112", f"*{parameter.name} has no fixed shape", "name each parameter"
                )
            elif isinstance(hint, type) and hint in self.request_types:
                values.append(RequestValue(parameter.name, hint))
            elif parameter.name not in hints:
                self._report(
                    name,
                    "RF112",
                    f"{parameter.name!r} has no annotation",
                    f"annotate it, as in `{parameter.name}: str`",
                )
            elif any(_inner(hint) is kind for kind in self.request_types):  # never from a payload
                self._report(
                    name,
                    "RF112",
                    f"{parameter.name!r} is filled in by the kernel, and cannot be optional",
                    "name its type alone; who asks, if anybody, is `ctx.principal`",
                )
            else:
                default = REQUIRED if parameter.default is parameter.empty else parameter.default
                taken.append(Parameter(parameter.name, hint, default))
        if "return" not in hints:
            self._report(
                name,
                "RF112",
                "it has no return annotation",
                "annotate it: `-> None` where nothing comes back",
            )
        for one in taken:
            self._check_type(name, repr(one.name), one.annotation)
        self._check_type(name, "its result", hints.get("return"))
        if len(self.findings) > known:
            return None, ()
        doc = inspect.cleandoc(function.__doc__ or "")
        return Signature(tuple(taken), hints["return"], doc), tuple(values)

    def _check_type(self, name: str, what: str, hint: object) -> None:
        try:
            describe(hint)
        except (TypeError, NameError) as error:
            self._report(
                name,
                "RF112",
                f"{what} has a type of no schema: {error}",
                "use scalars and collections of them, a Struct, a dataclass or a TypedDict",
            )

    def _report(self, name: str, rule: str, message: str, fix: str = "") -> None:
        where = f"{self.cls.__name__}.{name}" if name else self.cls.__name__
        if name in self.place.lines:
            where = name
        subject = f"{self.place.id}.{name}".rstrip(".")
        self.findings.append(self.place.finding(where, rule, f"{subject}: {message}", fix))


def _is_need(value: object) -> TypeGuard[type]:
    """Whether a class is what a field is annotated with: a contract, a view, Settings."""
    if not isinstance(value, type):
        return False
    cls: type[object] = value
    is_settings = issubclass(cls, Struct) and bool(getattr(cls, "__section__", ""))
    return is_settings or not vars(cls).keys().isdisjoint(_MARKS)


def _inner(hint: object) -> object:
    """Return what stands inside `X | None` and `Annotated[X, ...]`."""
    target, _ = _strip_none(hint)
    return _inner(get_args(target)[0]) if get_origin(target) is Annotated else target


def _strip_none(hint: object) -> tuple[object, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arm for arm in get_args(hint) if arm is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False
