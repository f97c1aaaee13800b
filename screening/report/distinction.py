"""Which candidates are really distinguishable: places under several models, and who beats whom, as still pictures."""

from screening.quantities import label
from screening.rank_uncertainty import Distinction
from screening.ranking import Ranked, Ranking
from screening.report.words import percent, safe

_ROW = 24  # px a candidate
_LABEL = 150  # px for its name
_LETTERS = 84  # px for its letters
_WIDTH = 560  # px of a picture before it is scaled to its column
_NUMBERED = 14  # candidates up to which the matrix carries numbers


def distinction_html(ranking: Ranking, distinction: Distinction) -> str:
    """The section's inside; empty with fewer than two candidates."""
    k = len(distinction.places)
    if k < 2:
        return ""
    entries = ranking.entries[:k]
    return (
        f"{_words(ranking, distinction)}"
        '<div class="distinction"><figure>'
        f"{_places_svg(entries, distinction)}"
        f"<figcaption>{_places_caption(distinction)}</figcaption></figure><figure>"
        f"{_matrix_svg(entries, distinction)}"
        "<figcaption>Probability, in %, that the candidate of the row scores above that of the column. Green: better "
        f"in at least {distinction.level:.0%} of the draws, red: worse, grey: neither.</figcaption></figure></div>"
    )


def _words(ranking: Ranking, distinction: Distinction) -> str:
    k, pairs = len(distinction.places), len(distinction.places) * (len(distinction.places) - 1) // 2
    ensemble = len(distinction.models) > 1
    whom = f"the first {k} candidates" if k < len(ranking.entries) else f"the {k} ranked candidates"
    basis = (
        f"{len(distinction.models)} models (force field and charges; one of them drawn for all candidates at a time) "
        "and their Monte Carlo errors"
        if ensemble
        else "the Monte Carlo errors of one model alone: force field and charges are not in it; "
        "the stage <code>ensemble</code> adds them"
    )
    text = (
        f"<p>Of {pairs} pairs among {whom}, <b>{percent(distinction.told_apart)}</b> can be told apart with "
        f"{distinction.level:.0%} probability, by {basis}. Candidates that share a letter cannot.</p>"
    )
    first = {place for place, group in zip(distinction.places, distinction.groups, strict=True)
             if set(group) & set(distinction.groups[0])}  # fmt: skip
    if len(first) > 1:
        text += f"<p>The first place could belong to any of {len(first)}: {_listed(sorted(first))}.</p>"
    if ensemble:
        text += f'<p class="quiet">Models: {"; ".join(_model(name) for name in distinction.models)}.</p>'
    if distinction.unmoved:
        names = ", ".join(label(name) for name in distinction.unmoved)
        text += f'<p class="quiet">No other model says anything of {safe(names)}: taken as the same with all.</p>'
    if distinction.missing:
        text += (
            f'<p class="quiet">{distinction.missing} of the {k} lack the figures of some model and keep their own '
            "there.</p>"
        )
    return text


def _places_svg(entries: tuple[Ranked, ...], distinction: Distinction) -> str:
    k = len(entries)
    left, right = _LABEL, _WIDTH - _LETTERS
    height = _ROW * k + 30

    def x(place: float) -> float:
        return left + (place - 0.5) / k * (right - left)

    ticks = sorted({1, k, *range(5, k, 5)} if k > 6 else range(1, k + 1))
    grid = "".join(
        f'<line class="grid" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="4" y2="{_ROW * k + 4}"/>'
        f'<text class="tick" x="{x(t):.1f}" y="{_ROW * k + 20}">{t}</text>'
        for t in ticks
    )
    rows = []
    for i, entry in enumerate(entries):
        y = _ROW * i + _ROW / 2 + 4
        low, high = int(distinction.rank_low[i]), int(distinction.rank_high[i])
        own_low, own_high = int(distinction.own_rank_low[i]), int(distinction.own_rank_high[i])
        told = f"{_name(entry)}: places {low} to {high} under all models, {own_low} to {own_high} under the first"
        dots = "".join(
            f'<circle class="model" cx="{x(place):.1f}" cy="{y:.1f}" r="3"/>'
            for place in sorted({int(p) for p in distinction.model_places[:, i]})
        )
        rows.append(
            f'<g><title>{safe(told)}</title><rect class="hit" x="0" y="{y - _ROW / 2:.1f}" width="{_WIDTH}" '
            f'height="{_ROW}"/><text class="name" x="0" y="{y + 4:.1f}">{entry.place}. {safe(_name(entry, 17))}</text>'
            f'<line class="span" x1="{x(low - 0.35):.1f}" x2="{x(high + 0.35):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<line class="own" x1="{x(own_low - 0.35):.1f}" x2="{x(own_high + 0.35):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'{dots}<text class="letters" x="{right + 10}" y="{y + 4:.1f}">{safe(distinction.groups[i][:10])}</text>'
            "</g>"
        )
    return (
        f'<svg class="places" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="Interval of places of each '
        f'candidate">{grid}{"".join(rows)}</svg>'
    )


def _places_caption(distinction: Distinction) -> str:
    level = f"{distinction.level:.0%}"
    if len(distinction.models) == 1:
        return f"{level} interval of places; letters on the right: groups that cannot be told apart."
    return (
        f"{level} interval of places: pale under all models, dark under the campaign's own; dots: the place each model "
        "gives, its Monte Carlo error aside; letters: groups that cannot be told apart."
    )


def _matrix_svg(entries: tuple[Ranked, ...], distinction: Distinction) -> str:
    k = len(entries)
    left, top = 40, 24
    side = (_WIDTH - left - 8) / k
    side = min(side, 34.0)
    cells = []
    for i in range(k):
        for j in range(k):
            if i == j:
                continue
            p = float(distinction.beats[i, j])
            kind = "sure" if p >= distinction.level else "lost" if p <= 1 - distinction.level else "open"
            px, py = left + j * side, top + i * side
            told = f"{entries[i].place} {_name(entries[i])} above {entries[j].place} {_name(entries[j])}: {p:.0%}"
            number = (
                f'<text class="p {kind}" x="{px + side / 2:.1f}" y="{py + side / 2 + 3.5:.1f}">{round(100 * p)}</text>'
                if k <= _NUMBERED
                else ""
            )
            cells.append(
                f'<g><title>{safe(told)}</title><rect class="{kind}" x="{px:.1f}" y="{py:.1f}" width="{side - 1:.1f}" '
                f'height="{side - 1:.1f}" rx="2" fill-opacity="{_shade(p):.2f}"/>{number}</g>'
            )
    heads = "".join(
        f'<text class="tick" x="{left + (i + 0.5) * side:.1f}" y="{top - 8}">{entry.place}</text>'
        f'<text class="tick side" x="{left - 8}" y="{top + (i + 0.5) * side + 4:.1f}">{entry.place}</text>'
        for i, entry in enumerate(entries)
    )
    size = top + k * side + 6
    return (
        f'<svg class="matrix" width="{left + k * side + 8:.0f}" viewBox="0 0 {left + k * side + 8:.0f} {size:.0f}" '
        f'role="img" aria-label="Probability that one candidate beats another">'
        f"{heads}{''.join(cells)}</svg>"
    )


def _shade(p: float) -> float:
    """Opacity: nothing at one half, full at certainty."""
    return max(0.06, abs(2 * p - 1))


def _name(entry: Ranked, most: int = 40) -> str:
    name = entry.candidate.structure.composition.reduced_formula
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _model(name: str) -> str:
    return safe(name.replace("+", " with ")) + (" charges" if "+" in name else "")


def _listed(places: list[int]) -> str:
    """Places as `1, 2 and 4`, linked."""
    links = [f'<a href="#candidate-{p}" data-place="{p}">{p}</a>' for p in places]
    return ", ".join(links[:-1]) + f" and {links[-1]}" if len(links) > 1 else links[0]
