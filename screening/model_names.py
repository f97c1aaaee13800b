"""Names of figures that belong to one model of an ensemble: `<property>@<force field>+<charges>`."""

import hashlib

MEMBER_MARK = "@"


def member_name(force_field: str, charges: str) -> str:
    """`dreiding-trappe` and `eqeq` as `dreiding-trappe+eqeq`; of a force-field file its stem and four hash digits."""
    stem = force_field.rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml")
    if stem == force_field:
        return f"{force_field}+{charges}"
    return f"{stem}-{hashlib.sha256(force_field.encode()).hexdigest()[:4]}+{charges}"  # two files may share a stem


def split_member(name: str) -> tuple[str, str | None]:
    """(property, member) of a name; the member is None for the campaign's own figures."""
    base, mark, member = name.partition(MEMBER_MARK)
    return base, member if mark else None


def is_member(name: str) -> bool:
    """Whether a property is one model's figure rather than the campaign's own."""
    return MEMBER_MARK in name
