"""Figures as Vega-Lite specifications: the page draws from them, and vl-convert draws the same as SVG and PDF.

Colours are named as the page's CSS variables, so that a figure in the page follows its theme. Four parameters say where
a specification is drawn: ``live`` in the page, ``narrow`` where names of rows have no room beside their rows,
``columns`` of the legend, ``current`` the number of the mark that the keyboard has reached.
"""

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from xeval.analysis.report.figures import COLOURS
from xeval.analysis.report.model import Figure, Kind, Record
from xeval.conditions import CLASSIFICATION, MULTI_HOP_QA

Spec = dict[str, Any]
THEME: Mapping[str, tuple[str, str]] = {
    "paper": ("#fefefe", "#12171e"),
    "ink": ("#1c2431", "#e6ebf1"),
    "muted": ("#566273", "#9aa7b6"),
    "line": ("#cfd6de", "#333d4a"),
    "band": ("#e9eef3", "#242d38"),
    "gain": ("#4a9bd4", "#2f86c6"),
    "loss": ("#e58a3c", "#c96f22"),
    "group-0": ("#0072b2", "#58a8e0"),
    "group-1": ("#3d9fd8", "#8ccbf5"),
    "group-2": ("#b4679a", "#d994bf"),
    "group-3": ("#b87c00", "#e0ac3a"),
    "group-4": ("#d55e00", "#f08a45"),
    "group-5": ("#008a64", "#3fc59b"),
}
"""Name of a colour -> on light and on dark paper; for colour-blind eyes, after Okabe & Ito (2008)."""
SEEDS, ITEMS = COLOURS[MULTI_HOP_QA], COLOURS[CLASSIFICATION]
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The first one comes with vl-convert, so that a figure is the same on every machine."""
LETTERS = 7.0
"""Pixels of a letter of the banner, at most."""


def colour(name: str) -> str:
    """The CSS variable of a colour of the theme."""
    return f"var(--{name})"


CONFIG: Spec = {
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": colour("ink"), "titleColor": colour("muted"), "gridColor": colour("line"),
        "domainColor": colour("line"), "tickColor": colour("line"), "gridOpacity": 0.55, "labelFontSize": 12,
        "titleFontSize": 12, "titleFontWeight": 400,
    },
    "legend": {
        "labelColor": colour("ink"), "labelFontSize": 12, "orient": "top", "title": None, "symbolType": "circle",
        "columnPadding": 14, "rowPadding": 3, "labelLimit": 220, "offset": 6,
    },
    "title": {"color": colour("ink"), "subtitleColor": colour("muted"), "anchor": "start", "fontSize": 12},
}  # fmt: skip
RECORDS = {"name": "records"}
ROW_AXIS: Spec = {
    "title": None, "ticks": False, "domain": False, "grid": False, "labelPadding": 8, "labelLimit": 400,
    "labelExpr": "narrow ? '' : datum.label",
}  # fmt: skip


def specification(figure: Figure) -> Spec:
    """The figure in Vega-Lite: panels beside each other (one a scale) or below each other."""
    return {
        "config": CONFIG,
        "params": [
            {"name": "live", "value": False},
            {"name": "narrow", "value": False},
            {"name": "columns", "value": 4},
            {"name": "current", "value": -1},
        ],
        "datasets": {"records": _rounded(figure.records)},
        "usermeta": {"scales": figure.options.get("scales", [])},
        **_PANELS[figure.kind](figure),
    }


@dataclass(frozen=True)
class Drawing:
    """A drawn figure.

    Attributes:
        spec: its Vega-Lite specification. ``inline``: an ``<svg>`` element for a page.
        svg, pdf: complete files.
    """

    spec: Spec
    inline: str
    svg: str
    pdf: bytes


def draw(figure: Figure, banner: str = "") -> Drawing:
    """The figure for a page, as an SVG file and as PDF, with ``banner`` above it; same input, same SVG."""
    import vl_convert

    spec = specification(figure)
    text = vl_convert.vegalite_to_svg(_for_paper(spec, banner))
    text = _numbered(figure.name, _lean(text))
    svg = re.sub(r"var\(--([a-z0-9-]+)\)", lambda found: THEME[found[1]][0], text)
    size = re.search(r'width="[^"]*" height="[^"]*" viewBox="[^"]*"', text)
    opening = f'<svg role="img" aria-label={quoteattr(figure.title)} {size[0] if size else ""}>'
    inline = re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)
    return Drawing(spec, inline, svg, vl_convert.svg_to_pdf(svg))


def _for_paper(spec: Spec, banner: str) -> Spec:
    """With a banner, and names of rows at the first panel only."""
    made = spec | {"config": CONFIG | {"aria": False}}
    panels = spec.get("hconcat") or spec["vconcat"][:1]
    if banner:
        width = sum(panel["width"] for panel in panels if isinstance(panel["width"], int)) or 250
        made["title"] = {"text": textwrap.wrap(banner, int(width / LETTERS)), "offset": 12}
    if "hconcat" in spec:
        bare = {"axis": ROW_AXIS | {"labels": False}}
        made["hconcat"] = panels[:1] + [
            panel | {"encoding": panel["encoding"] | {"y": panel["encoding"]["y"] | bare}}
            for panel in panels[1:]
        ]
    return made


def _lean(svg: str) -> str:
    """Without what only a live drawing needs, the font named once, and no digit below a thousandth of a pixel."""
    svg = re.sub(r' (?:class|role|pointer-events|aria-[a-z]+)="[^"]*"', "", svg)
    svg = svg.replace(f' font-family="{FONT}"', "").replace("<svg ", f'<svg font-family="{FONT}" ', 1)
    svg = re.sub(r'<path d="[^"]*" display="none"/>|<path d="M0,0h0v0h0Z"/>', "", svg)
    return re.sub(r"(\d\.\d{3})\d+", r"\1", svg)


def _numbered(name: str, svg: str) -> str:
    """The drawing with ids that are unique in a page; vl-convert numbers those of all that it has ever drawn."""
    numbers = {
        old: f"{name}-{place}" for place, old in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))
    }
    return re.sub(r'(\bid="|url\(#|href="#)([^")]+)', lambda found: found[1] + numbers[found[2]], svg)


def _rounded(value: Any) -> Any:
    """Six digits are more than a pixel; results.json holds all."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _quantity(field: str, **more: Any) -> Spec:
    return {"field": field, "type": "quantitative", **more}


def _rule_at_zero(axis: str) -> Spec:
    mark = {"type": "rule", "color": colour("muted"), "aria": False}
    other = {"y": None} if axis == "x" else {}
    return {"data": {"values": [{}]}, "mark": mark, "encoding": {axis: {"datum": 0}, **other}}


def _margin(width: float | None, **encoding: Any) -> list[Spec]:
    """The margin that counts as no difference, shaded."""
    return [] if not width else [
        {
            "data": {"values": [{"from": -width, "to": width}]},
            "mark": {"type": "rect", "color": colour("band"), "aria": False},
            "encoding": {"x": _quantity("from"), "x2": {"field": "to"}, **encoding},
        }
    ]  # fmt: skip


def _paint(records: Iterable[Record], field: str, *, legend: bool) -> Spec:
    """Colours of a field whose values each have one colour."""
    found = {record[field]: colour(record["colour"]) for record in records}
    shown = {"columns": {"expr": "columns"}} if legend else None
    return {"field": field, "type": "nominal", "scale": {"domain": list(found), "range": list(found.values())},
            "legend": shown}  # fmt: skip


def _rows(field: str) -> Spec:
    """An axis of named rows."""
    return {"field": field, "type": "nominal", "sort": None, "axis": ROW_AXIS}


def _names_above(field: str) -> list[Spec]:
    """The names of rows above each row, where there is no room for them beside it."""
    mark = {"type": "text", "align": "left", "baseline": "middle", "dy": -14, "fontSize": 12, "aria": False}
    halo = {"stroke": colour("paper"), "strokeWidth": 4, "color": colour("paper")}
    return [
        {
            "transform": [
                {"filter": "narrow"},
                {"aggregate": [{"op": "count", "as": "n"}], "groupby": [field]},
            ],
            "mark": mark | look,
            "encoding": {"x": {"value": 0}, "text": {"field": field}},
        }
        for look in (halo, {"color": colour("ink")})
    ]


def _sized(large: int, small: float) -> Spec:
    """The size of a mark, which grows when the keyboard reaches it."""
    return {"condition": {"test": "datum.i === current", "value": large}, "value": small}


def _intervals(figure: Figure) -> Spec:
    scales = figure.options["scales"]
    return {"hconcat": [_interval_panel(figure, scale, 300 if len(scales) > 1 else 400) for scale in scales]}


def _interval_panel(figure: Figure, scale: str, width: int) -> Spec:
    several = len({record["row"] for record in figure.records}) > 1
    fields = {
        "value": f"datum.{scale}[0]", "inner_low": f"datum.{scale}[3]", "inner_high": f"datum.{scale}[4]",
        "low": f"isValid(datum.{scale}[1]) ? datum.{scale}[1] : datum.{scale}[3]",
        "high": f"isValid(datum.{scale}[2]) ? datum.{scale}[2] : datum.{scale}[4]",
        "said": f"datum.text.{scale}", "shape": "datum.diamond ? 'diamond' : 'circle'",
        "legend": "datum.legend || datum.colour",
    }  # fmt: skip
    axis = {"title": figure.options["axis"][scale], "tickCount": 5, "grid": several}
    x: Spec = {"scale": {"zero": True, "nice": False, "padding": 10}, "axis": axis}
    records = [record | {"legend": record.get("legend", record["colour"])} for record in figure.records]
    stroke = _paint(records, "legend", legend=bool(figure.options.get("legend")))

    def bar(low: str, high: str, size: float) -> Spec:
        mark = {"type": "rule", "size": size, "aria": False}
        return {"mark": mark, "encoding": {"x": _quantity(low, **x), "x2": {"field": high}, "stroke": stroke}}

    points = {
        "mark": {"type": "point", "filled": False, "strokeWidth": 1.6, "opacity": 1},
        "encoding": {
            "x": _quantity("value", **x),
            "shape": {"field": "shape", "type": "nominal", "scale": None},
            "stroke": stroke,
            "fill": {"condition": {"test": "datum.hollow", "value": colour("paper")}, **stroke},
            "size": _sized(220, 75),
            "description": {"field": "said", "type": "nominal"},
        },
    }
    whole_row = {
        "transform": [{"filter": "live"}],
        "mark": {"type": "rect", "opacity": 0, "aria": False},
        "encoding": {"tooltip": {"field": "said", "type": "nominal"}},
    }
    return {
        "data": RECORDS,
        "width": width,
        "height": {"step": 24} if several else 34,
        "transform": [{"calculate": made, "as": name} for name, made in fields.items()],
        "encoding": {"y": _rows("row") if several else {**_rows("row"), "axis": None}},
        "layer": [
            *_margin(figure.options.get("margin", {}).get(scale), y=None),
            _rule_at_zero("x"),
            bar("low", "high", 1.4),
            bar("inner_low", "inner_high", 4),
            points,
            *([*_printed(scale)] if figure.options.get("legend") else []),
            *(_names_above("row") if several else []),
            whole_row,
        ],
    }


def _printed(scale: str) -> list[Spec]:
    """Value and interval in figures, right of the plot."""
    digits = 2 if scale == "points" else 3
    low, high = (f"format(datum.{end}, '.{digits}f')" for end in ("low", "high"))
    value = f"replace(format(datum.value, '+.{digits}f'), /^[+](0[.]0+)$/, '$1')"
    known = f"isValid(datum.{scale}[1]) || datum.hollow"
    ends = f"{known} ? ' [' + {low} + ', ' + {high} + ']' : ''"
    return [
        {
            "transform": [
                {"filter": "!narrow && !datum.other && isValid(datum.value)"},
                {"calculate": f"{value} + ({ends}) + (datum.hollow ? '*' : '')", "as": "printed"},
            ],
            "mark": {
                "type": "text",
                "align": "left",
                "dx": 8,
                "fontSize": 11,
                "aria": False,
                "color": colour("ink"),
            },
            "encoding": {"x": {"value": "width"}, "text": {"field": "printed"}},
        }
    ]


def _scatter(figure: Figure) -> Spec:
    x: Spec = {"scale": {"zero": False, "nice": False, "padding": 8},
               "axis": {"title": figure.options["axis"]["x"], "tickCount": 6}}  # fmt: skip
    y: Spec = {"axis": {"title": figure.options["axis"]["y"], "tickCount": 6}}
    line, curves = ({"values": _rounded(figure.options[name])} for name in ("line", "curves"))
    dashes = {"domain": list(dict.fromkeys(one["curve"] for one in figure.options["curves"])),
              "range": [[7, 4], [2, 3]]}  # fmt: skip
    keys = {
        "symbolType": "stroke",
        "symbolStrokeColor": colour("muted"),
        "columns": {"expr": "min(columns, 2)"},
    }
    place = {"x": _quantity("x", **x), "y": _quantity("y", **y)}
    band = {"type": "area", "color": colour("band"), "opacity": 1, "aria": False, "clip": True}
    said = {"field": "text", "type": "nominal"}
    panel = {
        "width": 560,
        "height": 320,
        "resolve": {"scale": {"strokeDash": "independent"}},
        "layer": [
            {"data": line, "mark": band, "encoding": {**place, "y": _quantity("low", **y), "y2": {"field": "high"}}},
            _rule_at_zero("y"),
            {"data": line, "mark": {"type": "line", "color": colour("ink"), "strokeWidth": 1.6, "aria": False},
             "encoding": place},
            {"data": curves, "mark": {"type": "line", "color": colour("muted"), "strokeWidth": 1.6, "aria": False},
             "encoding": {**place, "strokeDash": {"field": "curve", "type": "nominal", "scale": dashes,
                                                  "legend": keys}}},
            {"data": RECORDS,
             "mark": {"type": "point", "filled": True, "opacity": 0.9, "stroke": colour("paper"), "strokeWidth": 0.8},
             "encoding": {**place, "fill": _paint(figure.records, "legend", legend=True), "tooltip": said,
                          "description": said, "size": _sized(260, 80)}},
        ],
    }  # fmt: skip
    return {"vconcat": [panel]}


def _histogram(figure: Figure) -> Spec:
    axis = figure.options["axis"]
    x: Spec = {"scale": {"zero": True, "nice": False, "padding": 6},
               "axis": {"title": axis["x"], "tickCount": 5, "grid": False}}  # fmt: skip
    said = {"field": "text", "type": "nominal"}
    bars = {
        "mark": {"type": "rect", "color": colour(SEEDS)},
        "encoding": {
            "x": _quantity("low", **x), "x2": {"field": "high"},
            "y": _quantity("count", axis={"title": axis["y"], "tickCount": 4, "tickMinStep": 1}), "y2": {"datum": 0},
            "tooltip": said, "description": said,
            "opacity": {"condition": {"test": "datum.i === current", "value": 1}, "value": 0.55},
        },
    }  # fmt: skip
    layers = [
        *_margin(figure.options["margin"]),
        bars,
        _rule_at_zero("x") | {"encoding": {"x": {"datum": 0}}},
    ]
    if "interval" in figure.options:
        data = {"values": [dict(zip(("value", "low", "high"), figure.options["interval"], strict=True))]}
        below = {"value": 203}
        layers += [
            {"data": data, "mark": {"type": "rule", "size": 2, "color": colour("ink"), "aria": False},
             "encoding": {"x": _quantity("low", **x), "x2": {"field": "high"}, "y": below}},
            {"data": data, "mark": {"type": "point", "shape": "diamond", "filled": True, "opacity": 1, "size": 70,
                                    "color": colour("ink"), "aria": False},
             "encoding": {"x": _quantity("value", **x), "y": below}},
        ]  # fmt: skip
    return {"vconcat": [{"data": RECORDS, "width": 400, "height": 200, "layer": layers}]}


def _choices(figure: Figure) -> Spec:
    records = figure.records
    levels = figure.options["levels"]
    extent = 14 + int(max(len(level) for level in levels) * LETTERS)
    label = {
        "minExtent": {"expr": f"narrow ? 44 : {extent}"},
        "maxExtent": {"expr": f"narrow ? 44 : {extent}"},
    }
    x = _quantity("place", axis=None, scale={"domain": [-1, len(records)], "nice": False})
    said = {"field": "text", "type": "nominal"}
    painted = _paint(records, "colour", legend=False)
    size = max(6.0, min(60.0, 1800 / len(records)))
    y: Spec = {"axis": {**label, "title": figure.options["axis"]["y"], "titleX": -40, "tickCount": 6}}
    curve = {
        "data": RECORDS, "width": 700, "height": 240,
        "layer": [
            _rule_at_zero("y"),
            {"mark": {"type": "rule", "size": max(1.0, min(4.0, 400 / len(records))), "opacity": 0.5, "aria": False},
             "encoding": {"x": x, "y": _quantity("low", **y), "y2": {"field": "high"}, "color": painted,
                          "tooltip": said}},
            {"mark": {"type": "point", "filled": True, "opacity": 1},
             "encoding": {
                 "x": x, "y": _quantity("value", **y), "tooltip": said, "description": said,
                 "color": {"condition": {"test": "datum.primary", "value": colour("ink")}, **painted},
                 "shape": {"condition": {"test": "datum.primary", "value": "diamond"}, "value": "circle"},
                 "size": {"condition": [{"test": "datum.i === current", "value": 220},
                                        {"test": "datum.primary", "value": 150}], "value": size}}},
        ],
    }  # fmt: skip
    made = {
        "data": RECORDS, "width": 700, "height": {"step": 19},
        "transform": [{"flatten": ["choices"], "as": ["made"]}],
        "encoding": {"y": {**_rows("made"), "sort": levels, "axis": {**ROW_AXIS, **label}}},
        "layer": [
            {"mark": {"type": "point", "shape": "square", "filled": True, "opacity": 1, "aria": False},
             "encoding": {"x": x, "tooltip": said, "color": painted, "size": _sized(120, size)}},
            *_names_above("made"),
        ],
    }  # fmt: skip
    return {"vconcat": [curve, made]}


def _shares(figure: Figure) -> Spec:
    said = {"field": "text", "type": "nominal"}
    parts = {"domain": ["new seeds", "new items"], "range": [colour(SEEDS), colour(ITEMS)]}
    bars = {
        "mark": {"type": "bar", "height": 14},
        "encoding": {
            "x": _quantity("share", stack="zero", scale={"domain": [0, 100]},
                           axis={"title": figure.options["axis"]["x"], "tickCount": 4}),
            "color": {"field": "part", "type": "nominal", "scale": parts, "legend": {"symbolType": "square"}},
            "order": {"field": "i"}, "tooltip": said, "description": said,
            "opacity": {"condition": {"test": "datum.i === current", "value": 1}, "value": 0.85},
        },
    }  # fmt: skip
    return {
        "vconcat": [
            {
                "data": RECORDS,
                "width": 480,
                "height": {"step": 22},
                "encoding": {"y": _rows("row")},
                "layer": [bars, *_names_above("row")],
            }
        ]
    }


def _heat(figure: Figure) -> Spec:
    """Languages x targets; the colour of a target's group stands above its column."""
    said = {"field": "text", "type": "nominal"}
    largest = f"{figure.options['largest']:.1f}"
    sign = {"test": "datum.share < 0", "value": colour("loss")}
    cells = {
        "mark": {"type": "rect", "strokeWidth": 2, "cornerRadius": 4},
        "encoding": {
            "fill": {"condition": [{"test": "!isValid(datum.share)", "value": colour("band")}, sign],
                     "value": colour("gain")},
            "fillOpacity": _quantity("strength", scale=None),
            "stroke": {"condition": {"test": "datum.i === current", "value": colour("ink")}, "value": colour("paper")},
            "tooltip": said, "description": said,
        },
    }  # fmt: skip
    texts: Spec = {
        "mark": {"type": "text", "fontSize": 11, "aria": False, "color": colour("ink")},
        "encoding": {"text": {"field": "shown"}, "tooltip": said},
    }
    strip = {
        "transform": [{"aggregate": [{"op": "count", "as": "n"}], "groupby": ["target", "legend"]}],
        "mark": {"type": "rect", "aria": False},
        "encoding": {
            "y": {"value": -7},
            "y2": {"value": -3},
            "fill": _paint(figure.records, "legend", legend=True),
        },
    }
    rule = {
        "transform": [{"filter": f"datum.lang === {figure.options['source']!r}"},
                      {"aggregate": [{"op": "count", "as": "n"}], "groupby": ["lang"]}],
        "mark": {"type": "rule", "color": colour("ink"), "aria": False},
        "encoding": {"x": {"value": 0}, "x2": {"value": "width"},
                     "y": {"field": "lang", "type": "nominal", "sort": None, "bandPosition": 0}},
    }  # fmt: skip
    sure, unsure = (
        {**texts, "transform": [{"filter": test}]}
        for test in ("datum.sure", "isValid(datum.share) && !datum.sure")
    )
    names: Spec = {"title": None, "ticks": False, "domain": False, "labelLimit": 400}
    across = names | {"orient": "top", "labelAngle": -40, "labelPadding": 10}
    panel = {
        "title": {"text": f"after {figure.records[0]['condition']}",
                  "subtitle": f"gain in points; strongest colour ±{largest}"},
        "data": RECORDS, "width": {"step": 46}, "height": {"step": 26},
        "transform": [
            {"calculate": "isValid(datum.share) ? 0.06 + 0.74 * abs(datum.share) : 1", "as": "strength"},
        ],
        "encoding": {
            "x": {"field": "target", "type": "nominal", "sort": None, "axis": across},
            "y": {"field": "lang", "type": "nominal", "sort": None, "axis": names},
        },
        "layer": [cells, {**sure, "mark": {**texts["mark"], "fontWeight": "bold"}}, unsure, strip, rule],
    }  # fmt: skip
    return {"vconcat": [panel]}


_PANELS: Mapping[Kind, Callable[[Figure], Spec]] = {
    "intervals": _intervals, "scatter": _scatter, "histogram": _histogram, "choices": _choices, "shares": _shares,
    "heat": _heat,
}  # fmt: skip
